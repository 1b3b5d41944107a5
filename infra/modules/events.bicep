// What appears in the inbox is announced by Event Grid: into a queue, here; or to the function's webhook by ../inbox-subscription.bicep,
// which asks for a key that is there only once the code is published.

@description('Name of the topic.')
param name string

@description('Where it is.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the storage account that holds the inbox.')
param accountName string

@description('Container whose new blobs are announced.')
param container string

@description('Queue that events go to, where they go to one.')
param queueName string

@description('Send events to the queue.')
param toQueue bool

@description('Log Analytics workspace.')
param workspaceId string

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: accountName
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices@2025-06-01' existing = {
  parent: account
  name: 'default'
}

resource queue 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-06-01' existing = {
  parent: queues
  name: queueName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: name
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: {
    source: account.id
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

// Storage Queue Data Message Sender
var messageSender = 'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'

resource sender 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (toQueue) {
  name: guid(queue.id, topic.id, messageSender)
  scope: queue
  properties: {
    principalId: topic.identity.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', messageSender)
  }
}

// No dead letters: a timer of the service takes what lies in the inbox and was not announced.
resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = if (toQueue) {
  parent: topic
  name: 'inbox-queue'
  properties: {
    deliveryWithResourceIdentity: {
      identity: { type: 'SystemAssigned' }
      destination: {
        endpointType: 'StorageQueue'
        properties: {
          resourceId: account.id
          queueName: queueName
          queueMessageTimeToLiveInSeconds: 604800
        }
      }
    }
    eventDeliverySchema: 'EventGridSchema'
    filter: {
      subjectBeginsWith: '/blobServices/default/containers/${container}/blobs/'
      includedEventTypes: ['Microsoft.Storage.BlobCreated']
    }
    retryPolicy: {
      maxDeliveryAttempts: 30
      eventTimeToLiveInMinutes: 1440
    }
  }
  dependsOn: [sender]
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: topic
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'DeliveryFailures', enabled: true }
    ]
    metrics: [
      { category: 'AllMetrics', enabled: true }
    ]
  }
}

@description('Name of the topic.')
output topicName string = topic.name
