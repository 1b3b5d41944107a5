// Key vault for what only the owner may hold: the key that storage is encrypted with, and the FHIR client's secret. Both are optional.

@description('Name of the vault.')
param name string

@description('Where it is.')
param location string

@description('Tags of every resource.')
param tags object

@description('Make a key for storage.')
param storageKey bool

@description('Name of the identity that storage uses the key with.')
param keyIdentityName string

@description('Principal id of the service, which reads the secret; empty where there is none to read.')
param readerPrincipalId string

@description('Name of the secret.')
param secretName string

@description('The FHIR client\'s secret; empty leaves the one that is there.')
@secure()
param secret string

@description('Log Analytics workspace.')
param workspaceId string

@description('Closed to the internet.')
param isPrivate bool

@description('Subnet of the private endpoint; empty where there is none.')
param endpointSubnetId string

@description('Private DNS zones, by the name of the service.')
param zoneIds object

var publicAccess = isPrivate ? 'Disabled' : 'Enabled'
var fallback = isPrivate ? 'Deny' : 'Allow'
var keyName = 'storage'

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  // checkov:skip=CKV_AZURE_109: a private network denies; without one the app has no address that could be allowed
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    // Without the key the archive is unreadable for ever, so that nobody may purge it.
    enablePurgeProtection: true
    publicNetworkAccess: publicAccess
    networkAcls: {
      // Storage reaches its key as a trusted service.
      bypass: 'AzureServices'
      defaultAction: fallback
    }
  }
}

resource key 'Microsoft.KeyVault/vaults/keys@2025-05-01' = if (storageKey) {
  // checkov:skip=CKV_AZURE_40: an archive whose key expires is lost; the key rotates instead
  // checkov:skip=CKV_AZURE_112: keys in hardware ask for a premium vault
  parent: vault
  name: keyName
  properties: {
    kty: 'RSA'
    keySize: 4096
    keyOps: ['wrapKey', 'unwrapKey']
    // Storage takes a new version by itself, within a day. Former ones stay valid.
    rotationPolicy: {
      lifetimeActions: [
        {
          action: { type: 'rotate' }
          trigger: { timeAfterCreate: 'P1Y' }
        }
      ]
    }
  }
}

// Its own, so that the service itself has no right to the key.
resource keyIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = if (storageKey) {
  name: keyIdentityName
  location: location
  tags: tags
}

// Key Vault Crypto Service Encryption User
var encryptionUser = 'e147488a-f6f5-4113-8e2d-b22465e65bf6'

resource keyUser 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (storageKey) {
  name: guid(key.id, keyIdentityName, encryptionUser)
  scope: key
  properties: {
    principalId: keyIdentity!.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', encryptionUser)
  }
}

resource clientSecret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = if (!empty(secret)) {
  // checkov:skip=CKV_AZURE_41: whoever issued the secret says when it expires, not we
  // checkov:skip=CKV_AZURE_114: it is set; the check looks at another place
  parent: vault
  name: secretName
  properties: {
    value: secret
    contentType: 'OAuth 2.0 client secret'
  }
}

// Key Vault Secrets User
var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource reader 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(readerPrincipalId)) {
  name: guid(vault.id, readerPrincipalId, secretsUser)
  scope: vault
  properties: {
    principalId: readerPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'AuditEvent', enabled: true }
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
    targetId: vault.id
    group: 'vault'
    subnetId: endpointSubnetId
    zoneIds: [zoneIds.?vault ?? '']
  }
}

@description('What storage is to encrypt with; empty where the owner brings no key.')
output encryptionKey object = storageKey ? {
  vaultUri: vault.properties.vaultUri
  keyName: keyName
  identityId: resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', keyIdentityName)
} : {}

@description('Address of the vault.')
output uri string = vault.properties.vaultUri
