// A private endpoint: a resource gets an address in our network, and its name leads there.

@description('Name of the endpoint.')
param name string

@description('Where it is.')
param location string

@description('Tags of every resource.')
param tags object

@description('Resource that is reached through it.')
param targetId string

@description('Part of the resource, as Azure names it.')
param group string

@description('Subnet that it has its address in.')
param subnetId string

@description('Private DNS zones that its names are written to.')
param zoneIds array

resource endpoint 'Microsoft.Network/privateEndpoints@2024-10-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    subnet: { id: subnetId }
    customNetworkInterfaceName: '${name}-nic'
    privateLinkServiceConnections: [
      {
        name: group
        properties: {
          privateLinkServiceId: targetId
          groupIds: [group]
        }
      }
    ]
  }
}

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-10-01' = {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [for zoneId in zoneIds: {
      name: replace(last(split(zoneId, '/')), '.', '-')
      properties: { privateDnsZoneId: zoneId }
    }]
  }
}
