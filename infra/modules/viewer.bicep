// A static site for a viewer. It is given no rights: pages run in the reader's browser, with the reader's own token.

@description('Name of the site.')
param name string

@description('Where it is managed; its files are served from everywhere.')
param location string

@description('Tags of every resource.')
param tags object

resource site 'Microsoft.Web/staticSites@2025-03-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: 'Free', tier: 'Free' }
  properties: {
    allowConfigFileUpdates: true
    stagingEnvironmentPolicy: 'Disabled'
  }
}

@description('Origin of its pages.')
output origin string = 'https://${site.properties.defaultHostname}'

@description('Name of the site.')
output name string = site.name
