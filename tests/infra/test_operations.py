"""What operators rely on: logs of everything, alerts, a budget, tags, and a word on every parameter."""

from __future__ import annotations

import re
from typing import Final

import pytest

from shared.telemetry import metrics
from tests.infra.cases import ALL, LEAST, PRIVATE, PUBLIC
from tests.infra.deployment import INFRA, Deployed, Resource, deploy, template

EVERY_DEPLOYMENT: Final = pytest.mark.parametrize("deployed", ALL.values(), ids=ALL)

WITHOUT_DIAGNOSTICS: Final = {
    "Microsoft.Authorization/locks": "not a thing that runs",
    "Microsoft.Authorization/roleAssignments": "in the subscription's activity log",
    "Microsoft.Consumption/budgets": "not a thing that runs",
    "Microsoft.HealthcareApis/workspaces": "its FHIR service has them",
    "Microsoft.Insights/actionGroups": "in the activity log",
    "Microsoft.Insights/components": "lies in the workspace already",
    "Microsoft.Insights/diagnosticSettings": "themselves",
    "Microsoft.Insights/scheduledQueryRules": "in the activity log",
    "Microsoft.KeyVault/vaults/keys": "the vault has them",
    "Microsoft.KeyVault/vaults/secrets": "the vault has them",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "in Entra ID's sign-in log",
    "Microsoft.Network/natGateways": "its address has them",
    "Microsoft.Network/privateDnsZones": "metrics of the platform",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "part of the zone",
    "Microsoft.Network/privateEndpoints": "what they lead to has them",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": "part of the endpoint",
    "Microsoft.Storage/storageAccounts": "its services have them",
    "Microsoft.Storage/storageAccounts/managementPolicies": "a rule of the account",
    "Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies": "a rule of the container",
    "Microsoft.Web/serverfarms": "a Flex Consumption plan has no machines of its own",
    "Microsoft.Web/staticSites": "files without a server",
}


@EVERY_DEPLOYMENT
def test_everything_that_runs_is_logged(deployed: Deployed) -> None:
    settings = deployed.of("Microsoft.Insights/diagnosticSettings")
    logged = {(setting.body["scope"].type, setting.body["scope"].name) for setting in settings}
    silent = {
        resource.type
        for resource in deployed.resources
        if resource.type not in WITHOUT_DIAGNOSTICS
        and not logged & {(one.type, one.name) for one in (resource, resource.body.get("parent")) if one is not None}
    }
    of_the_app = {"Microsoft.Web/sites", "Microsoft.Web/sites/config", "Microsoft.Web/sites/basicPublishingCredentialsPolicies"}
    assert silent == (of_the_app if deployed is LEAST else set())  # unless asked for, its logs are in Application Insights alone
    assert all(setting.properties["workspaceId"].endswith("log-archive-01234567.id") for setting in settings)


def rules(deployed: Deployed) -> dict[str, Resource]:
    return {str(rule.body["name"]).removeprefix("archive-"): rule for rule in deployed.of("Microsoft.Insights/scheduledQueryRules")}


ALWAYS: Final = {"server-errors", "trigger-errors", "poison-queues", "feed-lag", "feed-put-off", "health", "silence"}


def test_alerts_are_there() -> None:
    assert rules(LEAST).keys() == ALWAYS
    assert rules(PUBLIC).keys() == rules(PRIVATE).keys() == ALWAYS | {"fhir-lag", "fhir-given-up"}


@pytest.mark.parametrize("name", sorted(rules(PUBLIC)))
def test_an_alert_asks_for_metrics_that_the_code_sends(name: str) -> None:
    sent = {metric.name for metric in vars(metrics).values() if isinstance(metric, metrics.Metric)}
    (criterion,) = rules(PUBLIC)[name].properties["criteria"]["allOf"]
    asked = set(re.findall(r'"(archive\.[\w.]+)"', criterion["query"]))
    assert asked
    assert asked <= sent
    columns = {"Count": None, "Total": "ItemCount", "Maximum": "Sum", "Minimum": "Sum"}
    assert criterion["metricMeasureColumn"] == columns[criterion["timeAggregation"]]


def test_alerts_reach_the_given_mail_address() -> None:
    (people,) = PUBLIC.of("Microsoft.Insights/actionGroups")
    assert people.properties["emailReceivers"][0]["emailAddress"] == "operators@archive.example"
    assert {str(rule.properties["actions"]["actionGroups"]) for rule in rules(PUBLIC).values()} == {str([people.access("id")])}
    assert not LEAST.of("Microsoft.Insights/actionGroups")
    assert {str(rule.properties["actions"]["actionGroups"]) for rule in rules(LEAST).values()} == {"[]"}


def test_telemetry_takes_identities_alone() -> None:
    (component,), (workspace,) = LEAST.of("Microsoft.Insights/components"), LEAST.of("Microsoft.OperationalInsights/workspaces")
    assert component.properties["DisableLocalAuth"] is True
    assert workspace.properties["features"]["disableLocalAuth"] is True
    assert str(component.properties["WorkspaceResourceId"]).endswith(f"{workspace.name}.id")


def test_a_budget_asks_for_its_first_month() -> None:
    (budget,) = PUBLIC.of("Microsoft.Consumption/budgets")
    assert budget.properties["timePeriod"] == {"startDate": "2026-01-01"}
    assert not deploy(name="archive", budgetAmount=500).of("Microsoft.Consumption/budgets")  # Azure would refuse it one month later


TAKES_NO_TAGS: Final = ("roleAssignments", "locks", "diagnosticSettings", "budgets", "keys", "secrets", "privateDnsZoneGroups")


def test_everything_that_takes_tags_has_them() -> None:
    deployed = deploy(
        name="archive",
        tags={"owner": "radiology"},
        privateNetwork=True,
        fhir="create",
        customerManagedKey=True,
        alertEmail="operators@archive.example",
    )
    for resource in deployed.resources:
        if "parent" not in resource.body and not resource.type.endswith(TAKES_NO_TAGS):
            assert resource.body["tags"]["owner"] == "radiology", resource.type


def files() -> list[str]:
    return sorted(path.relative_to(INFRA).as_posix() for path in INFRA.rglob("*.bicep"))


@pytest.mark.parametrize("name", files())
def test_every_parameter_and_output_is_described(name: str) -> None:
    declared = template(INFRA / name)
    undescribed = [parameter for parameter, details in declared.parameters.items() if "description" not in details.decorators]
    assert not undescribed
    outputs = [output for output, (marks, *_) in declared.statements("output") if marks is None]
    assert not outputs


def test_a_name_is_enough() -> None:
    assert [name for name, parameter in template().parameters.items() if parameter.default is None] == ["name"]


@pytest.mark.parametrize("name", sorted(template().parameters))
def test_every_parameter_is_in_the_deployment_guide(name: str) -> None:
    assert f"`{name}`" in (INFRA.parent / "docs/deploy.md").read_text(encoding="utf-8")


@EVERY_DEPLOYMENT
def test_names_are_of_azures_form(deployed: Deployed) -> None:
    for resource in deployed.of("Microsoft.Storage/storageAccounts"):
        assert re.fullmatch(r"[a-z0-9]{3,24}", resource.name)
    for resource in deployed.of("Microsoft.KeyVault/vaults"):
        assert re.fullmatch(r"[a-z][a-z0-9-]{1,22}[a-z0-9]", resource.name)
    for resource in deployed.of("Microsoft.HealthcareApis/workspaces"):
        assert re.fullmatch(r"[a-z0-9]{3,24}", resource.name)


def test_the_longest_name_fits() -> None:
    for resource in deploy(name="abcdefghij", customerManagedKey=True, fhir="create").resources:
        if resource.type in {"Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults", "Microsoft.HealthcareApis/workspaces"}:
            assert len(resource.name) <= 24


@pytest.mark.parametrize("name", files())
def test_modules_are_our_own(name: str) -> None:
    modules = [str(parts[1].children[0]).strip("'") for _, parts in template(INFRA / name).statements("module")]
    assert all((INFRA / name).parent.joinpath(module).exists() for module in modules)


@pytest.mark.parametrize("name", files())
def test_a_policy_that_is_overlooked_has_its_reason(name: str) -> None:
    for skip in re.findall(r"checkov:skip=.*", (INFRA / name).read_text(encoding="utf-8")):
        assert re.fullmatch(r"checkov:skip=CKV2?_AZURE_\d+: \w.{10,}", skip)
