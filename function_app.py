"""Composition root: settings → adapters → services → blueprints. No logic, no routes.

The host finds the functions by importing this module, so composing must not fail and must not touch the network:
clients connect, and the archive's key is read, at the first request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func

from functions import capabilities, changefeed, delete, fhir_sync, ingest, observe, openapi, qido, settle, stow, wado
from functions._http import Edge, Guards
from shared.access import Access, ClosedAccess, access_for
from shared.adapters.fhir_http import open_fhir
from shared.adapters.openid_keys import OpenIdKeys
from shared.adapters.stores import before_closing, open_stores
from shared.adapters.telemetry import open_telemetry
from shared.errors import NotConfigured
from shared.limits import limits_per_caller
from shared.services.archive import Archive
from shared.services.audit import AuditService
from shared.settings import Settings, StorageSettings, runs_on_azure
from shared.telemetry.guard import install_guard
from shared.telemetry.logs import write_logs_as_json
from shared.telemetry.stores import observed

if TYPE_CHECKING:
    from shared.fhir.server import FhirServer
    from shared.ports import Stores


def create_app(
    settings: Settings, stores: Stores, access: Access, fhir: FhirServer | None = None, guards: Guards | None = None
) -> func.FunctionApp:
    """Compose the function app on a set of stores, and on a FHIR server where one is to be kept in step."""
    guards = guards or Guards()
    archive, edge = Archive(stores, settings, fhir, guards.audit), Edge(settings, access, guards)
    blueprints = (
        stow.blueprint(archive, edge),
        qido.blueprint(archive, edge),
        wado.blueprint(archive, edge),
        delete.blueprint(archive, edge),
        changefeed.blueprint(archive, edge),
        fhir_sync.blueprint(archive, edge),
        capabilities.blueprint(archive, edge),
        openapi.blueprint(edge, settings),
        ingest.blueprint(archive, settings.inbox_trigger, guards.observe),
        settle.blueprint(archive, guards.observe),
        *([observe.blueprint(archive, guards.observe)] if guards.observe else []),
    )
    return _assemble(*blueprints)


def closed_app(reason: str) -> func.FunctionApp:
    """Compose an app that answers every request with 503 and the reason."""
    edge = Edge(Settings(storage=StorageSettings(kind="embedded")), ClosedAccess(reason))
    return _assemble(capabilities.fallback(edge))


def _assemble(*blueprints: func.Blueprint) -> func.FunctionApp:
    assembled = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    for blueprint in blueprints:
        assembled.register_functions(blueprint)
    return assembled


def _audit_trail(settings: Settings, stores: Stores, access: Access) -> AuditService | None:
    """Keep an audit trail; a closed service keeps none, as it lets nobody in and touches no storage."""
    if isinstance(access, ClosedAccess):
        return None
    trail = AuditService(stores.blobs, stores.clock, settings.audit_source, settings.audit_when_down)
    before_closing(trail.close)
    return trail


def _compose() -> func.FunctionApp:
    install_guard()
    if runs_on_azure():
        write_logs_as_json()
    try:
        settings = Settings.from_environment()
        stores, access, telemetry = open_stores(settings.storage), access_for(settings, OpenIdKeys), open_telemetry(settings.telemetry)
        stores = observed(stores, telemetry) if telemetry else stores
        limits = limits_per_caller(settings.caller_requests_per_second, settings.caller_requests_at_once)
        guards = Guards(limits, _audit_trail(settings, stores, access), telemetry)
        return create_app(settings, stores, access, open_fhir(settings.fhir), guards)
    except NotConfigured as error:
        return closed_app(str(error))


app = _compose()
