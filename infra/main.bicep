// A DICOMweb archive in your own subscription. A name and a location are enough; docs/deploy.md explains every choice.
targetScope = 'resourceGroup'

// What it is called, and where it is

@description('Short name of the archive: 3 to 10 lower-case letters and digits. The names of its resources begin with it.')
@minLength(3)
@maxLength(10)
param name string

@description('Region. It must offer Functions on Flex Consumption, and Azure Health Data Services where a FHIR server is made.')
param location string = resourceGroup().location

@description('Tags of every resource.')
param tags object = {}

// Who may call it

@description('OpenID issuer whose tokens are taken; by default the Entra ID tenant of the subscription.')
param authority string = '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'

@description('For whom tokens must be issued: the application (client) id of the app registration, several separated by commas. Until it is given, every request is answered with 503.')
param audience string = ''

@description('Claim of the token that lists the caller\'s roles; empty for "roles".')
param rolesClaim string = ''

@description('What roles allow, where the default names do not fit; see ROLES in docs/settings.md.')
param roles string = ''

@description('Origins whose pages may call the archive, such as https://viewer.example. No wildcard.')
param corsAllowedOrigins array = []

@description('Root of the URLs that the archive gives out, where a proxy stands before it.')
param publicBaseUrl string = ''

// How big it is

@description('Memory of an instance, with the requests it answers at once and the longest body it takes: small 512 MB, 8, 32 MiB; standard 2 GB, 10, 100 MiB; large 4 GB, 10, 200 MiB.')
@allowed(['small', 'standard', 'large'])
param size string = 'standard'

@description('Requests that an instance answers at once; 0 for what goes with its size. More save cold starts where few of them send long bodies.')
@minValue(0)
@maxValue(100)
param httpConcurrency int = 0

@description('Instances that are never put to sleep, so that no caller meets a cold start. Each is paid for all the time.')
@minValue(0)
@maxValue(20)
param alwaysReady int = 0

@description('Most instances that there may be: the bound of what a flood of requests can cost.')
@minValue(40)
@maxValue(1000)
param maximumInstances int = 40

@description('Spread the instances over the region\'s zones. It asks for alwaysReady of 2 or more, and a region that has zones.')
param zoneRedundant bool = false

// How the data is kept

@description('Copies of the data: three in one place (LRS), in three zones (ZRS), or in a second region too (GRS, GZRS).')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
param replication string = 'Standard_LRS'

@description('Days for which what was deleted or overwritten can be brought back.')
@minValue(7)
@maxValue(365)
param restoreDays int = 30

@description('Days after which instances move to the cool tier; 0 for never.')
@minValue(0)
param coolAfterDays int = 90

@description('Days after which instances move to the cold tier; 0 for never.')
@minValue(0)
param coldAfterDays int = 365

@description('Days for which no version of an instance can be deleted, by anybody; 0 for none. Only a new archive can be given it.')
@minValue(0)
param immutableDays int = 0

@description('Days for which the audit trail can be added to, but neither changed nor deleted, by anybody; 0 for none.')
@minValue(0)
param auditKeepDays int = 0

@description('Encrypt with a key of your own, in a key vault. Choose it for a new archive: an existing one cannot have its tables and queues included.')
param customerManagedKey bool = false

@description('Lock storage and the FHIR server against deletion by mistake.')
param deleteLock bool = false

// The FHIR server that it keeps in step

@description('A FHIR R4 server: none; created, in Azure Health Data Services; or an existing one.')
@allowed(['none', 'create', 'existing'])
param fhir string = 'none'

@description('Existing server: its base URL.')
param fhirBaseUrl string = ''

@description('Existing server: how to get in. A created one takes the managed identity.')
@allowed(['none', 'managed-identity', 'client-credentials'])
param fhirAuth string = 'managed-identity'

@description('Existing server, client credentials: client id.')
param fhirClientId string = ''

@description('Existing server, client credentials: the secret. It goes into the key vault; leave it out later, and the one there stays.')
@secure()
param fhirClientSecret string = ''

@description('Existing server, client credentials: tenant in Entra ID that issues the token.')
param fhirTenantId string = ''

@description('Existing server, client credentials: token endpoint, where another OAuth 2.0 server issues the token.')
param fhirTokenUrl string = ''

@description('Existing server: scope of the token, where it is not the base URL and /.default.')
param fhirScope string = ''

@description('With FHIR: root of the systems and codes that this archive makes up, a URL of yours that will not change.')
param fhirCanonical string = ''

@description('With FHIR: identifier system of a Patient ID whose issuer is not said.')
param fhirPatientIdSystem string = ''

@description('With FHIR: identifier system of an Accession Number whose issuer is not said.')
param fhirAccessionSystem string = ''

// Choices of the mapping, each by the name of its setting; docs/settings.md explains them.
@description('Choices of the mapping to FHIR.')
type fhirChoices = {
  FHIR_SYNC_DEBOUNCE: string?
  FHIR_RETRY_WINDOW: string?
  FHIR_ISSUER_MAP: string?
  FHIR_STUDY_ID_SYSTEM: string?
  FHIR_PRACTITIONER_SYSTEMS: string?
  FHIR_LOCATION_MAP: string?
  FHIR_MANAGING_ORGANIZATION: string?
  FHIR_ENDPOINT_NAME: string?
  FHIR_PATIENT_POLICY: string?
  FHIR_PATIENT_MISMATCH: string?
  FHIR_MISSING_PATIENT: string?
  FHIR_BIRTHDATE_SENTINELS: string?
  FHIR_PATIENT_EXTENDED: string?
  FHIR_ORDERS: string?
  FHIR_PRACTITIONERS: string?
  FHIR_SITE_TIMEZONE: string?
  FHIR_INSTANCE_LIMIT: string?
  FHIR_DOSE: string?
  FHIR_DOSE_EVENTS: string?
  FHIR_REPORTS: string?
  FHIR_MEASUREMENTS: string?
  FHIR_DEVICES: string?
  FHIR_SERIES_DEVICES: string?
  FHIR_KEY_IMAGES: string?
  FHIR_DELETE: string?
  FHIR_TITLE_IMAGE_TYPE: string?
  FHIR_SERIES_STARTED_FALLBACK: string?
  FHIR_COMPAT_NOTE: string?
  FHIR_STRICT: string?
}

@description('With FHIR: choices of the mapping that are not the default, each by the name of its setting, such as FHIR_SITE_TIMEZONE.')
param fhirOptions fhirChoices = {}

// How it behaves

@description('How files in the inbox are announced: to a webhook of the app, which takes a second step once the code is published; or to a queue. A private network takes the queue.')
@allowed(['event-grid', 'queue'])
param inboxTrigger string = 'event-grid'

@description('Settings of docs/settings.md that have a default and no parameter here, by their names, such as SETTLE_DELAY.')
type behaviourChoices = {
  SETTLE_DELAY: string?
  MAX_INSTANCE_BYTES: string?
  CALLER_REQUESTS_PER_SECOND: string?
  AUDIT_SOURCE: string?
  AUDIT_WHEN_DOWN: string?
  TELEMETRY_TRACES_PER_SECOND: string?
}

@description('Settings of the archive\'s behaviour that are not the default, each by its name, such as SETTLE_DELAY.')
param options behaviourChoices = {}

// Whether the internet can reach it

@description('Close the archive to the internet: a network of its own, private endpoints, private DNS zones.')
param privateNetwork bool = false

@description('Private network: its addresses.')
param networkPrefix string = '10.20.0.0/24'

@description('Private network: the subnet that the app goes out from.')
param appSubnetPrefix string = '10.20.0.0/26'

@description('Private network: the subnet of the private endpoints.')
param endpointSubnetPrefix string = '10.20.0.64/26'

@description('Private network: go out to the internet, for tokens\' keys and telemetry, through a NAT gateway.')
param natGateway bool = true

// How it is watched

@description('Where alerts and the budget\'s warnings are mailed to; empty: alerts are seen in the portal alone.')
param alertEmail string = ''

@description('Days for which logs and metrics are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Largest volume of logs a day, in GB, after which no more are taken, and no alert is raised; -1 for no limit.')
@minValue(-1)
param logDailyCapGb int = -1

@description('Requests to the data\'s storage that are logged. All of them cost more than storage itself where much is read; the archive keeps its own audit trail.')
@allowed(['none', 'delete', 'write', 'all'])
param storageLogs string = 'delete'

@description('Send the app\'s logs by a diagnostic setting too. Application Insights has them; Flex Consumption could not do it when this was written.')
param appDiagnostics bool = false

@description('Sum a month, in the subscription\'s currency, of which the mail address is warned; 0 for no budget.')
@minValue(0)
param budgetAmount int = 0

@description('With a budget: first day of the month in which it was first deployed, as 2026-01-01. Azure lets nobody change it later.')
param budgetStart string = ''

// A viewer

@description('Make a static site for a viewer, and let its pages call the archive. Not with a private network.')
param viewer bool = false

@description('Region that the viewer\'s site is managed from.')
@allowed(['westeurope', 'centralus', 'eastus2', 'westus2', 'eastasia'])
param viewerLocation string = 'westeurope'

// Names: inbox-subscription.bicep makes the same ones

var suffix = take(uniqueString(resourceGroup().id), 8)
var appName = 'func-${name}-${suffix}'
var topicName = 'evgt-${name}-${suffix}'
var dataAccountName = '${name}data${suffix}'
var secretName = 'fhir-client-secret'

// Choices that follow from others

var sizes = {
  small: { memory: 512, concurrency: 8, bodyLimit: 33554432 }
  standard: { memory: 2048, concurrency: 10, bodyLimit: 104857600 }
  large: { memory: 4096, concurrency: 10, bodyLimit: 209715200 }
}
var chosen = sizes[size]
var concurrency = (httpConcurrency > 0) ? httpConcurrency : chosen.concurrency
var createFhir = fhir == 'create'
var withFhir = fhir != 'none'
var existingFhir = fhir == 'existing'
var withSecret = existingFhir && (fhirAuth == 'client-credentials')
var withVault = customerManagedKey || withSecret
var withViewer = viewer && !privateNetwork
var withBudget = (budgetAmount > 0) && !empty(budgetStart)
var trigger = privateNetwork ? 'queue' : inboxTrigger
var byQueue = trigger == 'queue'
var hostReplication = endsWith(replication, 'ZRS') ? 'Standard_ZRS' : 'Standard_LRS'

// Everything that the archive keeps: shared/adapters/names.py

var containers = [
  { name: 'dicom', keep: (immutableDays > 0) ? 'versions' : '', keepDays: immutableDays }
  { name: 'metadata', keep: '', keepDays: 0 }
  { name: 'inbox', keep: '', keepDays: 0 }
  { name: 'inbox-rejected', keep: '', keepDays: 0 }
  { name: 'archive', keep: '', keepDays: 0 }
  { name: 'audit', keep: 'appends', keepDays: auditKeepDays }
]
var tables = ['catalog', 'search', 'feed', 'jobs', 'fhirsync', 'fhirsyncissues']
var queues = ['settle', 'settle-poison', 'inbox-events', 'inbox-events-poison']

// Roles, of data alone
var blobOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b' // Storage Blob Data Owner
var blobContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe' // Storage Blob Data Contributor: cannot delete versions
var tableContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3' // Storage Table Data Contributor
var queueContributor = '974c5e8b-45b9-4653-ba55-5f855dd0fb88' // Storage Queue Data Contributor

module identity 'modules/identity.bicep' = {
  params: {
    name: 'id-${name}-${suffix}'
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  params: {
    workspaceName: 'log-${name}-${suffix}'
    componentName: 'appi-${name}-${suffix}'
    location: location
    tags: tags
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
    senderPrincipalId: identity.outputs.principalId
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  params: {
    name: 'vnet-${name}-${suffix}'
    location: location
    tags: tags
    addressPrefix: networkPrefix
    appPrefix: appSubnetPrefix
    endpointPrefix: endpointSubnetPrefix
    natGateway: natGateway
    healthZones: createFhir
    vaultZone: withVault
    workspaceId: monitoring.outputs.workspaceId
  }
}

var endpointSubnetId = privateNetwork ? network!.outputs.endpointSubnetId : ''
var zoneIds = privateNetwork ? network!.outputs.zoneIds : {}

module vault 'modules/vault.bicep' = if (withVault) {
  params: {
    name: 'kv-${name}-${suffix}'
    location: location
    tags: tags
    storageKey: customerManagedKey
    keyIdentityName: 'id-${name}-${suffix}-key'
    readerPrincipalId: withSecret ? identity.outputs.principalId : ''
    secretName: secretName
    secret: fhirClientSecret
    workspaceId: monitoring.outputs.workspaceId
    isPrivate: privateNetwork
    endpointSubnetId: endpointSubnetId
    zoneIds: zoneIds
  }
}

module dataStorage 'modules/storage.bicep' = {
  params: {
    name: dataAccountName
    location: location
    tags: tags
    replication: replication
    containers: containers
    tables: tables
    queues: queues
    restoreDays: restoreDays
    versioning: true
    tieredContainer: 'dicom'
    coolAfterDays: coolAfterDays
    coldAfterDays: coldAfterDays
    roles: [
      { principalId: identity.outputs.principalId, role: blobContributor }
      { principalId: identity.outputs.principalId, role: tableContributor }
      { principalId: identity.outputs.principalId, role: queueContributor }
    ]
    encryptionKey: customerManagedKey ? vault!.outputs.encryptionKey : {}
    requestLogs: storageLogs
    workspaceId: monitoring.outputs.workspaceId
    isPrivate: privateNetwork
    endpointSubnetId: endpointSubnetId
    zoneIds: zoneIds
    lock: deleteLock
  }
}

// The Functions host's own: leases, keys, the published code. It asks for the right to own its blobs.
module hostStorage 'modules/storage.bicep' = {
  params: {
    name: '${name}host${suffix}'
    location: location
    tags: tags
    replication: hostReplication
    containers: [
      { name: 'code', keep: '', keepDays: 0 }
    ]
    tables: []
    queues: []
    restoreDays: 7
    versioning: false
    roles: [
      { principalId: identity.outputs.principalId, role: blobOwner }
      { principalId: identity.outputs.principalId, role: tableContributor }
      { principalId: identity.outputs.principalId, role: queueContributor }
    ]
    requestLogs: 'none'
    workspaceId: monitoring.outputs.workspaceId
    isPrivate: privateNetwork
    endpointSubnetId: endpointSubnetId
    zoneIds: zoneIds
    lock: false
  }
}

module events 'modules/events.bicep' = {
  params: {
    name: topicName
    location: location
    tags: tags
    accountName: dataAccountName
    container: 'inbox'
    queueName: 'inbox-events'
    toQueue: byQueue
    workspaceId: monitoring.outputs.workspaceId
  }
  dependsOn: [dataStorage]
}

module fhirServer 'modules/fhir.bicep' = if (createFhir) {
  params: {
    workspaceName: '${name}health${suffix}'
    serviceName: 'fhir'
    location: location
    tags: tags
    writerPrincipalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
    isPrivate: privateNetwork
    endpointSubnetId: endpointSubnetId
    zoneIds: zoneIds
    lock: deleteLock
  }
}

module viewerSite 'modules/viewer.bicep' = if (withViewer) {
  params: {
    name: 'stapp-${name}-${suffix}'
    location: viewerLocation
    tags: tags
  }
}

// Settings: with the two parameters of choices above, every one that a deployment can set. An empty one counts as not set.

var origins = concat(corsAllowedOrigins, withViewer ? [viewerSite!.outputs.origin] : [])
var archiveSettings = {
  STORAGE__blobServiceUri: dataStorage.outputs.blobEndpoint
  STORAGE__tableServiceUri: dataStorage.outputs.tableEndpoint
  STORAGE__queueServiceUri: dataStorage.outputs.queueEndpoint
  STORAGE__credential: 'managedidentity'
  STORAGE__clientId: identity.outputs.clientId
  AUTHORITY: authority
  AUDIENCE: audience
  ROLES_CLAIM: rolesClaim
  ROLES: roles
  CORS_ALLOWED_ORIGINS: join(origins, ',')
  PUBLIC_BASE_URL: publicBaseUrl
  INBOX_TRIGGER: trigger
  // Two places of every instance are left to other callers.
  CALLER_REQUESTS_AT_ONCE: string(max(concurrency - 2, 1))
}
var fhirServerSettings = {
  FHIR_BASE_URL: createFhir ? fhirServer!.outputs.baseUrl : fhirBaseUrl
  FHIR_AUTH: createFhir ? 'managed-identity' : fhirAuth
  FHIR_SCOPE: fhirScope
  FHIR_CLIENT_ID: withSecret ? fhirClientId : identity.outputs.clientId
  FHIR_CLIENT_SECRET: withSecret ? '@Microsoft.KeyVault(SecretUri=${vault!.outputs.uri}secrets/${secretName})' : ''
  FHIR_TENANT_ID: fhirTenantId
  FHIR_TOKEN_URL: fhirTokenUrl
  FHIR_CANONICAL: fhirCanonical
  FHIR_PATIENT_ID_SYSTEM: fhirPatientIdSystem
  FHIR_ACCESSION_SYSTEM: fhirAccessionSystem
}

module app 'modules/app.bicep' = {
  params: {
    name: appName
    planName: 'plan-${name}-${suffix}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    hostStorage: {
      blob: hostStorage.outputs.blobEndpoint
      table: hostStorage.outputs.tableEndpoint
      queue: hostStorage.outputs.queueEndpoint
    }
    codeContainer: 'code'
    memory: chosen.memory
    concurrency: concurrency
    bodyLimit: chosen.bodyLimit
    alwaysReady: alwaysReady
    maximumInstances: maximumInstances
    zoneRedundant: zoneRedundant
    settings: union(archiveSettings, options, withFhir ? union(fhirServerSettings, fhirOptions) : {})
    telemetry: monitoring.outputs.connectionString
    diagnosticLogs: appDiagnostics
    workspaceId: monitoring.outputs.workspaceId
    isPrivate: privateNetwork
    appSubnetId: privateNetwork ? network!.outputs.appSubnetId : ''
    endpointSubnetId: endpointSubnetId
    zoneIds: zoneIds
  }
}

module alerts 'modules/alerts.bicep' = {
  params: {
    name: name
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    email: alertEmail
    withFhir: withFhir
  }
}

module budget 'modules/budget.bicep' = if (withBudget) {
  params: {
    name: 'budget-${name}'
    amount: budgetAmount
    startDate: budgetStart
    email: alertEmail
  }
}

// What the next steps need. Not in capitals, whose case the answers of Azure change.

@description('Root of the archive: its DICOMweb service is below /v2.')
output archiveUrl string = 'https://${app.outputs.hostName}'

@description('Name of the function app, to publish the code to.')
output functionAppName string = appName

@description('How files in the inbox are announced: event-grid asks for the second step.')
output inboxTrigger string = trigger

@description('Name of the storage account, whose container inbox takes files.')
output storageAccountName string = dataAccountName

@description('Base URL of the FHIR server; empty where there is none.')
output fhirUrl string = createFhir ? fhirServer!.outputs.baseUrl : fhirBaseUrl

@description('Name of the viewer\'s site, to publish its pages to; empty where there is none.')
output viewerName string = withViewer ? viewerSite!.outputs.name : ''

@description('Origin of the viewer\'s pages; empty where there is none.')
output viewerOrigin string = withViewer ? viewerSite!.outputs.origin : ''

@description('Name of the key vault; empty where there is none.')
output vaultName string = withVault ? 'kv-${name}-${suffix}' : ''

@description('Resource id of the archive\'s network, to peer with; empty where there is none.')
output networkId string = privateNetwork ? network!.outputs.id : ''
