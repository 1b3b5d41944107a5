"""What must never be open: keys, public blobs, old TLS, any origin, roles beyond need, secrets in sight, a closed network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from tests.infra.cases import ALL, LEAST, PRIVATE, PUBLIC, app_settings, data_account
from tests.infra.deployment import INFRA, Deployed, Resource, template

EVERY_DEPLOYMENT: Final = pytest.mark.parametrize("deployed", ALL.values(), ids=ALL)
STORAGE: Final = "Microsoft.Storage/storageAccounts"


def entries(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give each value within a value, with its path; resources that are pointed to apart."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from entries(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from entries(inner, path)
    elif not isinstance(value, Resource):
        yield path, value


@EVERY_DEPLOYMENT
def test_storage_takes_identities_alone(deployed: Deployed) -> None:
    accounts = deployed.of(STORAGE)
    assert len(accounts) == 2
    for account in accounts:
        properties = account.properties
        assert properties["allowSharedKeyAccess"] is False
        assert properties["allowBlobPublicAccess"] is False
        assert properties["allowCrossTenantReplication"] is False
        assert properties["isLocalUserEnabled"] is False
        assert properties["minimumTlsVersion"] == "TLS1_2"
        assert properties["supportsHttpsTrafficOnly"] is True
    assert {container.properties["publicAccess"] for container in deployed.of(f"{STORAGE}/blobServices/containers")} == {"None"}


@EVERY_DEPLOYMENT
def test_the_app_speaks_https_and_has_no_password(deployed: Deployed) -> None:
    (app,) = deployed.of("Microsoft.Web/sites")
    assert app.properties["httpsOnly"] is True
    assert app.properties["siteConfig"]["minTlsVersion"] == app.properties["siteConfig"]["scmMinTlsVersion"] == "1.2"
    policies = deployed.of("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert {policy.body["name"]: policy.properties["allow"] for policy in policies} == {"ftp": False, "scm": False}


@EVERY_DEPLOYMENT
def test_no_origin_is_a_wildcard(deployed: Deployed) -> None:
    origins = [value for resource in deployed.resources for path, value in entries(resource.body) if "origin" in path.lower()]
    assert "*" not in "".join(map(str, origins))
    assert all("cors" not in path.lower() for app in deployed.of("Microsoft.Web/sites") for path, _ in entries(app.body))


def test_origins_are_those_that_were_given_and_the_viewers() -> None:
    (site,) = PUBLIC.of("Microsoft.Web/staticSites")
    viewer = f"https://{site.access('properties.defaultHostname')}"
    assert app_settings(PUBLIC)["CORS_ALLOWED_ORIGINS"] == f"https://viewer.example,{viewer}"
    assert app_settings(LEAST)["CORS_ALLOWED_ORIGINS"] == ""


BLOB_OWNER, BLOB, TABLE, QUEUE, SENDER, METRICS, FHIR, SECRETS, KEY = (
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
    "3913510d-42f4-4e42-8a64-420c390055eb",
    "5a1fc7df-4bf1-4951-a576-89034ee01acd",
    "4633458b-17de-408a-b874-0445c86b69e6",
    "e147488a-f6f5-4113-8e2d-b22465e65bf6",
)
APP, TOPIC, KEY_USER = "id-archive-01234567", "evgt-archive-01234567", "id-archive-01234567-key"
EVERYWHERE: Final = {
    (APP, "archivedata01234567", BLOB),  # not owner: it could delete versions
    (APP, "archivedata01234567", TABLE),
    (APP, "archivedata01234567", QUEUE),
    (APP, "archivehost01234567", BLOB_OWNER),  # the Functions host asks for it
    (APP, "archivehost01234567", TABLE),
    (APP, "archivehost01234567", QUEUE),
    (APP, "appi-archive-01234567", METRICS),
}
ROLES: Final = {
    "least": EVERYWHERE,
    "public": EVERYWHERE | {(APP, "kv-archive-01234567", SECRETS), (KEY_USER, "kv-archive-01234567/storage", KEY)},
    "private": EVERYWHERE
    | {
        (APP, "archivehealth01234567/fhir", FHIR),
        (TOPIC, "archivedata01234567/default/inbox-events", SENDER),
        (KEY_USER, "kv-archive-01234567/storage", KEY),
    },
}
"""Who, where, what: nothing more, and nothing less."""


@pytest.mark.parametrize("name", ALL)
def test_every_identity_has_exactly_the_roles_it_needs(name: str) -> None:
    assignments = ALL[name].of("Microsoft.Authorization/roleAssignments")
    given = {
        (
            re.sub(r".*/(.*?)\.(properties|identity)\.principalId", r"\1", assignment.properties["principalId"]),
            assignment.body["scope"].name,
            assignment.properties["roleDefinitionId"].rpartition("/")[2],
        )
        for assignment in assignments
    }
    assert given == ROLES[name]
    assert len(given) == len(assignments)
    assert {assignment.properties["principalType"] for assignment in assignments} == {"ServicePrincipal"}


def files() -> list[str]:
    return sorted(path.relative_to(INFRA).as_posix() for path in INFRA.rglob("*.bicep"))


@pytest.mark.parametrize("name", files())
def test_no_secret_is_in_a_parameter_or_an_output(name: str) -> None:
    declared = template(INFRA / name)
    for parameter, details in declared.parameters.items():
        if re.search(r"secret$|password|token$|Key$", parameter, re.IGNORECASE) and details.type == "string":
            assert "secure" in details.decorators, parameter
    keys = re.findall(r"\blist\w*Keys?\w*\(", declared.source)
    assert len(keys) == (name == "inbox-subscription.bicep")  # the webhook's own key, which goes from Azure to Azure
    outputs = [str(part) for _, parts in declared.statements("output") for part in parts]
    assert not re.search(r"listKeys|secret\b|InstrumentationKey", " ".join(outputs))


@EVERY_DEPLOYMENT
def test_no_setting_holds_a_secret(deployed: Deployed) -> None:
    settings = app_settings(deployed)
    assert not [name for name in settings if re.search(r"KEY$|PASSWORD|^STORAGE$|^AzureWebJobsStorage$", name)]
    assert "secret" not in {value for value in settings.values() if not str(value).startswith("@Microsoft.KeyVault(")}


def test_the_fhir_clients_secret_lies_in_the_vault() -> None:
    (secret,) = PUBLIC.of("Microsoft.KeyVault/vaults/secrets")
    assert secret.properties["value"] == "secret"
    reference = app_settings(PUBLIC)["FHIR_CLIENT_SECRET"]
    assert reference.endswith(f"secrets/{secret.body['name']})")
    (app,) = PUBLIC.of("Microsoft.Web/sites")
    assert app.properties["keyVaultReferenceIdentity"].endswith(f"{APP}.id")
    assert app_settings(PRIVATE)["FHIR_CLIENT_SECRET"] == ""


STAYS_REACHABLE: Final = {
    "Microsoft.OperationalInsights/workspaces": "takes no keys; closing it asks for a private link scope of the whole network",
    "Microsoft.Insights/components": "as the workspace",
}


def test_a_private_network_closes_everything() -> None:
    for resource in PRIVATE.resources:
        for path, value in entries(resource.body):
            if "publicNetworkAccess" in path and resource.type not in STAYS_REACHABLE:
                assert value == "Disabled", f"{resource.type} {path}"
            if path.endswith("networkAcls.defaultAction"):
                assert value == "Deny"
    assert not PRIVATE.of("Microsoft.Web/staticSites")


HAVE_ENDPOINTS: Final = {
    STORAGE: {"blob", "table", "queue"},
    "Microsoft.KeyVault/vaults": {"vault"},
    "Microsoft.HealthcareApis/workspaces": {"healthcareworkspace"},
    "Microsoft.Web/sites": {"sites"},
}


def test_what_is_closed_is_reached_by_private_endpoints() -> None:
    found: dict[str, set[str]] = {}
    for endpoint in PRIVATE.of("Microsoft.Network/privateEndpoints"):
        (connection,) = endpoint.properties["privateLinkServiceConnections"]
        target = str(connection["properties"]["privateLinkServiceId"])
        found.setdefault(target, set()).update(connection["properties"]["groupIds"])
        assert endpoint.properties["subnet"]["id"].endswith("/endpoints")
    assert found == {str(resource.access("id")): groups for kind, groups in HAVE_ENDPOINTS.items() for resource in PRIVATE.of(kind)}


def test_the_names_of_private_endpoints_are_in_zones_that_the_network_asks() -> None:
    zones = {zone.name for zone in PRIVATE.of("Microsoft.Network/privateDnsZones")}
    linked = {link.body["parent"].name for link in PRIVATE.of("Microsoft.Network/privateDnsZones/virtualNetworkLinks")}
    groups = PRIVATE.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    used = {c["properties"]["privateDnsZoneId"].rpartition("/")[2] for group in groups for c in group.properties["privateDnsZoneConfigs"]}
    assert used == zones == linked
    assert len(groups) == len(PRIVATE.of("Microsoft.Network/privateEndpoints"))


def test_the_app_goes_out_through_the_network() -> None:
    (app,) = PRIVATE.of("Microsoft.Web/sites")
    (network,) = PRIVATE.of("Microsoft.Network/virtualNetworks")
    subnets = {subnet["name"]: subnet["properties"] for subnet in network.properties["subnets"]}
    assert app.properties["virtualNetworkSubnetId"].endswith("/app")
    assert subnets["app"]["delegations"][0]["properties"]["serviceName"] == "Microsoft.App/environments"
    assert subnets["app"]["natGateway"] is not None
    assert all(subnet["networkSecurityGroup"] for subnet in subnets.values())
    assert LEAST.of("Microsoft.Web/sites")[0].properties["virtualNetworkSubnetId"] is None


def test_a_key_of_the_owners_encrypts_everything() -> None:
    for account in [*PUBLIC.of(STORAGE), *LEAST.of(STORAGE)]:
        encryption = account.properties["encryption"]
        theirs = account in PUBLIC.of(STORAGE) and account.name == data_account(PUBLIC)
        assert encryption["keySource"] == ("Microsoft.Keyvault" if theirs else "Microsoft.Storage")
        if theirs:
            assert {service["keyType"] for service in encryption["services"].values()} == {"Account"}
            assert encryption["identity"]["userAssignedIdentity"] in account.body["identity"]["userAssignedIdentities"]
    (vault,) = PUBLIC.of("Microsoft.KeyVault/vaults")
    assert vault.properties["enablePurgeProtection"] is True
    assert vault.properties["enableRbacAuthorization"] is True
    assert not LEAST.of("Microsoft.KeyVault/vaults")
