"""The local FHIR server for tests, as a child process, and a client. It never skips: without Node the tests fail and say so."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode

import requests

from localhost.fhir_server import start_fhir_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from localhost.fhir_server import FhirServer

Json: TypeAlias = Any
SYSTEM = "urn:test:mrn"
FHIR_JSON = "application/fhir+json"
PATIENCE_SECONDS = 60


@contextmanager
def running_fhir_server(folder: Path | None = None) -> Iterator[FhirServer]:
    """Run the server on a free port; its base URL is ``url``. Without a folder it keeps nothing."""
    server = start_fhir_server(folder)
    try:
        yield server
    finally:
        server.stop()


class FhirClient:
    """Speaks to a FHIR server; bodies are FHIR JSON."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()

    def call(self, method: str, path: str, body: Json = None, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body)
        content = {} if body is None else {"Content-Type": FHIR_JSON}
        return self._session.request(method, f"{self.url}/{path}", data=data, headers={**content, **named}, timeout=PATIENCE_SECONDS)

    def put(self, resource: Json, **headers: str) -> requests.Response:
        return self.call("PUT", f"{resource['resourceType']}/{resource['id']}", resource, **headers)

    def find(self, resource_type: str, **parameters: str) -> list[Json]:
        bundle = self.call("GET", f"{resource_type}?{urlencode(parameters)}").json()
        return [entry["resource"] for entry in bundle.get("entry", [])]

    def find_by_post(self, resource_type: str, **parameters: str) -> list[Json]:
        bundle = self._session.post(f"{self.url}/{resource_type}/_search", data=parameters, timeout=PATIENCE_SECONDS).json()
        return [entry["resource"] for entry in bundle.get("entry", [])]

    def versions(self, reference: str) -> list[Json]:
        entries: list[Json] = self.call("GET", f"{reference}/_history").json()["entry"]
        return entries

    def transact(self, *entries: Json, kind: str = "transaction", **headers: str) -> requests.Response:
        return self.call("POST", "", {"resourceType": "Bundle", "type": kind, "entry": list(entries)}, **headers)


def new_id() -> str:
    return str(uuid.uuid4())


def patient(value: str | None = None, **more: Json) -> Json:
    return {"resourceType": "Patient", "id": new_id(), "identifier": [{"system": SYSTEM, "value": value or new_id()}], **more}


def study(**more: Json) -> Json:
    return {"resourceType": "ImagingStudy", "id": new_id(), "status": "available", "subject": {"reference": "Patient/p"}, **more}


def observation(**more: Json) -> Json:
    return {"resourceType": "Observation", "id": new_id(), "status": "final", "code": {"text": "dose"}, **more}


def reference(resource: Json) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def put(resource: Json, url: str = "", **request: str) -> Json:
    return {"resource": resource, "request": {"method": "PUT", "url": url or reference(resource), **request}}


def delete(resource: Json, **request: str) -> Json:
    return {"request": {"method": "DELETE", "url": reference(resource), **request}}


def is_outcome(answer: requests.Response) -> bool:
    return bool(answer.json()["resourceType"] == "OperationOutcome" and answer.json()["issue"][0]["severity"] == "error")
