"""The templates fit the code: its settings, containers, tables, queues, functions, metrics; and keep what it stores."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import azure.functions as func
import pytest
import yaml

from function_app import create_app
from shared.access import OpenAccess
from shared.adapters.names import CONTAINERS, INBOX, INBOX_EVENTS, QUEUES, TABLES
from shared.rights import DEFAULT_ROLES
from shared.settings import InboxTrigger, Settings, StorageSettings
from tests.infra.cases import ALL, LEAST, PRIVATE, PUBLIC, app_settings, data_account
from tests.infra.deployment import INFRA, Deployed, deploy, parameters_of, template
from tests.infra.expressions import Runtime
from tests.support.stores import memory_stores
from tests.test_docs import settings_that_are_read

ROOT: Final = INFRA.parent
STORAGE: Final = "Microsoft.Storage/storageAccounts"
EVERY_DEPLOYMENT: Final = pytest.mark.parametrize("deployed", ALL.values(), ids=ALL)


def names_in_data_account(deployed: Deployed, kind: str) -> list[str]:
    """Give what of a kind is in the account of the archive's data."""
    account = data_account(deployed)
    return [str(resource.body["name"]) for resource in deployed.of(f"{STORAGE}/{kind}") if resource.name.startswith(f"{account}/")]


@EVERY_DEPLOYMENT
def test_what_the_code_names_exists_and_nothing_else(deployed: Deployed) -> None:
    assert sorted(names_in_data_account(deployed, "blobServices/containers")) == sorted(CONTAINERS)
    assert sorted(names_in_data_account(deployed, "tableServices/tables")) == sorted(TABLES)
    assert sorted(names_in_data_account(deployed, "queueServices/queues")) == sorted(QUEUES)


NOT_FOR_A_DEPLOYMENT: Final = {
    "STORAGE": "it holds a key",
    "STORAGE_DATA_DIR": "embedded",
    "STORAGE_INBOX_DIR": "embedded",
    "STORAGE_MERGE_WRITES": "embedded",
    "WEBSITE_HOSTNAME": "Azure sets it",
    "WEBSITE_INSTANCE_ID": "Azure sets it",
}
OF_THE_HOST: Final = {
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsDisableHomepage",
    "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT",
    "STORAGE__credential",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}


def settings_of_the_template() -> set[str]:
    """Give the settings that are always set, those set with FHIR, and those that a parameter of choices may set."""
    main = template()
    return {*app_settings(PUBLIC), *main.members("fhirChoices"), *main.members("behaviourChoices")}


def test_every_setting_that_the_code_reads_is_set_and_none_is_unknown() -> None:
    assert settings_of_the_template() - OF_THE_HOST == settings_that_are_read() - NOT_FOR_A_DEPLOYMENT.keys() - OF_THE_HOST
    assert app_settings(PUBLIC).keys() >= OF_THE_HOST


@pytest.mark.parametrize("name", sorted(settings_of_the_template()))
def test_a_setting_of_the_template_is_documented(name: str) -> None:
    pattern = name.partition("__")[0] if name.startswith("AzureWebJobsStorage__") else name
    assert f"`{pattern}" in (ROOT / "docs/settings.md").read_text(encoding="utf-8")


REFUSED_BY_FLEX_CONSUMPTION: Final = {
    "ENABLE_ORYX_BUILD", "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "FUNCTIONS_MAX_HTTP_CONCURRENCY", "FUNCTIONS_WORKER_PROCESS_COUNT", "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED",
    "SCM_DO_BUILD_DURING_DEPLOYMENT", "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "WEBSITE_CONTENTOVERVNET", "WEBSITE_CONTENTSHARE",
    "WEBSITE_DNS_SERVER", "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT", "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_TIME_ZONE",
    "WEBSITE_SKIP_CONTENTSHARE_VALIDATION", "WEBSITE_VNET_ROUTE_ALL",
    "alwaysOn", "containerSize", "ftpsState", "functionAppScaleLimit", "functionsRuntimeScaleMonitoringEnabled", "javaVersion",
    "linuxFxVersion", "minimumElasticInstanceCount", "netFrameworkVersion", "powerShellVersion", "preWarmedInstanceCount",
    "pythonVersion", "use32BitWorkerProcess", "vnetBackupRestoreEnabled", "vnetContentShareEnabled", "vnetImagePullEnabled",
    "vnetRouteAllEnabled", "windowsFxVersion", "isXenon",
}  # fmt: skip
"""Settings, and properties of the site, that Microsoft's documentation says not to use there; some stop a deployment."""


@EVERY_DEPLOYMENT
def test_the_plan_is_flex_consumption_and_nothing_of_other_plans_is_said(deployed: Deployed) -> None:
    (plan,), (app,) = deployed.of("Microsoft.Web/serverfarms"), deployed.of("Microsoft.Web/sites")
    assert plan.body["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    said = {*app_settings(deployed), *app.properties, *app.properties["siteConfig"]}
    assert not said & REFUSED_BY_FLEX_CONSUMPTION
    config = app.properties["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": "3.13"}
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    assert config["deployment"]["storage"]["value"].endswith("primaryEndpoints.blobcode")
    host = next(account for account in deployed.of(STORAGE) if account.name != data_account(deployed))
    assert f"{host.name}/default/code" in {container.name for container in deployed.of(f"{STORAGE}/blobServices/containers")}


AZURE_KNOWS: Final = {
    "clientId": "11111111-1111-4111-8111-111111111111",
    "ConnectionString": "InstrumentationKey=11111111-1111-4111-8111-111111111111;IngestionEndpoint=https://telemetry.example/",
    "primaryEndpoints.blob": "https://account.blob.example/",
    "primaryEndpoints.table": "https://account.table.example/",
    "primaryEndpoints.queue": "https://account.queue.example/",
    "vaultUri": "https://vault.example/",
    "defaultHostname": "viewer.example",
}


def as_azure_says(value: str) -> str:
    """Put what only Azure knows into a value."""
    return re.sub(rf"Microsoft\.[^=;,(]*?\.properties\.({'|'.join(AZURE_KNOWS)})", lambda found: AZURE_KNOWS[found[1]], value)


def as_the_app_sees_it(deployed: Deployed) -> dict[str, str]:
    """Give the app's environment."""
    settings = app_settings(deployed)
    assert all(isinstance(value, str) for value in settings.values())
    known = {name: as_azure_says(value) if isinstance(value, Runtime) else value for name, value in settings.items()}
    return {**known, "WEBSITE_INSTANCE_ID": "i", "WEBSITE_HOSTNAME": "archive.example"}


@EVERY_DEPLOYMENT
def test_the_code_takes_the_settings(deployed: Deployed) -> None:
    settings = Settings.from_environment(as_the_app_sees_it(deployed))
    assert settings.storage.kind == "azure"
    assert settings.storage.client_id
    assert settings.inbox_trigger == deployed.outputs["inboxTrigger"]
    assert (settings.fhir is not None) == bool(deployed.outputs["fhirUrl"])


def test_without_an_audience_the_archive_is_closed() -> None:
    assert Settings.from_environment(as_the_app_sees_it(LEAST)).identity.missing == ["AUDIENCE"]
    assert Settings.from_environment(as_the_app_sees_it(PUBLIC)).identity.missing == []


def test_a_choice_is_handed_on() -> None:
    chosen = deploy(name="archive", options={"SETTLE_DELAY": "30"}, fhir="create", fhirOptions={"FHIR_ORDERS": "create"})
    assert app_settings(chosen)["SETTLE_DELAY"] == "30"
    assert app_settings(chosen)["FHIR_ORDERS"] == "create"


@pytest.mark.parametrize("size", ["small", "standard", "large"])
def test_memory_bears_as_many_longest_bodies_as_an_instance_takes_at_once(size: str) -> None:
    deployed = deploy(name="archive", size=size)
    scale = deployed.of("Microsoft.Web/sites")[0].properties["functionAppConfig"]["scaleAndConcurrency"]
    limit = int(app_settings(deployed)["FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"])
    assert scale["triggers"]["http"]["perInstanceConcurrency"] * limit <= scale["instanceMemoryMB"] * 2**20 / 2
    assert limit <= 210 * 2**20  # Microsoft's table of limits
    http = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))["extensions"]["http"]
    assert scale["triggers"]["http"]["perInstanceConcurrency"] <= http["maxConcurrentRequests"]


def functions_by_name(trigger: InboxTrigger) -> dict[str, Any]:
    settings = Settings(storage=StorageSettings(kind="embedded"), inbox_trigger=trigger)
    functions = create_app(settings, memory_stores(), OpenAccess()).get_functions()
    return {str(function.get_function_name()): function for function in functions}


def test_the_inbox_is_announced_to_a_function_that_exists() -> None:
    (subscription,) = deploy(INFRA / "inbox-subscription.bicep", name="archive").resources
    destination = subscription.properties["destination"]
    assert destination["endpointType"] == "WebHook"
    (function,) = re.findall(
        r"/runtime/webhooks/blobs\?functionName=Host\.Functions\.(\w+)&code=", destination["properties"]["endpointUrl"]
    )
    trigger = functions_by_name("event-grid")[function].get_trigger()
    assert (trigger.type, trigger.source) == ("blobTrigger", func.BlobSource.EVENT_GRID.value)
    assert subscription.properties["filter"]["subjectBeginsWith"] == f"/blobServices/default/containers/{INBOX}/blobs/"


def test_the_second_stage_finds_what_the_first_made() -> None:
    (subscription,) = deploy(INFRA / "inbox-subscription.bicep", name="archive").resources
    topic = subscription.body["parent"]
    assert topic.name == LEAST.of("Microsoft.EventGrid/systemTopics")[0].name
    second = deploy(INFRA / "inbox-subscription.bicep", name="archive").instance
    assert second.lookup("app").name == LEAST.outputs["functionAppName"]


@pytest.mark.parametrize(
    ("deployed", "by_queue"),
    [(LEAST, False), (PUBLIC, False), (PRIVATE, True), (deploy(name="archive", inboxTrigger="queue"), True)],
    ids=["least", "public", "private", "queue"],
)
def test_a_queue_announces_the_inbox_in_one_stage(deployed: Deployed, by_queue: bool) -> None:
    subscriptions = deployed.of("Microsoft.EventGrid/systemTopics/eventSubscriptions")
    assert app_settings(deployed)["INBOX_TRIGGER"] == ("queue" if by_queue else "event-grid")
    assert len(subscriptions) == by_queue
    for subscription in subscriptions:
        delivery = subscription.properties["deliveryWithResourceIdentity"]
        assert delivery["identity"] == {"type": "SystemAssigned"}
        assert delivery["destination"]["properties"]["queueName"] == INBOX_EVENTS
        assert subscription.properties["filter"]["subjectBeginsWith"] == f"/blobServices/default/containers/{INBOX}/blobs/"


def test_the_queue_is_that_of_a_function() -> None:
    queues = {getattr(f.get_trigger(), "queue_name", None) for f in functions_by_name("queue").values()}
    assert queues - {None} <= set(QUEUES)
    assert INBOX_EVENTS in queues


@EVERY_DEPLOYMENT
def test_what_is_deleted_can_be_brought_back(deployed: Deployed) -> None:
    (service,) = [s for s in deployed.of(f"{STORAGE}/blobServices") if s.name.startswith(data_account(deployed))]
    assert service.properties["isVersioningEnabled"] is True
    for policy in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy"):
        assert service.properties[policy]["enabled"] is True
        assert service.properties[policy]["days"] >= 7


def lifecycle(**parameters: Any) -> dict[str, Any]:
    (policy,) = deploy(name="archive", **parameters).of(f"{STORAGE}/managementPolicies")
    return {rule["name"]: rule["definition"] for rule in policy.properties["policy"]["rules"]}


def test_instances_move_to_tiers_that_can_be_read() -> None:
    rules = lifecycle(coolAfterDays=10, coldAfterDays=20)
    assert rules["cooler"]["filters"]["prefixMatch"] == ["dicom/"]
    assert rules["cooler"]["actions"]["baseBlob"] == {
        "tierToCool": {"daysAfterModificationGreaterThan": 10},
        "tierToCold": {"daysAfterModificationGreaterThan": 20},
    }
    assert lifecycle(coolAfterDays=0, coldAfterDays=0).keys() == {"former-versions"}
    assert "archive" not in json.dumps(rules["cooler"]["actions"]).lower()


def test_only_former_versions_are_deleted_by_rule() -> None:
    for rule in lifecycle().values():
        assert "delete" not in rule["actions"].get("baseBlob", {})


def test_immutability_is_for_instances_by_version_and_for_the_audit_trail_by_appending() -> None:
    assert not LEAST.of(f"{STORAGE}/blobServices/containers/immutabilityPolicies")
    policies = {p.body["parent"].body["name"]: p for p in PUBLIC.of(f"{STORAGE}/blobServices/containers/immutabilityPolicies")}
    assert policies.keys() == {"dicom", "audit"}
    assert policies["dicom"].body["parent"].properties["immutableStorageWithVersioning"] == {"enabled": True}
    assert policies["audit"].body["parent"].properties["immutableStorageWithVersioning"] is None
    assert {name: policy.properties["allowProtectedAppendWrites"] for name, policy in policies.items()} == {"dicom": False, "audit": True}


def test_a_lock_keeps_data_and_fhir_server() -> None:
    assert not LEAST.of("Microsoft.Authorization/locks")
    assert [lock.body["scope"].name for lock in PRIVATE.of("Microsoft.Authorization/locks")] == [
        data_account(PRIVATE),
        "archivehealth01234567",
    ]


def test_the_fhir_server_is_told_of_its_own_address() -> None:
    (server,) = PRIVATE.of("Microsoft.HealthcareApis/workspaces/fhirservices")
    settings = app_settings(PRIVATE)
    assert server.body["kind"] == "fhir-R4"
    assert server.properties["authenticationConfiguration"]["audience"] == settings["FHIR_BASE_URL"] == PRIVATE.outputs["fhirUrl"]
    assert settings["FHIR_AUTH"] == "managed-identity"
    assert settings["FHIR_CLIENT_ID"] == settings["STORAGE__clientId"]
    assert not [name for name in app_settings(LEAST) if name.startswith("FHIR_")]


def environments() -> list[str]:
    return sorted(path.relative_to(INFRA).as_posix() for path in INFRA.rglob("*.bicepparam"))


@pytest.mark.parametrize("name", environments())
def test_an_environment_can_be_deployed(name: str) -> None:
    given = parameters_of(INFRA / name)
    assert deploy(**given).resources
    for parameter, value in given.items():
        allowed = template().parameters[parameter].decorators.get("allowed")
        assert allowed is None or value in allowed, parameter
        assert "secure" not in template().parameters[parameter].decorators


def test_the_environments_are_what_they_say() -> None:
    private, prod = (parameters_of(INFRA / f"environments/{name}.bicepparam") for name in ("private", "prod"))
    assert private["privateNetwork"] is True
    assert "privateNetwork" not in prod
    assert prod["replication"].startswith("Standard_G")


def test_an_app_registration_has_the_roles_that_the_archive_knows() -> None:
    roles = json.loads((INFRA / "app-roles.json").read_text(encoding="utf-8"))
    assert sorted(role["value"] for role in roles) == sorted(DEFAULT_ROLES)
    assert len({role["id"] for role in roles}) == len(roles)


def test_azd_finds_the_app_and_the_hook() -> None:
    project = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
    (app,) = LEAST.of("Microsoft.Web/sites")
    assert list(project["services"]) == [app.body["tags"]["azd-service-name"]]
    assert (ROOT / project["infra"]["path"] / f"{project['infra']['module']}.bicep").exists()
    for hook in project["hooks"]["postdeploy"].values():
        text = (ROOT / hook["run"]).read_text(encoding="utf-8")
        assert "infra/inbox-subscription.bicep" in text
        variables = set(re.findall(r"\$env:(\w+)" if hook["shell"] == "pwsh" else r"\$\{?(\w+)", text))
        assert variables == {"ARCHIVE_NAME", "AZURE_RESOURCE_GROUP", "AZURE_SUBSCRIPTION_ID", "inboxTrigger"}
        assert "inboxTrigger" in LEAST.outputs
