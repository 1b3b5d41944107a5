// Where logs and metrics go: a Log Analytics workspace, and Application Insights on top of it. Both take identities alone, no keys.

@description('Name of the workspace.')
param workspaceName string

@description('Name of the Application Insights component.')
param componentName string

@description('Where they are.')
param location string

@description('Tags of every resource.')
param tags object

@description('Days for which logs and metrics are kept.')
param retentionDays int

@description('Largest volume of logs a day, in GB, after which no more are taken; -1 for no limit.')
param dailyCapGb int

@description('Principal id of the identity that sends telemetry.')
param senderPrincipalId string

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    workspaceCapping: { dailyQuotaGb: dailyCapGb }
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
    // Telemetry holds no patient data, and is sent and read with Entra ID alone. To close these two, add a private link scope.
    publicNetworkAccessForIngestion: 'Enabled'
    publicNetworkAccessForQuery: 'Enabled'
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    DisableLocalAuth: true
    DisableIpMasking: false
    publicNetworkAccessForIngestion: 'Enabled'
    publicNetworkAccessForQuery: 'Enabled'
  }
}

// Monitoring Metrics Publisher
var metricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

resource sender 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, senderPrincipalId, metricsPublisher)
  scope: component
  properties: {
    principalId: senderPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', metricsPublisher)
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: workspace
  properties: {
    workspaceId: workspace.id
    logs: [
      { category: 'Audit', enabled: true }
    ]
    metrics: [
      { category: 'AllMetrics', enabled: true }
    ]
  }
}

@description('Resource id of the workspace.')
output workspaceId string = workspace.id

@description('Tells where telemetry is sent; with local authentication off it opens nothing.')
output connectionString string = component.properties.ConnectionString
