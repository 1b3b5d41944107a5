"""A radiation dose report becomes summaries and events, as docs/fhir.md has them row for row."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset as PydicomDataset

from shared.dicom.instance import Rules, parse_instance
from shared.fhir.dataset import Dataset
from shared.fhir.dose import IDENTIFIER_TYPES, dose
from shared.fhir.identity import Identity, uid_identity
from shared.fhir.json_text import canonical, digest, parse
from tests.support.dataset import DATASET
from tests.support.dicom_builders import write
from tests.support.sr_builders import (
    ALL_PLANES,
    CANONICAL,
    CT,
    EVENT_UID,
    MAMMOGRAPHY,
    PLANE_A,
    PLANE_B,
    SINGLE_PLANE,
    SOP_UID,
    STUDY_UID,
    XRAY_DOSE_SR,
    Code,
    Json,
    assert_valid,
    code_item,
    container,
    ct_dose,
    ct_event,
    datetime,
    device_observer,
    document,
    fluoroscopy_dose,
    irradiating_device,
    make_context,
    make_evidence,
    make_frame,
    mammography_dose,
    num,
    pname,
    radiopharmaceutical_dose,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.fhir.context import Context
    from shared.fhir.identity import Draft
    from shared.fhir.json_text import Resource

LOINC_DOSE = "73569-6"
SUMMARY_IDENTITY = uid_identity("Observation", SOP_UID)


def drafts(dataset: Json, context: Context | None = None, **frame: Any) -> list[Draft]:
    context = context or make_context()
    made = dose(make_evidence(dataset), make_frame(**frame), context)
    assert_valid(*made, *context.shared.values())
    return made


def summaries(dataset: Json, context: Context | None = None) -> list[Resource]:
    return [draft.resource for draft in drafts(dataset, context) if draft.resource["code"]["coding"][0]["code"] == LOINC_DOSE]


def summary(dataset: Json, context: Context | None = None) -> Resource:
    (made,) = summaries(dataset, context)
    return made


def values(resource: Resource) -> dict[str, Any]:
    """Give value by component code."""
    found = {}
    for component in resource["component"]:
        value = next(value for name, value in component.items() if name.startswith("value"))
        found[component["code"]["coding"][0]["code"]] = value["value"] if "value" in value_of(value) else plain(value)
    return found


def value_of(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


def plain(value: Any) -> Any:
    return value["coding"][0]["code"] if isinstance(value, dict) else value


@pytest.mark.parametrize("srt", [True, False])
def test_ct_report_has_its_totals(*, srt: bool) -> None:
    made = summary(ct_dose(srt=srt))
    assert values(made) == {"121058": "77477000", "113812": 2, "113813": Decimal("512.30")}


@pytest.mark.parametrize("srt", [True, False])
def test_fluoroscopy_report_has_its_totals_in_one_set_of_units(*, srt: bool) -> None:
    expected = {"113722": 123, "113725": Decimal("45.6"), "113726": 80, "113727": 430, "113730": 90, "113731": 96}
    assert values(summary(fluoroscopy_dose(srt=srt))) == {"121058": "113704", **expected}


@pytest.mark.parametrize("srt", [True, False])
def test_mammography_report_has_a_dose_for_each_breast(*, srt: bool) -> None:
    made = summary(mammography_dose(srt=srt))
    breasts = [
        (component["extension"][0]["valueCodeableConcept"]["coding"][0]["display"], component["valueQuantity"]["value"])
        for component in made["component"][1:]
    ]
    assert breasts == [("Left", Decimal("2.13")), ("Right", Decimal("1.98"))]
    assert made["component"][0]["valueCodeableConcept"]["coding"][0]["code"] == "71651007"


@pytest.mark.parametrize("srt", [True, False])
def test_radiopharmaceutical_report_has_agent_activity_and_route(*, srt: bool) -> None:
    made = summary(radiopharmaceutical_dose(srt=srt))
    expected = {"113507": 554, "123005": Decimal("1.5"), "349358000": "35321007", "89457008": "77004003", "410675002": "47625008"}
    assert values(made) == {"121058": "113502", **expected}
    assert made["effectiveDateTime"] == "2026-01-10T08:15:00+09:00"


def test_worked_example_is_made_as_documented() -> None:
    total = container("113811", num("113812", 1, "{events}"), num("113813", Decimal("512.3"), "mGycm"))
    start = datetime("113809", "20260110091620")
    dataset = document("113701", code_item("121058", ("77477000", "SCT", "")), start, total, SOPClassUID=XRAY_DOSE_SR)
    (draft,) = drafts(dataset, identifiers=[])
    frame = make_frame()
    dcm = "http://dicom.nema.org/resources/ontology/DCM"
    assert draft.identity == SUMMARY_IDENTITY
    assert draft.resource == {
        "resourceType": "Observation",
        "meta": {
            "source": "https://archive.example/dicom-web",
            "tag": [{"system": "https://archive.example/fhir/CodeSystem/origin", "code": "archive"}],
        },
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.99999.1.1.9.1"}],
        "basedOn": frame.based_on,
        "partOf": [frame.study],
        "status": "final",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "imaging"}]}],
        "code": {
            "coding": [{"system": "http://loinc.org", "code": LOINC_DOSE, "display": "Radiation exposure and protection information"}]
        },
        "subject": frame.subject,
        "focus": [frame.study],
        "effectiveDateTime": "2026-01-10T09:16:20+09:00",
        "component": [
            {
                "code": {"coding": [{"system": dcm, "code": "121058", "display": "Procedure reported"}]},
                "valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "77477000"}]},
            },
            {
                "code": {"coding": [{"system": dcm, "code": "113812", "display": "Total Number of Irradiation Events"}]},
                "valueInteger": 1,
            },
            {
                "code": {"coding": [{"system": dcm, "code": "113813", "display": "CT Dose Length Product Total"}]},
                "valueQuantity": {"value": Decimal("512.3"), "unit": "mGy.cm", "system": "http://unitsofmeasure.org", "code": "mGy.cm"},
            },
        ],
    }


def test_identifiers_are_those_of_report_and_study() -> None:
    first, study, accession = summary(ct_dose())["identifier"]
    kind = {"coding": [{"system": IDENTIFIER_TYPES, "code": "study-instance-uid", "display": "Study Instance UID"}]}
    assert first == SUMMARY_IDENTITY.identifier()
    assert study == {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}", "type": kind}
    assert accession == make_frame().identifiers[1]


def test_events_come_first_and_the_summary_refers_to_them() -> None:
    context = make_context()
    *events, last = drafts(ct_dose(), context)
    assert [event.identity for event in events] == [uid_identity("Observation", EVENT_UID.format(number)) for number in (1, 2)]
    assert last.resource["hasMember"] == [{"reference": f"Observation/{event.identity.logical_id}"} for event in events]


def test_summary_without_events_has_no_members() -> None:
    (draft,) = drafts(ct_dose(), make_context(dose_events="none"))
    assert "hasMember" not in draft.resource


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (ct_dose(), "2026-01-10T09:16:20+09:00"),
        (ct_dose(TimezoneOffsetFromUTC=None), "2026-01-10"),
        (ct_dose(TimezoneOffsetFromUTC="-0330"), "2026-01-10T09:16:20-03:30"),
        (document("113701", code_item("121058", CT), SOPClassUID=XRAY_DOSE_SR), "2026-01-10T10:00:00+09:00"),
        (
            document("113701", code_item("121058", CT), datetime("113809", "20260110091620.25-0500"), SOPClassUID=XRAY_DOSE_SR),
            "2026-01-10T09:16:20.25-05:00",
        ),
        (document("113701", code_item("121058", CT), datetime("113809", "soon"), SOPClassUID=XRAY_DOSE_SR), "2026-01-10T10:00:00+09:00"),
        (fluoroscopy_dose(), "2026-01-10T09:30:00+09:00"),
        (fluoroscopy_dose(SeriesDate=None), "2026-01-10T10:00:00+09:00"),
        (fluoroscopy_dose(SeriesDate="99999999"), "2026-01-10T10:00:00+09:00"),
        (fluoroscopy_dose(SeriesDate=None, ContentDate=None), None),
        (document("113701", code_item("121058", CT), SOPClassUID=XRAY_DOSE_SR, ContentDate=None), None),
    ],
)
def test_effective_is_the_start_of_irradiation_else_the_time_of_the_report(dataset: Json, expected: str | None) -> None:
    assert summary(dataset).get("effectiveDateTime") == expected


@pytest.mark.parametrize(
    "person",
    [
        pname("113850", "Roe^Ann^^Dr"),
        pname("113870", "Roe^Ann^^Dr", code_item("113875", "113850")),
        container("121106", pname("113850", "Roe^Ann^^Dr")),
    ],
    ids=["named so", "with that role", "nested"],
)
def test_performer_authorised_the_irradiation(person: Json) -> None:
    assert summary(ct_dose(person))["performer"] == [{"type": "Practitioner", "display": "Dr Ann Roe"}]


@pytest.mark.parametrize("person", [pname("113870", "Roe^Ann", code_item("113875", "113851")), pname("113850", "^^"), pname("113850", 5)])
def test_who_administered_it_or_has_no_name_is_no_performer(person: Json) -> None:
    assert "performer" not in summary(ct_dose(person))


@pytest.mark.parametrize(
    ("observed", "value"),
    [
        ([irradiating_device("1.2.3", "A"), *device_observer("1.2.4", "B")], "urn:oid:1.2.3"),
        ([irradiating_device(None, "A"), *device_observer("1.2.4", "B")], "urn:oid:1.2.4"),
        ([], "urn:oid:1.2.5"),
    ],
)
def test_device_is_the_irradiating_one_else_the_observer_else_the_equipment(observed: list[Json], value: str) -> None:
    context = make_context()
    made = summary(ct_dose(*observed, DeviceUID="1.2.5", StationName="C"), context)
    (device,) = context.shared.values()
    assert device.identity.value == value
    assert made["device"]["reference"] == f"Device/{device.identity.logical_id}"


@pytest.mark.parametrize(("procedure", "modality"), [(CT, "CT"), (MAMMOGRAPHY, "MG")])
def test_device_of_a_ct_or_mammography_is_one(procedure: Code, modality: str) -> None:
    context = make_context()
    drafts(document("113701", code_item("121058", procedure), *device_observer("1.2.3"), SOPClassUID=XRAY_DOSE_SR), context)
    (device,) = context.shared.values()
    assert device.resource["type"]["coding"][0]["code"] == modality


def test_device_is_left_out_where_the_operator_wants_none() -> None:
    context = make_context(devices=False)
    assert "device" not in summary(ct_dose(DeviceUID="1.2.5"), context)
    assert not context.shared


def test_body_site_is_the_single_target_region() -> None:
    assert summary(ct_dose())["bodySite"]["coding"][0]["display"] == "Chest"


@pytest.mark.parametrize("regions", [[None], [("", "SCT", "?")], [("1", "SCT", "a"), ("2", "SCT", "b")]])
def test_body_site_is_left_out_where_there_is_no_single_one(regions: list[Code | None]) -> None:
    events = [ct_event(number, region=region) for number, region in enumerate(regions)]
    assert "bodySite" not in summary(ct_dose(events=events))


def test_each_plane_of_a_biplane_system_has_its_own_summary() -> None:
    found = drafts(fluoroscopy_dose(PLANE_A, PLANE_B), make_context(dose_events="all"))
    *events, a, b = found
    assert [draft.identity for draft in (a, b)] == [
        Identity("Observation", f"{CANONICAL}/dose-plane", f"{SOP_UID}#{plane}") for plane in ("113620", "113621")
    ]
    for draft, event in zip((a, b), events, strict=True):
        assert draft.resource["identifier"][:2] == [SUMMARY_IDENTITY.identifier(), draft.identity.identifier()]
        assert draft.resource["hasMember"] == [{"reference": f"Observation/{event.identity.logical_id}"}]


def test_summary_of_a_plane_says_which_it_is() -> None:
    first, second = summaries(fluoroscopy_dose(PLANE_A, PLANE_B))
    assert [list(values(each))[:3] for each in (first, second)] == [["121058", "113764", "113722"]] * 2
    assert (values(first)["113764"], values(second)["113764"]) == ("113620", "113621")


def test_planes_are_never_added_up() -> None:
    assert [values(each)["113722"] for each in summaries(fluoroscopy_dose(PLANE_A, PLANE_B))] == [123, 246]


def test_total_of_all_planes_is_left_out_beside_theirs() -> None:
    assert [values(each)["113764"] for each in summaries(fluoroscopy_dose(PLANE_A, PLANE_B, ALL_PLANES))] == ["113620", "113621"]


@pytest.mark.parametrize("planes", [(SINGLE_PLANE,), (ALL_PLANES,), (PLANE_A,), (PLANE_A, ALL_PLANES), (SINGLE_PLANE, SINGLE_PLANE)])
def test_single_plane_is_the_summary_of_the_report(planes: tuple[Code, ...]) -> None:
    (draft,) = drafts(fluoroscopy_dose(*planes))
    assert draft.identity == SUMMARY_IDENTITY
    assert "113764" not in values(draft.resource)


def test_totals_are_found_however_deep_they_are_nested() -> None:
    nested = container("121070", container("113811", container("121070", num("113813", 5, "mGy.cm"))))
    dataset = document("113701", code_item("121058", CT), nested, SOPClassUID=XRAY_DOSE_SR)
    assert values(summary(dataset)) == {"121058": "77477000", "113813": 5}


def test_report_without_totals_still_has_a_summary() -> None:
    dataset = document("113701", SOPClassUID=XRAY_DOSE_SR)
    assert "component" not in summary(dataset)


def test_same_report_sent_twice_is_the_same() -> None:
    once, again = drafts(ct_dose()), drafts(ct_dose())
    assert [(draft.identity, digest(draft.resource)) for draft in once] == [(draft.identity, digest(draft.resource)) for draft in again]


def test_profile_is_not_claimed() -> None:
    everything = ct_dose(pname("113850", "Roe^Ann"), *device_observer("1.2.4", "CT01"))
    assert "profile" not in summary(everything)["meta"]


def test_other_reports_have_no_dose() -> None:
    assert drafts(document("126000", num("113813", 5, "mGy.cm"))) == []


def test_operator_can_have_no_dose() -> None:
    assert drafts(ct_dose(), make_context(dose=False)) == []


def test_warnings_name_the_instance() -> None:
    context = make_context()
    drafts(ct_dose(container("113811", num("113814", "x", "mSv"))), context)
    assert [(issue.keyword, issue.sop_instance_uid) for issue in context.notes.issues] == [("NumericValue", SOP_UID)]


BUILDERS: list[Callable[..., Json]] = [
    ct_dose, fluoroscopy_dose, lambda **more: fluoroscopy_dose(PLANE_A, PLANE_B, **more), mammography_dose, radiopharmaceutical_dose,
]  # fmt: skip


@pytest.mark.parametrize("builder", BUILDERS)
def test_report_reads_the_same_after_it_was_stored(builder: Callable[..., Json]) -> None:
    dataset = builder()
    stored = parse_instance(write(PydicomDataset.from_json(canonical(dataset).decode())), rules=Rules.V2)
    made = [draft.resource for draft in drafts(parse(stored.metadata), make_context(dose_events="all"))]
    assert made == [draft.resource for draft in drafts(dataset, make_context(dose_events="all"))]


@pytest.mark.parametrize("path", [] if DATASET is None else [DATASET / "edge" / "iod-rdsr.dcm"])
def test_file_of_the_data_set_has_all_its_acquisitions(path: Any) -> None:
    stored = parse_instance(path.read_bytes(), rules=Rules.V2)
    *events, last = drafts(parse(stored.metadata))
    assert len(events) == len(last.resource["hasMember"]) == 12
    assert {draft.resource["component"][0]["valueQuantity"]["unit"] for draft in events} == {"mGy"}


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("113701"),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["vr", "Value", "00080100", "0040A730"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def nodes(value: Any) -> list[tuple[Any, Any]]:
    """List the places of a dataset that can be spoilt: container and key."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [place for key, each in list(inner) for place in [(value, key), *nodes(each)]]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(BUILDERS), st.lists(st.tuples(st.integers(0, 10_000), JUNK), min_size=1, max_size=4))
def test_spoilt_report_breaks_nothing(builder: Callable[..., Json], spoils: list[tuple[int, Any]]) -> None:
    evidence = make_evidence(builder())
    spoilt = parse(canonical(builder()))
    for number, junk in spoils:
        places = nodes(spoilt)
        if places:
            node, key = places[number % len(places)]
            node[key] = junk
    context = make_context(dose_events="all")
    assert_valid(*dose(replace(evidence, dataset=Dataset(spoilt)), make_frame(), context), *context.shared.values())
