// As prod, with a key of your own, and closed to the internet: clients come from a network that is peered with the archive's.
using '../main.bicep'

param name = 'archive'
param size = 'large'
param alwaysReady = 2
param zoneRedundant = true
param maximumInstances = 100
param replication = 'Standard_GZRS'
param restoreDays = 90
param immutableDays = 30
param auditKeepDays = 2190
param deleteLock = true
param customerManagedKey = true
param privateNetwork = true
param logRetentionDays = 90
param tags = { environment: 'private' }

// Yours to fill in. The addresses must be free in the networks it is peered with.
param networkPrefix = '10.20.0.0/24'
param appSubnetPrefix = '10.20.0.0/26'
param endpointSubnetPrefix = '10.20.0.64/26'
param audience = ''
param publicBaseUrl = ''
param alertEmail = ''
param budgetAmount = 0
param budgetStart = ''
param fhir = 'create'
param fhirCanonical = ''
param fhirPatientIdSystem = ''
param fhirAccessionSystem = ''
