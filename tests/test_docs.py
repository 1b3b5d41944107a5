"""The documentation is complete and true where a machine can tell: settings, routes, codes, sections, links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from function_app import create_app
from functions._http import STATUS
from shared.access import OpenAccess
from shared.dicomweb.store_report import FailureReason, WarningReason
from shared.errors import NotConfigured
from shared.fhir.dose_tables import ADMINISTRATION, CT_EVENT, CT_TOTALS, PROJECTION_EVENT, PROJECTION_TOTALS, Row
from shared.fhir.imaging_study import frame, imaging_study
from shared.fhir.issues import IssueClass, IssueCode
from shared.fhir.patient import patient
from shared.settings import Settings, StorageSettings
from tests.support.fhir_evidence import context, evidence, instance
from tests.support.stores import memory_stores
from tests.unit.fhir.test_worked_example import YAMADA

ROOT: Final = Path(__file__).resolve().parent.parent
DOCUMENTS: Final = [
    path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("samples/*.md")]
]
CONFORMANCE: Final = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
SETTINGS: Final = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
FHIR: Final = (ROOT / "docs/fhir.md").read_text(encoding="utf-8")

OUR_HOSTS: Final = {"127.0.0.1", "localhost", "dicomweb.localhost", "archive.example", "login.microsoftonline.com"}
SYSTEM_HOSTS: Final = {
    *("dicom.nema.org", "hl7.org", "loinc.org", "ncicb.nci.nih.gov", "radelement.org", "radlex.org", "sig.biostr.washington.edu"),
    *("snomed.info", "terminology.hl7.org", "unitsofmeasure.org"),
}
"""Hosts in the names of code systems, which FHIR writes as URLs and nobody calls."""

MACHINE_PATH: Final = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|opt|mnt|srv)/\w")
LINK: Final = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


class Recorder(Mapping[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def settings_that_are_read() -> set[str]:
    """Ask for every variable, of either kind of storage, with FHIR."""
    asked: set[str] = set()
    for values in ({}, {"STORAGE_DATA_DIR": "data"}, {"FHIR_BASE_URL": "https://archive.example"}):
        recorder = Recorder(values)
        with suppress(NotConfigured):  # what is missing was asked for
            Settings.from_environment(recorder)
        asked |= recorder.asked
    return asked


@pytest.mark.parametrize("name", sorted(settings_that_are_read()))
def test_a_setting_is_documented(name: str) -> None:
    assert f"| `{name}` |" in SETTINGS


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Give the dotted paths of all values of a JSON document."""
    if not isinstance(value, dict):
        yield path
        return
    for name, inner in value.items():
        yield from leaves(inner, f"{path}.{name}" if path else name)


@pytest.mark.parametrize("path", [path for path in leaves(json.loads((ROOT / "host.json").read_text())) if path != "version"])
def test_a_value_of_host_json_has_its_reason(path: str) -> None:
    assert f"`{path}`" in SETTINGS


@pytest.mark.parametrize("name", json.loads((ROOT / "local.settings.example.json").read_text())["Values"])
def test_a_setting_of_the_example_is_documented(name: str) -> None:
    assert f"`{name}`" in SETTINGS


def routes() -> list[str]:
    """Give method and readable path of every HTTP function, versions and fallback apart."""
    app = create_app(Settings(storage=StorageSettings(kind="embedded")), memory_stores(), OpenAccess())
    entries = (function.get_user_function() for function in app.get_functions())
    http = [entry.route for entry in entries if hasattr(entry, "route")]
    return [
        f"{method} {route.readable.removeprefix('/{version}')}"
        for route in http
        for method in route.methods
        if method != "HEAD" and "{*" not in route.readable
    ]


@pytest.mark.parametrize("route", sorted(routes()))
def test_a_route_is_in_the_conformance_statement(route: str) -> None:
    assert f"`{route}`" in CONFORMANCE


@pytest.mark.parametrize("code", [*FailureReason, *WarningReason], ids=lambda code: f"{code:04X}")
def test_a_reason_is_in_the_conformance_statement(code: FailureReason | WarningReason) -> None:
    kind = "Failure Reason" if isinstance(code, FailureReason) else "Warning Reason"
    assert f"| {int(code)} | {int(code):04X} | {kind} |" in CONFORMANCE


@pytest.mark.parametrize("status", sorted({*STATUS.values(), 200, 202, 204, 206, 304, 405}))
def test_a_status_is_in_the_conformance_statement(status: int) -> None:
    assert f"\n| {status} |" in CONFORMANCE


@pytest.mark.parametrize("name", [*IssueClass, *IssueCode], ids=str)
def test_a_class_or_code_of_issues_is_explained(name: IssueClass | IssueCode) -> None:
    assert f"\n| `{name}` |" in FHIR


@pytest.mark.parametrize("code", IssueCode, ids=str)
def test_a_code_of_issues_names_classes_that_there_are(code: IssueCode) -> None:
    (cell,) = re.findall(rf"^\| `{code}` \| ([^|]+) \|", FHIR, re.MULTILINE)
    assert {IssueClass(name) for name in re.findall(r"`([a-z-]+)`", cell)}


@pytest.mark.parametrize(
    "row", [*CT_TOTALS, *PROJECTION_TOTALS, *ADMINISTRATION, *CT_EVENT, *PROJECTION_EVENT], ids=lambda row: row.display
)
def test_a_component_of_dose_is_documented_with_its_unit(row: Row) -> None:
    (cells,) = set(re.findall(rf"^\| {row.keys[0][1]} \| (.+) \| (.+) \| .+ \|$", FHIR, re.MULTILINE))
    assert cells[0].startswith(row.display)
    assert cells[1] == (row.unit or {"count": "number", "concept": "concept"}[row.form])


def json_of(text: str) -> list[Any]:
    """Give the JSON documents among the examples of a page."""
    return [json.loads(block) for block in re.findall(r"^```json\n(.+?)^```", text, re.MULTILINE | re.DOTALL)]


def test_the_worked_example_is_what_comes_out() -> None:
    gathered, ctx = evidence([instance(InstanceNumber=number, **YAMADA) for number in (1, 2)]), context()
    who, study = patient(gathered, ctx), imaging_study(gathered, frame(gathered, ctx), ctx)
    assert who is not None
    assert json_of(FHIR)[-2:] == [{"id": draft.identity.logical_id, **draft.resource} for draft in (who, study)]


def sections_of_cases() -> set[str]:
    """Give the sections of the standard that ids of conformance tests begin with."""
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob("tests/conformance/test_*.py")]
    return {section for text in texts for section in re.findall(r'id=f?"(?:PS3\.\d+ )?((?:[A-Z]\.)?\d+(?:\.\d+)+)', text)}


@pytest.mark.parametrize("section", sorted(sections_of_cases()))
def test_a_tested_section_is_in_the_conformance_statement(section: str) -> None:
    assert re.search(rf"(?<![\d.]){re.escape(section)}(?!\d|\.\d)", CONFORMANCE)


def anchors(document: Path) -> set[str]:
    """Give the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    for target in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            document = (ROOT / name).parent / path if path else ROOT / name
            assert document.exists(), target
            assert not anchor or anchor in anchors(document), target


@pytest.mark.parametrize("name", [*DOCUMENTS, "Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt", "package.json"])
def test_documents_name_no_strange_hosts_and_no_machine(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert set(re.findall(r"https?://([\w.-]+)", text)) <= OUR_HOSTS | (SYSTEM_HOSTS if name == "docs/fhir.md" else set())
    assert not MACHINE_PATH.search(text)


def test_the_readme_opens_with_the_two_commands() -> None:
    opening = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split()[:100])
    assert "make run" in opening
    assert "make test" in opening


def test_decisions_are_numbered_listed_and_complete() -> None:
    records = sorted(path for path in (ROOT / "docs/decisions").glob("*.md") if path.name != "README.md")
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    for path in records:
        assert f"({path.name})" in index
        assert {"context", "decision", "consequences"} <= anchors(path)


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_proof_of_an_answer_to_a_threat_is_there() -> None:
    proofs = set(re.findall(r"`((?:tests|tools)/[\w./]+\.py)", (ROOT / "docs/security.md").read_text(encoding="utf-8")))
    assert len(proofs) > 20
    assert [proof for proof in sorted(proofs) if not (ROOT / proof).is_file()] == []
