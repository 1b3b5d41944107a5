// What wakes somebody. All rules ask the metrics that the service sends; a timer measures lags, queues and health every five minutes.

@description('Name that the rules\' names begin with.')
param name string

@description('Where they are.')
param location string

@description('Tags of every resource.')
param tags object

@description('Log Analytics workspace.')
param workspaceId string

@description('Who is told; empty: alerts are seen in the portal alone.')
param email string

@description('A FHIR server is kept in step.')
param withFhir bool

var mails = !empty(email)
var metric = 'AppMetrics | where Name =='
// A gauge's value is in the column Sum; a histogram's number of records, in ItemCount.
var everyRule = [
  {
    name: 'server-errors'
    title: 'The archive answers with errors of its own (5xx)'
    severity: 2
    query: '${metric} "archive.request.duration" and toint(Properties["http.response.status_code"]) >= 500'
    measure: 'ItemCount'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 5
    window: 'PT15M'
  }
  {
    name: 'trigger-errors'
    title: 'Work in the background fails'
    severity: 2
    query: '${metric} "archive.trigger.duration" and tostring(Properties["outcome"]) !in ("ok", "put-off", "rejected")'
    measure: 'ItemCount'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 5
    window: 'PT15M'
  }
  {
    name: 'poison-queues'
    title: 'Messages were given up'
    severity: 2
    query: '${metric} "archive.queue.messages" and tostring(Properties["queue"]) endswith "-poison"'
    measure: 'Sum'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
  }
  {
    name: 'feed-lag'
    title: 'Commits wait for the change feed'
    severity: 2
    query: '${metric} "archive.feed.lag"'
    measure: 'Sum'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: 900
    window: 'PT15M'
  }
  {
    name: 'feed-put-off'
    title: 'Publishing to the change feed fails over and over'
    severity: 2
    query: '${metric} "archive.trigger.duration" and tostring(Properties["function"]) == "settle_study" and tostring(Properties["outcome"]) == "put-off"'
    measure: 'ItemCount'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 5
    window: 'PT15M'
  }
  {
    name: 'health'
    title: 'A part of the archive is not healthy'
    severity: 1
    query: '${metric} "archive.health"'
    measure: 'Sum'
    aggregation: 'Minimum'
    operator: 'LessThan'
    threshold: 1
    window: 'PT15M'
  }
  {
    name: 'silence'
    title: 'The archive has not said for half an hour that it lives'
    severity: 1
    query: '${metric} "archive.health"'
    measure: ''
    aggregation: 'Count'
    operator: 'LessThan'
    threshold: 1
    window: 'PT30M'
  }
]
var fhirRules = [
  {
    name: 'fhir-lag'
    title: 'Studies wait for the FHIR server'
    severity: 2
    query: '${metric} "archive.fhir.lag"'
    measure: 'Sum'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: 3600
    window: 'PT15M'
  }
  {
    name: 'fhir-given-up'
    title: 'Studies were given up for FHIR, or its synchronisation is paused'
    severity: 2
    query: '${metric} "archive.fhir.paused" or (Name == "archive.fhir.studies" and tostring(Properties["state"]) == "dead")'
    measure: 'Sum'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
  }
]
var rules = concat(everyRule, withFhir ? fhirRules : [])

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (mails) {
  name: 'ag-${name}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: take(name, 12)
    emailReceivers: [
      {
        name: 'operators'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource rule 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for item in rules: {
  name: '${name}-${item.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: item.title
    description: item.title
    severity: item.severity
    enabled: true
    autoMitigate: true
    // At the first deployment no metric has arrived, so that a query cannot be tried.
    skipQueryValidation: true
    scopes: [workspaceId]
    evaluationFrequency: 'PT15M'
    windowSize: item.window
    criteria: {
      allOf: [
        {
          query: item.query
          metricMeasureColumn: empty(item.measure) ? null : item.measure
          timeAggregation: item.aggregation
          operator: item.operator
          threshold: item.threshold
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: mails ? [people.id] : []
    }
  }
}]
