#!/bin/sh
# After azd has published the code: have Event Grid tell it of new files in the inbox. Where a queue does so, nothing is left to do.
set -eu
if [ "${inboxTrigger:-event-grid}" = queue ]; then exit 0; fi
az deployment group create --name inbox-subscription --output none \
    --subscription "$AZURE_SUBSCRIPTION_ID" --resource-group "$AZURE_RESOURCE_GROUP" \
    --template-file infra/inbox-subscription.bicep --parameters name="${ARCHIVE_NAME:-archive}"
