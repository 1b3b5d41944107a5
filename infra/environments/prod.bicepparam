// For patients: two regions, no cold starts, deletion made hard, a FHIR server. Reached through the internet, with tokens.
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
param logRetentionDays = 90
param tags = { environment: 'prod' }

// Yours to fill in
param audience = ''
param alertEmail = ''
param budgetAmount = 0
param budgetStart = ''
param fhir = 'create'
param fhirCanonical = ''
param fhirPatientIdSystem = ''
param fhirAccessionSystem = ''
