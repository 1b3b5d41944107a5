"""What the local FHIR server finds.

FHIR R4 3.1.1 "Search".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from tests.support.fhir import PATIENCE_SECONDS, SYSTEM, FhirClient, is_outcome, new_id, patient, reference, study

if TYPE_CHECKING:
    from localhost.fhir_server import FhirServer


@pytest.fixture(scope="module")
def fhir(fhir_server: FhirServer) -> FhirClient:
    return FhirClient(fhir_server.url)


IDENTIFIERS = [
    ("plain", "A-1"),
    ("comma", "a,b"),
    ("pipe", "a|b"),
    ("dollar", "a$b"),
    ("backslash", "a\\b"),
    ("backslash and comma", "a\\,b"),
    ("to be encoded", "a+b &c#d%e=f"),
    ("not ascii", "é山"),
]


def escaped(text: str) -> str:
    return "".join(f"\\{character}" if character in "\\,$|" else character for character in text)


@pytest.mark.parametrize("value", [row[1] for row in IDENTIFIERS], ids=[row[0] for row in IDENTIFIERS])
def test_an_identifier_is_found_whatever_is_in_it(fhir: FhirClient, value: str) -> None:
    system = f"urn:uuid:{new_id()}"
    wanted, other = patient(), patient()
    fhir.put({**wanted, "identifier": [{"system": system, "value": value}]})
    fhir.put({**other, "identifier": [{"system": system, "value": value[:1]}, {"system": system, "value": value[-1:]}]})
    for find in (fhir.find, fhir.find_by_post):
        assert [found["id"] for found in find("Patient", identifier=f"{system}|{escaped(value)}")] == [wanted["id"]]


def test_an_identifier_is_a_system_and_a_value_exactly(fhir: FhirClient) -> None:
    token, system = f"V{new_id()}", f"urn:uuid:{new_id()}"
    with_system = patient(identifier=[{"system": system, "value": token, "type": {"text": f"{token}-text"}}])
    without = patient(identifier=[{"value": token}])
    fhir.put(with_system)
    fhir.put(without)

    def found(text: str) -> set[str]:
        return {resource["id"] for resource in fhir.find("Patient", identifier=text)}

    assert found(f"{system}|{token}") == {with_system["id"]}
    assert found(f"|{token}") == {without["id"]}
    assert found(token) == {with_system["id"], without["id"]}
    assert found(f"{system}|") == {with_system["id"]}
    assert found(f"x,{system}|{token},y") == {with_system["id"]}
    for other in (token.lower(), token[:-1], f"{system.upper()}|{token}", f"{token}-text"):
        assert found(other) == set()


def test_parameters_are_joined_by_and(fhir: FhirClient) -> None:
    system = f"urn:uuid:{new_id()}"
    both = patient(identifier=[{"system": system, "value": "1"}, {"system": system, "value": "2"}])
    fhir.put(both)
    fhir.put(patient(identifier=[{"system": system, "value": "1"}]))
    answer = fhir.call("GET", f"Patient?identifier={system}|1&identifier={system}|2").json()
    assert [entry["resource"]["id"] for entry in answer["entry"]] == [both["id"]]


def test_a_search_gives_full_urls_modes_and_a_total(fhir: FhirClient) -> None:
    resource = patient()
    fhir.put(resource)
    bundle = fhir.call("GET", f"Patient?_id={resource['id']}").json()
    assert (bundle["type"], bundle["total"]) == ("searchset", 1)
    (entry,) = bundle["entry"]
    assert (entry["fullUrl"], entry["search"]["mode"]) == (f"{fhir.url}/{reference(resource)}", "match")
    assert bundle["link"] == [{"relation": "self", "url": f"{fhir.url}/Patient?_id={resource['id']}"}]
    assert "entry" not in fhir.call("GET", f"Patient?_id={new_id()}").json()


def test_pages_are_linked(fhir: FhirClient) -> None:
    system = f"urn:uuid:{new_id()}"
    ids = [fhir.put(patient(identifier=[{"system": system, "value": str(number)}])).json()["id"] for number in range(5)]
    url: str | None = f"{fhir.url}/Patient?identifier={system}|&_count=2"
    pages = []
    while url:
        bundle = requests.get(url, timeout=PATIENCE_SECONDS).json()
        pages.append([entry["resource"]["id"] for entry in bundle["entry"]])
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    assert pages == [ids[:2], ids[2:4], ids[4:]]


@pytest.mark.parametrize("parameters", ["_summary=count", "_count=0"])
def test_a_count_alone_can_be_asked_for(fhir: FhirClient, parameters: str) -> None:
    resource = patient()
    fhir.put(resource)
    bundle = fhir.call("GET", f"Patient?_id={resource['id']}&{parameters}").json()
    assert (bundle["total"], "entry" in bundle) == (1, False)


def test_unknown_parameters_are_left_out_unless_handling_is_strict(fhir: FhirClient) -> None:
    resource = patient()
    fhir.put(resource)
    query = f"Patient?_id={resource['id']}&colour=red&_include=Patient:link"
    lenient = fhir.call("GET", query).json()
    assert (lenient["total"], lenient["link"][0]["url"]) == (1, f"{fhir.url}/Patient?_id={resource['id']}")
    strict = fhir.call("GET", query, Prefer="handling=strict")
    assert (strict.status_code, is_outcome(strict)) == (400, True)


@pytest.mark.parametrize("query", ["identifier:near=1", "birthdate=soon", "_count=x", "_sort=colour"])
def test_what_cannot_be_understood_is_refused(fhir: FhirClient, query: str) -> None:
    assert fhir.call("GET", f"Patient?{query}").status_code == 400


DATES = [
    ("2026-01-10", True),
    ("2026-01", True),
    ("2026-01-11", False),
    ("ge2026-01-10T00:15:00Z", True),
    ("gt2026-01-10T00:15:00Z", False),
    ("lt2026-01-10T00:15:01Z", True),
    ("le2026-01-09", False),
    ("2026-01-10T09:15:00%2B09:00", True),
    ("ne2026-01-10", False),
]


@pytest.mark.parametrize(("wanted", "is_found"), DATES)
def test_times_are_compared_in_their_zones(fhir: FhirClient, wanted: str, is_found: bool) -> None:
    resource = study(started="2026-01-10T09:15:00+09:00")
    fhir.put(resource)
    bundle = fhir.call("GET", f"ImagingStudy?_id={resource['id']}&started={wanted}").json()
    assert bundle["total"] == is_found


def test_references_are_found_with_and_without_a_type(fhir: FhirClient) -> None:
    somebody = new_id()
    literal = study(subject={"reference": f"Patient/{somebody}"})
    logical = study(subject={"type": "Patient", "identifier": {"system": SYSTEM, "value": somebody}})
    fhir.put(literal)
    fhir.put(logical)
    for parameters in ({"patient": somebody}, {"patient": f"Patient/{somebody}"}, {"subject": f"Patient/{somebody}"}):
        assert [found["id"] for found in fhir.find("ImagingStudy", **parameters)] == [literal["id"]]
    assert [found["id"] for found in fhir.find("ImagingStudy", **{"patient:identifier": f"{SYSTEM}|{somebody}"})] == [logical["id"]]
    assert fhir.find("ImagingStudy", patient=somebody[1:]) == []


@pytest.mark.parametrize(
    ("parameter", "is_found"),
    [
        ("family=mul", True),
        ("family=ller", False),
        ("family:contains=LLER", True),
        ("family:exact=müller", False),
        ("name:exact=Müller", True),
    ],
)
def test_names_are_found_from_their_beginning(fhir: FhirClient, parameter: str, is_found: bool) -> None:
    resource = patient(name=[{"use": "usual", "family": "Müller", "given": ["Ann"]}])
    fhir.put(resource)
    assert fhir.call("GET", f"Patient?_id={resource['id']}&{parameter}").json()["total"] == is_found


def test_absence_can_be_searched_for(fhir: FhirClient) -> None:
    system = f"urn:uuid:{new_id()}"
    known, unknown = (patient(identifier=[{"system": system, "value": "1"}], **more) for more in ({"gender": "female"}, {}))
    fhir.put(known)
    fhir.put(unknown)
    assert [found["id"] for found in fhir.find("Patient", identifier=f"{system}|", **{"gender:missing": "true"})] == [unknown["id"]]
    assert [found["id"] for found in fhir.find("Patient", identifier=f"{system}|", **{"gender:not": "male"})] == [
        known["id"],
        unknown["id"],
    ]


def test_what_is_found_is_sorted_as_asked(fhir: FhirClient) -> None:
    system = f"urn:uuid:{new_id()}"
    for date in ("1970-05-01", "1968", "1970-04"):
        fhir.put(patient(identifier=[{"system": system, "value": "1"}], birthDate=date))
    assert [found["birthDate"] for found in fhir.find("Patient", identifier=f"{system}|", _sort="-birthdate")] == [
        "1970-05-01",
        "1970-04",
        "1968",
    ]
