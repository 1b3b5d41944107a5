// Tells by mail when the resource group is about to cost more than planned. It stops nothing.

@description('Name of the budget.')
param name string

@description('Largest sum a month, in the subscription\'s currency.')
param amount int

@description('First day of the month in which the budget begins, as 2026-01-01. Azure lets nobody change it later.')
param startDate string

@description('Who is told.')
param email string

resource budget 'Microsoft.Consumption/budgets@2024-08-01' = {
  name: name
  properties: {
    category: 'Cost'
    amount: amount
    timeGrain: 'Monthly'
    timePeriod: { startDate: startDate }
    notifications: {
      spent: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: [email]
      }
      forecast: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 100
        thresholdType: 'Forecasted'
        contactEmails: [email]
      }
    }
  }
}
