"""Composition root: settings → adapters → services → blueprints. No logic, no routes.

The host finds the functions by importing this module, so composing must not fail and must not touch the network:
clients connect, and the archive's key is read, at the first request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.functions as func

from functions import capabilities, changefeed, delete, fhir_sync, ingest, qido, settle, stow, wado
from functions._http import Edge, Guards
from shared.access import Access, ClosedAccess, access_for
from shared.adapters.fhir_http import open_fhir
from shared.adapters.stores import open_stores
from shared.errors import NotConfigured
from shared.services.archive import Archive
from shared.settings import Settings, StorageSettings
from shared.telemetry import install_guard

if TYPE_CHECKING:
    from shared.fhir.server import FhirServer
    from shared.ports import Stores


def create_app(
    settings: Settings, stores: Stores, access: Access, fhir: FhirServer | None = None, guards: Guards | None = None
) -> func.FunctionApp:
    """Compose the function app on a set of stores, and on a FHIR server where one is to be kept in step."""
    archive, edge = Archive(stores, settings, fhir), Edge(settings, access, guards or Guards())
    blueprints = (
        stow.blueprint(archive, edge),
        qido.blueprint(archive, edge),
        wado.blueprint(archive, edge),
        delete.blueprint(archive, edge),
        changefeed.blueprint(archive, edge),
        fhir_sync.blueprint(archive, edge),
        capabilities.blueprint(archive, edge),
        ingest.blueprint(archive, settings.inbox_trigger),
        settle.blueprint(archive),
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


def _compose() -> func.FunctionApp:
    install_guard()
    try:
        settings = Settings.from_environment()
        return create_app(settings, open_stores(settings.storage), access_for(settings), open_fhir(settings.fhir))
    except NotConfigured as error:
        return closed_app(str(error))


app = _compose()
