// The identity that the service runs as. It has no rights but those that the modules of single resources assign to it.

@description('Name of the identity.')
param name string

@description('Where it is.')
param location string

@description('Tags of every resource.')
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Resource id.')
output id string = identity.id

@description('What roles are assigned to.')
output principalId string = identity.properties.principalId

@description('What the code says to choose this identity.')
output clientId string = identity.properties.clientId
