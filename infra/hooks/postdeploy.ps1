# After azd has published the code: have Event Grid tell it of new files in the inbox. Where a queue does so, nothing is left to do.
$ErrorActionPreference = 'Stop'
if ($env:inboxTrigger -eq 'queue') { exit 0 }
$name = if ($env:ARCHIVE_NAME) { $env:ARCHIVE_NAME } else { 'archive' }
az deployment group create --name inbox-subscription --output none `
    --subscription $env:AZURE_SUBSCRIPTION_ID --resource-group $env:AZURE_RESOURCE_GROUP `
    --template-file infra/inbox-subscription.bicep --parameters name=$name
exit $LASTEXITCODE
