// The function app, on its Flex Consumption plan.

@description('Name of the app.')
param name string

@description('Name of the plan.')
param planName string

@description('Where they are.')
param location string

@description('Tags of every resource.')
param tags object

@description('Resource id of the identity that it runs as.')
param identityId string

@description('Client id of that identity.')
param identityClientId string

@description('Endpoints of the storage account of the Functions host: blob, table, queue.')
param hostStorage object

@description('Container that the published code lies in.')
param codeContainer string

@description('Memory of an instance, in MB.')
param memory int

@description('Requests that an instance answers at once; more start another instance.')
param concurrency int

@description('Longest request body, in bytes.')
param bodyLimit int

@description('Instances that are never put to sleep.')
param alwaysReady int

@description('Most instances that there may be.')
param maximumInstances int

@description('Spread the instances over the region\'s zones.')
param zoneRedundant bool

@description('Settings that the archive reads.')
param settings object

@description('Application Insights connection string.')
param telemetry string

@description('Send logs to the workspace by a diagnostic setting too.')
param diagnosticLogs bool

@description('Log Analytics workspace.')
param workspaceId string

@description('Closed to the internet.')
param isPrivate bool

@description('Subnet that the app goes out from; empty where there is none.')
param appSubnetId string

@description('Subnet of the private endpoint; empty where there is none.')
param endpointSubnetId string

@description('Private DNS zones, by the name of the service.')
param zoneIds object

var publicAccess = isPrivate ? 'Disabled' : 'Enabled'

// The Flex Consumption plan takes language, version and scale below, and refuses or ignores their settings of other plans.
var hostSettings = {
  AzureWebJobsStorage__blobServiceUri: hostStorage.blob
  AzureWebJobsStorage__tableServiceUri: hostStorage.table
  AzureWebJobsStorage__queueServiceUri: hostStorage.queue
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsDisableHomepage: 'true'
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: string(bodyLimit)
  APPLICATIONINSIGHTS_CONNECTION_STRING: telemetry
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identityClientId}'
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  // checkov:skip=CKV_AZURE_225: the owner chooses, as not every region has zones, and they ask for instances that never sleep
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  // checkov:skip=CKV_AZURE_17: callers show tokens, which the archive itself checks
  // checkov:skip=CKV_AZURE_78: Flex Consumption has no FTP, and refuses the setting
  // checkov:skip=CKV_AZURE_212: Flex Consumption says it as alwaysReady
  // checkov:skip=CKV_AZURE_213: Flex Consumption has no health check; an alert watches the archive's own
  // checkov:skip=CKV_AZURE_222: a private network closes it; without one it is reached through the internet
  name: name
  location: location
  // azd finds the app by this tag.
  tags: union(tags, { 'azd-service-name': 'archive' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: publicAccess
    virtualNetworkSubnetId: isPrivate ? appSubnetId : null
    keyVaultReferenceIdentity: identityId
    clientAffinityEnabled: false
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      // No CORS here: the archive answers preflight requests itself, from CORS_ALLOWED_ORIGINS.
    }
    functionAppConfig: {
      runtime: { name: 'python', version: '3.13' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${hostStorage.blob}${codeContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: memory
        maximumInstanceCount: maximumInstances
        alwaysReady: (alwaysReady > 0) ? [{ name: 'http', instanceCount: alwaysReady }] : []
        triggers: { http: { perInstanceConcurrency: concurrency } }
      }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2025-03-01' = {
  // checkov:skip=CKV_AZURE_13: these are app settings; the archive itself checks tokens
  // checkov:skip=CKV_AZURE_63: these are app settings
  // checkov:skip=CKV_AZURE_65: these are app settings
  // checkov:skip=CKV_AZURE_66: these are app settings
  // checkov:skip=CKV_AZURE_80: these are app settings, of an app without .NET
  // checkov:skip=CKV_AZURE_88: these are app settings, of an app without a file share
  // checkov:skip=CKV_AZURE_222: these are app settings
  parent: app
  name: 'appsettings'
  properties: union(hostSettings, settings)
}

// Publish with Entra ID alone: no user names and passwords.
resource noFtpPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

resource noScmPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (diagnosticLogs) {
  name: 'to-workspace'
  scope: app
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'FunctionAppLogs', enabled: true }
    ]
    metrics: [
      { category: 'AllMetrics', enabled: true }
    ]
  }
}

module endpoint 'private-endpoint.bicep' = if (isPrivate) {
  params: {
    name: 'pe-${name}'
    location: location
    tags: tags
    targetId: app.id
    group: 'sites'
    subnetId: endpointSubnetId
    zoneIds: [zoneIds.?app ?? '']
  }
}

@description('Host name of the app.')
output hostName string = app.properties.defaultHostName
