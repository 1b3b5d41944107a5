// A storage account: no keys, no public blobs, TLS 1.2; its containers, tables and queues; who may do what; what is kept, and for how long.

@description('Name of the account.')
param name string

@description('Where it is.')
param location string

@description('Tags of every resource.')
param tags object

@description('How many copies there are, and where.')
param replication string

@description('Containers: name; keepDays, for which nothing in it can be deleted (0: it can); keep, which is "versions" or "appends".')
param containers array

@description('Names of the tables.')
param tables array

@description('Names of the queues.')
param queues array

@description('Days for which a blob, a version of one or a container can be brought back after its deletion.')
param restoreDays int

@description('Keep the former version of a blob that is overwritten or deleted, as long as it can be brought back.')
param versioning bool

@description('Container whose blobs move to a cooler tier; empty for none.')
param tieredContainer string = ''

@description('Days after its last change at which a blob moves to the cool tier; 0 for never.')
param coolAfterDays int = 0

@description('Days after its last change at which a blob moves to the cold tier; 0 for never.')
param coldAfterDays int = 0

@description('Who may do what: objects with principalId and role, the id of a role definition.')
param roles array

@description('Key of the owner, to encrypt with: vaultUri, keyName, identityId. Empty for a key of Microsoft.')
param encryptionKey object = {}

@description('Which requests are logged; metrics always are.')
@allowed(['none', 'delete', 'write', 'all'])
param requestLogs string

@description('Log Analytics workspace.')
param workspaceId string

@description('Closed to the internet.')
param isPrivate bool

@description('Subnet of the private endpoints; empty where there are none.')
param endpointSubnetId string

@description('Private DNS zones, by the name of the service.')
param zoneIds object

@description('Let nobody delete the account by mistake.')
param lock bool

var ownKey = !empty(encryptionKey)
var publicAccess = isPrivate ? 'Disabled' : 'Enabled'
var fallback = isPrivate ? 'Deny' : 'Allow'
var privateServices = isPrivate ? ['blob', 'table', 'queue'] : []
var logCategories = {
  none: []
  delete: ['StorageDelete']
  write: ['StorageWrite', 'StorageDelete']
  all: ['StorageRead', 'StorageWrite', 'StorageDelete']
}

var keyEncryption = {
  keySource: 'Microsoft.Keyvault'
  identity: { userAssignedIdentity: ownKey ? encryptionKey.identityId : '' }
  keyvaultproperties: {
    keyname: ownKey ? encryptionKey.keyName : ''
    keyvaulturi: ownKey ? encryptionKey.vaultUri : ''
  }
  // Tables and queues can be given the owner's key only when the account is made.
  services: {
    blob: { enabled: true, keyType: 'Account' }
    file: { enabled: true, keyType: 'Account' }
    table: { enabled: true, keyType: 'Account' }
    queue: { enabled: true, keyType: 'Account' }
  }
}
var platformEncryption = {
  keySource: 'Microsoft.Storage'
  services: {
    blob: { enabled: true, keyType: 'Account' }
    file: { enabled: true, keyType: 'Account' }
  }
}
var keyIdentity = {
  type: 'UserAssigned'
  userAssignedIdentities: ownKey ? { '${encryptionKey.identityId}': {} } : {}
}

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  // checkov:skip=CKV_AZURE_35: a private network denies; without one the app has no address that could be allowed, and all access is by identity
  // checkov:skip=CKV_AZURE_206: the owner chooses; a name and a location must be enough in every region
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: replication }
  identity: ownKey ? keyIdentity : null
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    allowCrossTenantReplication: false
    allowedCopyScope: 'AAD'
    defaultToOAuthAuthentication: true
    isLocalUserEnabled: false
    isSftpEnabled: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: publicAccess
    networkAcls: {
      // Event Grid puts events into a queue by its own identity; nothing else of Azure has a right here.
      bypass: 'AzureServices'
      defaultAction: fallback
    }
    encryption: ownKey ? keyEncryption : platformEncryption
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: versioning
    deleteRetentionPolicy: {
      enabled: true
      days: restoreDays
      allowPermanentDelete: false
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: restoreDays
    }
  }
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = [for item in containers: {
  parent: blobs
  name: item.name
  properties: {
    publicAccess: 'None'
    // Only a new container can be given this.
    immutableStorageWithVersioning: (item.keep == 'versions') ? { enabled: true } : null
  }
}]

resource retention 'Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies@2025-06-01' = [for (item, i) in containers: if(item.keepDays > 0) {
  parent: container[i]
  name: 'default'
  properties: {
    immutabilityPeriodSinceCreationInDays: item.keepDays
    allowProtectedAppendWrites: item.keep == 'appends'
  }
}]

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource table 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-06-01' = [for item in tables: {
  parent: tableService
  name: item
}]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' = [for item in queues: {
  parent: queueService
  name: item
}]

// Cool and cold can be read at once. The archive tier cannot, so it is not here.
var moves = (coolAfterDays > 0) || (coldAfterDays > 0)
var toCool = (coolAfterDays > 0) ? { tierToCool: { daysAfterModificationGreaterThan: coolAfterDays } } : {}
var toCold = (coldAfterDays > 0) ? { tierToCold: { daysAfterModificationGreaterThan: coldAfterDays } } : {}
var tierRules = [
  {
    name: 'cooler'
    type: 'Lifecycle'
    enabled: true
    definition: {
      filters: {
        blobTypes: ['blockBlob']
        prefixMatch: ['${tieredContainer}/']
      }
      actions: { baseBlob: union(toCool, toCold) }
    }
  }
]
// Soft delete keeps what this deletes for as many days again.
var versionRules = [
  {
    name: 'former-versions'
    type: 'Lifecycle'
    enabled: true
    definition: {
      filters: { blobTypes: ['blockBlob'] }
      actions: { version: { delete: { daysAfterCreationGreaterThan: restoreDays } } }
    }
  }
]

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = if (versioning) {
  parent: account
  name: 'default'
  properties: {
    policy: { rules: concat(moves ? tierRules : [], versionRules) }
  }
  dependsOn: [blobs]
}

resource roleAssignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for item in roles: {
  name: guid(account.id, item.principalId, item.role)
  scope: account
  properties: {
    principalId: item.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', item.role)
  }
}]

resource keep 'Microsoft.Authorization/locks@2020-05-01' = if (lock) {
  name: 'keep'
  scope: account
  properties: {
    level: 'CanNotDelete'
    notes: 'Holds the archive.'
  }
}

resource blobDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: blobs
  properties: {
    workspaceId: workspaceId
    logs: [for category in logCategories[requestLogs]: { category: category, enabled: true }]
    metrics: [
      { category: 'Transaction', enabled: true }
    ]
  }
}

resource tableDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: tableService
  properties: {
    workspaceId: workspaceId
    logs: [for category in logCategories[requestLogs]: { category: category, enabled: true }]
    metrics: [
      { category: 'Transaction', enabled: true }
    ]
  }
}

resource queueDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: queueService
  properties: {
    workspaceId: workspaceId
    logs: [for category in logCategories[requestLogs]: { category: category, enabled: true }]
    metrics: [
      { category: 'Transaction', enabled: true }
    ]
  }
}

module endpoint 'private-endpoint.bicep' = [for service in privateServices: {
  params: {
    name: 'pe-${name}-${service}'
    location: location
    tags: tags
    targetId: account.id
    group: service
    subnetId: endpointSubnetId
    zoneIds: [zoneIds[service]]
  }
}]

@description('Resource id.')
output id string = account.id

@description('Blob endpoint.')
output blobEndpoint string = account.properties.primaryEndpoints.blob

@description('Table endpoint.')
output tableEndpoint string = account.properties.primaryEndpoints.table

@description('Queue endpoint.')
output queueEndpoint string = account.properties.primaryEndpoints.queue
