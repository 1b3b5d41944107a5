"""An archive in this process that keeps a real FHIR server in step: requests go in through the functions, resources are read by HTTP.

Nobody waits: the archive's clock is put forward to where the next settle message is seen. Each archive has a canonical URL of
its own, and so patients, accession numbers, Endpoint and tags of its own on a FHIR server that all tests share.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode

import requests
from pydicom import Dataset

from shared.adapters.fhir_http import HttpFhirServer
from shared.catalog.keys import SETTLE_QUEUE
from shared.errors import ArchiveError
from shared.fhir.merging import without_server_meta
from shared.fhir_settings import FhirSettings
from tests.support.app_client import SETTINGS, AppClient
from tests.support.dicom_builders import make_instance, write
from tests.support.fhir import PATIENCE_SECONDS, FhirClient, reference
from tests.support.fhir_evidence import validate
from tests.support.fhir_peer import FhirPeer, Reply, hang_up, received, serving
from tests.support.sr_builders import code, container, document, text
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from http.server import BaseHTTPRequestHandler

    from shared.adapters.fhir_answers import Limits
    from shared.fhir.json_text import Resource
    from shared.ports import Message, Stores
    from tests.support.app_client import Reply as AppReply
    from tests.support.fhir import Json
    from tests.support.fhir_peer import Behaviour, Seen

EMITTED = (
    "Patient",
    "Endpoint",
    "Device",
    "Practitioner",
    "ServiceRequest",
    "ImagingStudy",
    "Observation",
    "DiagnosticReport",
    "DocumentReference",
    "Basic",
)
"""Types of the resources that we write."""

FAILED_SOP_SEQUENCE = "00081198"


class WrittenResources:
    """What an archive has written, as any client sees it: found by its tag."""

    def __init__(self, url: str, canonical: str) -> None:
        self.client, self._canonical = FhirClient(url), canonical

    def all(self, resource_type: str) -> list[Json]:
        tag = f"{self._canonical}/CodeSystem/origin|archive"
        found = self.client.find(resource_type, _tag=tag, _count="1000")
        assert len(found) < 1000, "there are more"
        return found

    def one(self, resource_type: str) -> Json:
        (found,) = self.all(resource_type)
        return found

    def everything(self) -> list[Json]:
        return [resource for resource_type in EMITTED for resource in self.all(resource_type)]

    def versions(self) -> Counter[str]:
        """Count the versions that were written, by type."""
        counted: Counter[str] = Counter()
        for resource in self.everything():
            counted[resource["resourceType"]] += int(resource["meta"]["versionId"])
        return counted

    def state(self) -> dict[str, Json]:
        """Give all that is said, in whatever version."""
        return {reference(each): without_server_meta(each) for each in self.everything()}

    def check(self) -> None:
        """Have every version of every resource checked by the second validator; the server itself has used the first."""
        for resource in self.everything():
            for version in self.client.versions(reference(resource)):
                if "resource" in version:
                    validate(version["resource"])


class HastyClock:
    """Wall time that can be put forward."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def put_forward(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=max(seconds, 0))


class LinkedArchive(AppClient):
    """The composed app on memory stores, linked to a FHIR server.

    Parameters
    ----------
    url
        Base URL of the FHIR server, or of what stands before it.
    written_at
        Where a test reads, if elsewhere.
    beside
        Another process of the same archive, whose stores and clock this one shares.

    Attributes
    ----------
    deliveries
        How often each message is delivered, chosen at random up to so many times.
    """

    deliveries = 1

    def __init__(
        self,
        url: str,
        *,
        written_at: str = "",
        beside: LinkedArchive | None = None,
        settle_delay_seconds: float = 0,
        limits: Limits | None = None,
        **choices: Any,
    ) -> None:
        self.canonical: str = beside.canonical if beside else f"http://{uuid.uuid4().hex}.example/fhir"
        self.clock: HastyClock = beside.clock if beside else HastyClock()
        self.fhir_settings = FhirSettings(
            base_url=url,
            canonical=self.canonical,
            patient_id_system=f"{self.canonical}/patient-id",
            accession_system=f"{self.canonical}/accession",
            service_root=self.canonical.replace("/fhir", "/v2"),
            **choices,
        )
        self.server = HttpFhirServer(self.fhir_settings, limits)
        self.written = WrittenResources(written_at or url, self.canonical)
        settings = replace(SETTINGS, fhir=self.fhir_settings, settle_delay_seconds=settle_delay_seconds)
        stores: Stores = beside.stores if beside else memory_stores(self.clock)
        super().__init__(stores, settings, fhir=self.server)

    async def put(self, *files: bytes) -> None:
        """Store files, whatever is there."""
        reply = await self.store(*files, method="PUT")
        assert (reply.status, FAILED_SOP_SEQUENCE in reply.json()) in {(200, False), (202, False)}, reply.body

    async def delete(self, *uids: str) -> None:
        """Delete a study, series or instance."""
        path = "".join(f"/{level}/{uid}" for level, uid in zip(("studies", "series", "instances"), uids, strict=False))
        assert (await self.send("DELETE", f"/v2{path}")).status == 204

    async def ask(self, name: str, document: Any) -> AppReply:
        """Ask the operators' functions for something."""
        return await self.post(f"/fhir-sync/{name}", "application/json", json.dumps(document).encode())

    async def rebuild(self) -> None:
        """Write everything anew, and wait for it."""
        assert (await self.ask("rebuild", {"scope": "all"})).status == 202
        await self.in_step()

    async def status(self) -> dict[str, Any]:
        """Read how the synchronisation stands."""
        status: dict[str, Any] = (await self.get("/fhir-sync/status")).json()
        return status

    async def issues(self, study: str = "") -> set[tuple[str, str]]:
        """Read class and code of the open issues, of all studies or of one."""
        found: set[tuple[str, str]] = set()
        after: str | None = ""
        while after is not None:
            chosen = {"study": study, "next": after}
            page = (await self.get(f"/fhir-sync/issues?{urlencode({name: value for name, value in chosen.items() if value})}")).json()
            found |= {(issue["class"], issue["code"]) for issue in page["issues"]}
            after = page["next"]
        return found

    async def in_step(self) -> None:
        """Pass the time until all is written; fail where something is not."""
        await self.pass_time()
        status = await self.status()
        assert (status["dirty"], status["blocked"], status["dead"], status["paused"]) == (0, 0, 0, False), (status, await self.issues())

    async def pass_time(self, seconds: float = 600) -> None:
        """Put the clock forward from one settle message to the next, so far at most; deliver those that are seen."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while (seen_at := self._next_message()) is not None and seen_at <= until.timestamp():
            self.clock.put_forward(seen_at + 1 - self.clock.now().timestamp())  # by a second more, so that several come at once
            await self.deliver()
        if seen_at is not None:
            self.clock.put_forward((until - self.clock.now()).total_seconds())

    async def deliver(self, limit: int = 32) -> None:
        """Deliver the settle messages that are seen, so many at once, in any order."""
        messages = await self.stores.queues.receive(SETTLE_QUEUE, limit=limit)
        repeated = [message for message in messages for _ in range(random.randint(1, self.deliveries))]
        await asyncio.gather(*map(self._settle, random.sample(repeated, len(repeated))))
        for message in messages:
            await self.stores.queues.delete(SETTLE_QUEUE, message)

    async def sweep(self) -> None:
        """Do what the timer does."""
        await self.handler("sweep_fhir")(None)

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """Deliver messages meanwhile, as they are seen in real time."""
        over = asyncio.Event()

        async def deliver_on() -> None:
            while not over.is_set():
                await self.deliver()
                await asyncio.sleep(0.02)

        delivering = asyncio.create_task(deliver_on())
        try:
            yield
        finally:
            over.set()
            await delivering

    async def _settle(self, message: Message) -> None:
        class Received:
            def get_body(self) -> bytes:
                return message.body.encode()

        try:
            await self.handler("settle_study")(Received())
        except ArchiveError:
            await self.stores.queues.send(SETTLE_QUEUE, message.body, delay_seconds=30)

    def _next_message(self) -> float | None:
        queues: Any = self.stores.queues
        ((seen_at,),) = queues._database.read("SELECT min(visible_at) FROM messages WHERE queue = ?", (SETTLE_QUEUE,))
        return None if seen_at is None else float(seen_at)

    def close(self) -> None:
        """Close the connections."""
        self.server.close()


Link: TypeAlias = "Callable[..., LinkedArchive]"
"""The fixture ``link``: makes archives; takes what ``LinkedArchive`` takes."""


class Relay(FhirPeer):
    """Stands before a FHIR server and hands on what it is asked, but for what ``rule`` has another answer to.

    Attributes
    ----------
    target
        Base URL of the server; where nobody is there, the connection is closed.
    answers_given
        How often each status came back from the server.
    """

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self.rule: Callable[[Seen], Behaviour | None] = lambda seen: None
        self.answers_given: Counter[int] = Counter()
        self._session = requests.Session()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        seen = received(handler)
        self.seen.append(seen)
        behaviour = self.rule(seen) or self.forward(seen)
        behaviour(handler)

    def heal(self) -> None:
        """Hand everything on again."""
        self.rule = lambda seen: None

    def forward(self, seen: Seen) -> Behaviour:
        """Ask the server; give what hands its answer on."""
        headers = {name: value for name, value in seen.headers.items() if name not in {"host", "content-length", "accept-encoding"}}
        url = f"{self.target}/{seen.path}".rstrip("/")
        try:
            answer = self._session.request(seen.method, url, data=seen.body, headers=headers, timeout=PATIENCE_SECONDS)
        except requests.ConnectionError:
            return hang_up
        self.answers_given[answer.status_code] += 1
        kept = {name: answer.headers[name] for name in ("Content-Type", "ETag", "Location") if name in answer.headers}
        return Reply(answer.status_code, answer.content, kept)


@contextmanager
def relay(target: str) -> Iterator[Relay]:
    """Run a relay on a free port."""
    with serving(Relay(target)) as running:
        yield running


def identifiers(resource: Resource, system: str) -> list[str]:
    """Give a resource's identifiers of a system."""
    return [each["value"] for each in resource["identifier"] if each.get("system") == system]


def image(study: str, number: int = 1, series: int = 1, **attributes: Any) -> bytes:
    """Make the image of a study with this number, in the series with that number."""
    uids = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.{series}", "SOPInstanceUID": f"{study}.{series}.{number}"}
    return make_instance(**{**uids, "SeriesNumber": series, "InstanceNumber": number, **attributes})


def document_file(elements: Json, study: str, series: int = 88, **attributes: Any) -> bytes:
    """Make the file of a document of a study: of a structured report, given as DICOM JSON."""
    dataset = Dataset.from_json(elements)
    patient = {"PatientID": "P1", "PatientName": "Doe^Jane", "PatientBirthDate": "19700101", "PatientSex": "F", "AccessionNumber": "A1"}
    uids = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.{series}", "SOPInstanceUID": f"{study}.{series}.1"}
    for keyword, value in {**patient, **uids, "StudyDescription": "CT HEAD", "SeriesNumber": series, **attributes}.items():
        setattr(dataset, keyword, value)
    return write(dataset)


def report_file(study: str, series: int = 77, *, impression: str = "No abnormality.", more: Json = None, **attributes: Any) -> bytes:
    """Make an imaging report of a study; ``more`` is DICOM JSON."""
    title = ("18748-4", "LN", "Diagnostic Imaging Report")
    findings = container(("121070", "DCM", "Findings"), text(("121071", "DCM", "Finding"), "Seen < & > clearly"))
    impressions = container(("121072", "DCM", "Impressions"), text(("121073", "DCM", "Impression"), impression))
    return document_file({**document(title, findings, impressions), **(more or {})}, study, series, **attributes)


def pdf_file(study: str, series: int = 66, **attributes: Any) -> bytes:
    """Make a report as PDF."""
    values = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1",
        "Modality": "DOC",
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
        "DocumentTitle": "Report as PDF",
        "ConceptNameCodeSequence": [Dataset.from_json(code("18748-4", "LN", "Diagnostic Imaging Report"))],
        "EncapsulatedDocument": b"%PDF-1.4 not much of one.",
        "EncapsulatedDocumentLength": 25,
        "ContentDate": "20240102",
        "ContentTime": "111500",
        "PixelData": None,
    }
    return image(study, 1, series, **{**values, **attributes})
