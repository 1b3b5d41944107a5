// Second stage: announce what appears in the inbox to the published code. Event Grid calls the blob trigger's webhook, whose key exists
// only once the code runs. Not needed where the inbox is announced by a queue.
targetScope = 'resourceGroup'

@description('Short name of the archive, as given to main.bicep.')
@minLength(3)
@maxLength(10)
param name string

var suffix = take(uniqueString(resourceGroup().id), 8)
var appName = 'func-${name}-${suffix}'
var topicName = 'evgt-${name}-${suffix}'

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: appName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topicName
}

// The host's key for this webhook alone; it goes from Azure to Azure.
var key = listKeys('${app.id}/host/default', '2025-03-01').systemKeys.blobs_extension

// No dead letters: a timer of the service takes what lies in the inbox and was not announced.
resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: 'inbox-webhook'
  properties: {
    destination: {
      endpointType: 'WebHook'
      properties: {
        endpointUrl: 'https://${app.properties.defaultHostName}/runtime/webhooks/blobs?functionName=Host.Functions.ingest_blob&code=${key}'
        maxEventsPerBatch: 1
        minimumTlsVersionAllowed: '1.2'
      }
    }
    eventDeliverySchema: 'EventGridSchema'
    filter: {
      subjectBeginsWith: '/blobServices/default/containers/inbox/blobs/'
      includedEventTypes: ['Microsoft.Storage.BlobCreated']
    }
    retryPolicy: {
      maxDeliveryAttempts: 30
      eventTimeToLiveInMinutes: 1440
    }
  }
}
