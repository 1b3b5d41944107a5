// A network of the archive's own: a subnet that the app goes out from, one for private endpoints, a fixed address to the internet, and the
// private DNS zones. Peer it with the hospital's network, and link the zones there, for clients to reach the archive.

@description('Name of the network; its parts are named after it.')
param name string

@description('Where it is.')
param location string

@description('Tags of every resource.')
param tags object

@description('Addresses of the network.')
param addressPrefix string

@description('Addresses of the subnet that the app goes out from: at least a /27.')
param appPrefix string

@description('Addresses of the subnet of the private endpoints.')
param endpointPrefix string

@description('Go out to the internet through a NAT gateway, with one fixed address. Without, Azure\'s default outbound access must do.')
param natGateway bool

@description('Make the zones of Azure Health Data Services too.')
param healthZones bool

@description('Make the zone of key vaults too.')
param vaultZone bool

@description('Log Analytics workspace.')
param workspaceId string

var storageSuffix = environment().suffixes.storage
var storageZones = [
  'privatelink.blob.${storageSuffix}'
  'privatelink.table.${storageSuffix}'
  'privatelink.queue.${storageSuffix}'
]
var appZone = 'privatelink.azurewebsites.net'
var vaultZoneName = 'privatelink.vaultcore.azure.net'
var healthZoneNames = [
  'privatelink.workspace.azurehealthcareapis.com'
  'privatelink.fhir.azurehealthcareapis.com'
]
var zoneNames = concat(storageZones, [appZone], vaultZone ? [vaultZoneName] : [], healthZones ? healthZoneNames : [])

resource address 'Microsoft.Network/publicIPAddresses@2024-10-01' = if (natGateway) {
  name: 'pip-${name}'
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: { publicIPAllocationMethod: 'Static' }
}

resource nat 'Microsoft.Network/natGateways@2024-10-01' = if (natGateway) {
  name: 'ng-${name}'
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: {
    publicIpAddresses: [
      { id: address.id }
    ]
  }
}

resource appRules 'Microsoft.Network/networkSecurityGroups@2024-10-01' = {
  name: 'nsg-${name}-app'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'nothing-comes-in'
        properties: {
          priority: 4000
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource endpointRules 'Microsoft.Network/networkSecurityGroups@2024-10-01' = {
  name: 'nsg-${name}-endpoints'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'https-from-the-network'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '443'
        }
      }
      {
        name: 'nothing-else-comes-in'
        properties: {
          priority: 4000
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-10-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: appPrefix
          networkSecurityGroup: { id: appRules.id }
          natGateway: natGateway ? { id: nat.id } : null
          defaultOutboundAccess: !natGateway
          delegations: [
            {
              name: 'functions'
              properties: { serviceName: 'Microsoft.App/environments' }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: endpointPrefix
          networkSecurityGroup: { id: endpointRules.id }
          privateEndpointNetworkPolicies: 'NetworkSecurityGroupEnabled'
          defaultOutboundAccess: false
        }
      }
    ]
  }
}

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [for item in zoneNames: {
  name: item
  location: 'global'
  tags: tags
}]

resource zoneLink 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (item, i) in zoneNames: {
  parent: zone[i]
  name: name
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: { id: network.id }
  }
}]

resource appDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: appRules
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'NetworkSecurityGroupEvent', enabled: true }
    ]
  }
}

resource endpointDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: endpointRules
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'NetworkSecurityGroupEvent', enabled: true }
    ]
  }
}

resource networkDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: network
  properties: {
    workspaceId: workspaceId
    metrics: [
      { category: 'AllMetrics', enabled: true }
    ]
  }
}

resource addressDiagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (natGateway) {
  name: 'to-workspace'
  scope: address
  properties: {
    workspaceId: workspaceId
    metrics: [
      { category: 'AllMetrics', enabled: true }
    ]
  }
}

@description('Subnet that the app goes out from.')
output appSubnetId string = resourceId('Microsoft.Network/virtualNetworks/subnets', network.name, 'app')

@description('Subnet of the private endpoints.')
output endpointSubnetId string = resourceId('Microsoft.Network/virtualNetworks/subnets', network.name, 'endpoints')

@description('Resource id of the network, to peer with.')
output id string = network.id

@description('Private DNS zones, by the name of the service.')
output zoneIds object = {
  blob: resourceId('Microsoft.Network/privateDnsZones', storageZones[0])
  table: resourceId('Microsoft.Network/privateDnsZones', storageZones[1])
  queue: resourceId('Microsoft.Network/privateDnsZones', storageZones[2])
  app: resourceId('Microsoft.Network/privateDnsZones', appZone)
  vault: resourceId('Microsoft.Network/privateDnsZones', vaultZoneName)
  healthWorkspace: resourceId('Microsoft.Network/privateDnsZones', healthZoneNames[0])
  fhir: resourceId('Microsoft.Network/privateDnsZones', healthZoneNames[1])
}
