// A FHIR R4 server in Azure Health Data Services, which the service keeps in step.

@description('Name of the workspace.')
param workspaceName string

@description('Name of the FHIR service within it.')
param serviceName string

@description('Where they are.')
param location string

@description('Tags of every resource.')
param tags object

@description('Principal id of the service, which reads and writes.')
param writerPrincipalId string

@description('Log Analytics workspace.')
param workspaceId string

@description('Closed to the internet.')
param isPrivate bool

@description('Subnet of the private endpoint; empty where there is none.')
param endpointSubnetId string

@description('Private DNS zones, by the name of the service.')
param zoneIds object

@description('Let nobody delete the server by mistake.')
param lock bool

var publicAccess = isPrivate ? 'Disabled' : 'Enabled'
var address = 'https://${workspaceName}-${serviceName}.fhir.azurehealthcareapis.com'

resource workspace 'Microsoft.HealthcareApis/workspaces@2024-03-31' = {
  name: workspaceName
  location: location
  tags: tags
  properties: { publicNetworkAccess: publicAccess }
}

resource server 'Microsoft.HealthcareApis/workspaces/fhirservices@2024-03-31' = {
  parent: workspace
  name: serviceName
  location: location
  tags: tags
  kind: 'fhir-R4'
  properties: {
    authenticationConfiguration: {
      authority: '${environment().authentication.loginEndpoint}${tenant().tenantId}'
      audience: address
      smartProxyEnabled: false
    }
    publicNetworkAccess: publicAccess
  }
}

// FHIR Data Contributor: the smallest that may both read and write, conditionally and in transactions.
var dataContributor = '5a1fc7df-4bf1-4951-a576-89034ee01acd'

resource writer 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(server.id, writerPrincipalId, dataContributor)
  scope: server
  properties: {
    principalId: writerPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataContributor)
  }
}

resource keep 'Microsoft.Authorization/locks@2020-05-01' = if (lock) {
  name: 'keep'
  scope: workspace
  properties: {
    level: 'CanNotDelete'
    notes: 'Holds patients\' resources.'
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: server
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'AuditLogs', enabled: true }
    ]
  }
}

module endpoint 'private-endpoint.bicep' = if (isPrivate) {
  params: {
    name: 'pe-${workspaceName}'
    location: location
    tags: tags
    targetId: workspace.id
    group: 'healthcareworkspace'
    subnetId: endpointSubnetId
    zoneIds: [zoneIds.?healthWorkspace ?? '', zoneIds.?fhir ?? '']
  }
  dependsOn: [server]
}

@description('Base URL.')
output baseUrl string = address
