"""Who assigned an identifier: the five rules, in their order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from shared.fhir.authorities import system_for
from shared.fhir.dataset import EMPTY, Dataset
from tests.support.fhir_evidence import CANONICAL, context, dataset
from tests.support.fhir_junk import junk_datasets

FALLBACK = "urn:oid:1.2.9"
UUID = "123E4567-e89b-12d3-a456-426614174000"
MAP = {"Mercy": "https://mercy.example/mrn", "1.2.3": "https://mapped.example"}


def qualifiers(value: str | None = None, kind: str | None = None, local: str | None = None) -> Dataset:
    return dataset(UniversalEntityID=value, UniversalEntityIDType=kind, LocalNamespaceEntityID=local)


@pytest.mark.parametrize(
    ("value", "kind", "system"),
    [
        ("2.16.840.1.113883.19.5", "ISO", "urn:oid:2.16.840.1.113883.19.5"),
        ("2.16.840.1.113883.19.5 ", "iso", "urn:oid:2.16.840.1.113883.19.5"),
        (UUID, "UUID", f"urn:uuid:{UUID.lower()}"),
        ("https://mercy.example/ids", "URI", "https://mercy.example/ids"),
        ("urn:example:ids", "URI", "urn:example:ids"),
        ("mercy.example", "DNS", "https://mercy.example"),
    ],
)
def test_a_universal_entity_id_goes_before_all_else(value: str, kind: str, system: str) -> None:
    assert system_for("Mercy", qualifiers(value, kind, "Mercy"), FALLBACK, context(issuer_map=MAP)) == system


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("ACME", "ISO"),
        ("1.02", "ISO"),
        ("not-a-uuid", "UUID"),
        ("has blanks", "URI"),
        ("relative/path", "URI"),
        ("mercy example", "DNS"),
        ("-mercy.example", "DNS"),
        ("0123456789ABCDEF", "EUI64"),
        ("CN=x", "X500"),
        ("1.2.3", None),
        (None, "ISO"),
    ],
)
def test_a_universal_entity_id_of_no_use_is_passed_over(value: str | None, kind: str | None) -> None:
    assert system_for("Mercy", qualifiers(value, kind), FALLBACK, context(issuer_map=MAP)) == "https://mercy.example/mrn"
    assert system_for(None, qualifiers(value, kind), FALLBACK, context()) == FALLBACK


@pytest.mark.parametrize(
    ("issuer", "local", "system"),
    [
        ("Mercy", None, "https://mercy.example/mrn"),
        (" Mercy ", None, "https://mercy.example/mrn"),
        ("MERCY", None, "https://mercy.example/mrn"),
        (None, "mercy", "https://mercy.example/mrn"),
        ("Unmapped", "Mercy", "https://mercy.example/mrn"),
        ("1.2.3", None, "https://mapped.example"),
    ],
)
def test_the_operators_map_is_looked_up_exactly_then_regardless_of_case(issuer: str | None, local: str | None, system: str) -> None:
    assert system_for(issuer, qualifiers(local=local), FALLBACK, context(issuer_map=MAP)) == system


def test_an_exact_entry_goes_before_one_in_other_case() -> None:
    both = {"MERCY": "https://upper.example", "Mercy": "https://mixed.example"}
    assert system_for("MERCY", EMPTY, FALLBACK, context(issuer_map=both)) == "https://upper.example"
    assert system_for("Mercy", EMPTY, FALLBACK, context(issuer_map=both)) == "https://mixed.example"


@pytest.mark.parametrize(
    ("issuer", "system"),
    [
        ("2.16.840.1.113883.19.5", "urn:oid:2.16.840.1.113883.19.5"),
        (UUID, f"urn:uuid:{UUID.lower()}"),
        ("https://mercy.example/ids", "https://mercy.example/ids"),
        ("urn:oid:1.2.3", "urn:oid:1.2.3"),
    ],
)
def test_an_issuer_that_is_unique_in_the_world_is_the_system(issuer: str, system: str) -> None:
    assert system_for(issuer, EMPTY, FALLBACK, context()) == system
    assert system_for(None, qualifiers(local=issuer), FALLBACK, context()) == system


@pytest.mark.parametrize(
    ("issuer", "part"),
    [
        ("General Hospital", "General%20Hospital"),
        ("A/B|C#D?E&F+G,$", "A%2FB%7CC%23D%3FE%26F%2BG%2C%24"),
        ("Krankenhaus Süd", "Krankenhaus%20S%C3%BCd"),
        ("Ward:7", "Ward%3A7"),
        ("https://has blanks", "https%3A%2F%2Fhas%20blanks"),
        ("1.02", "1.02"),
    ],
)
def test_any_other_issuer_is_a_system_of_ours(issuer: str, part: str) -> None:
    assert system_for(issuer, EMPTY, FALLBACK, context()) == f"{CANONICAL}/issuer/{part}"


@pytest.mark.parametrize("issuer", [None, "", "  ", "\0"])
def test_without_an_issuer_the_operators_system_counts(issuer: str | None) -> None:
    assert system_for(issuer, EMPTY, FALLBACK, context(issuer_map=MAP)) == FALLBACK


@given(junk_datasets("UniversalEntityID", "UniversalEntityIDType", "LocalNamespaceEntityID", "IssuerOfPatientID"))
def test_no_input_breaks_an_issuer_and_every_system_is_one_word(junk: dict[str, Any]) -> None:
    found = Dataset(junk)
    issuer = found.first("IssuerOfPatientID")
    system = system_for(issuer if isinstance(issuer, str) else None, found, FALLBACK, context(issuer_map=MAP))
    assert len(system.split()) == 1
    assert system.isascii()
