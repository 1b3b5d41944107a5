// A place to try things: small, cheap, soon forgetful.
using '../main.bicep'

param name = 'archdev'
param size = 'small'
param restoreDays = 7
param coolAfterDays = 0
param coldAfterDays = 0
param logDailyCapGb = 1
param tags = { environment: 'dev' }

// The application id of your app registration; until it is given, every request is answered with 503.
param audience = ''
