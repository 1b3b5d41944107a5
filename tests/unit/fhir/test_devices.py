"""Equipment, device observers and algorithms become a Device where they can be told from all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fhir.dataset import Dataset
from shared.fhir.devices import algorithm, device, equipment, irradiating, observer, series_device
from shared.fhir.sr_document import read
from tests.support.sr_builders import (
    CANONICAL,
    Json,
    assert_valid,
    attributes,
    code_item,
    container,
    device_observer,
    document,
    irradiating_device,
    make_context,
    text,
)

if TYPE_CHECKING:
    from shared.fhir.context import Context
    from shared.fhir.json_text import Resource
    from shared.fhir.sr_document import ContentItem

UID = "1.2.840.99999.5"
MAKER = {"Manufacturer": "ACME Médical", "ManufacturerModelName": "Scan|9", "DeviceSerialNumber": "SN 1"}
MAKER_KEY = "acme%20m%C3%A9dical|scan%7C9|sn%201"
SYSTEM = f"{CANONICAL}/device"
AI_SYSTEM = f"{CANONICAL}/ai-model"


def made(context: Context) -> Resource:
    """Give the one Device that was shared; it is valid, too."""
    (draft,) = context.shared.values()
    assert_valid(draft)
    assert draft.resource["identifier"][0] == draft.identity.identifier()
    return draft.resource


def of_equipment(context: Context, **values: Any) -> Resource | None:
    return device(context, equipment(Dataset(attributes(**values)), context.notes))


def tree(*children: Json) -> ContentItem:
    return read(Dataset(document("126000", *children)))


@pytest.mark.parametrize(
    ("values", "identifier"),
    [
        ({"DeviceUID": UID, **MAKER}, {"system": "urn:dicom:uid", "value": f"urn:oid:{UID}"}),
        ({"DeviceUID": UID}, {"system": "urn:dicom:uid", "value": f"urn:oid:{UID}"}),
        (MAKER, {"system": SYSTEM, "value": MAKER_KEY}),
        ({"DeviceUID": "1.02", **MAKER}, {"system": SYSTEM, "value": MAKER_KEY}),
    ],
    ids=["uid-first", "uid-alone", "maker-model-serial", "bad-uid"],
)
def test_device_is_known_by_its_uid_else_by_maker_model_and_serial(values: Json, identifier: Resource) -> None:
    context = make_context()
    reference = of_equipment(context, **values)
    assert made(context)["identifier"] == [identifier]
    assert reference is not None
    assert reference["reference"].startswith("Device/")


@pytest.mark.parametrize("missing", list(MAKER))
def test_device_that_is_like_others_is_only_named(missing: str) -> None:
    context = make_context()
    reference = of_equipment(context, **{**MAKER, missing: None, "StationName": "CT01"})
    assert reference == {"type": "Device", "display": "CT01"}
    assert not context.shared


def test_device_without_a_station_is_named_by_maker_and_model() -> None:
    assert of_equipment(make_context(), Manufacturer="ACME", ManufacturerModelName="Scan 9") == {"type": "Device", "display": "ACME Scan 9"}


def test_nothing_known_is_no_device() -> None:
    assert of_equipment(make_context()) is None
    assert of_equipment(make_context(), DeviceSerialNumber="1", Modality="CT") is None


def test_operator_can_have_no_devices() -> None:
    context = make_context(devices=False)
    assert of_equipment(context, DeviceUID=UID, **MAKER) is None
    assert algorithm(context, tree(text("111001", "Finder"), text("111003", "2"))) is None
    assert not context.shared


@pytest.mark.parametrize("wanted", [True, False])
def test_series_name_their_equipment_where_the_operator_wants_it(*, wanted: bool) -> None:
    context = make_context(series_devices=wanted)
    assert bool(series_device(Dataset(attributes(**MAKER)), context)) is wanted
    assert bool(context.shared) is wanted


@pytest.mark.parametrize(
    ("values", "element", "expected"),
    [
        ({}, "manufacturer", "ACME Médical"),
        ({}, "modelNumber", "Scan|9"),
        ({}, "serialNumber", "SN 1"),
        ({"StationName": "CT01"}, "deviceName", [{"name": "CT01", "type": "user-friendly-name"}]),
        ({}, "deviceName", None),
        ({"SoftwareVersions": ["1.0", "b"]}, "version", [{"value": "1.0"}, {"value": "b"}]),
        ({"SoftwareVersions": [5]}, "version", None),
        ({"Modality": "CT"}, "type", {"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]}),
        ({"Modality": "SR"}, "type", None),
        ({"Modality": "a b"}, "type", None),
        (
            {"UDISequence": attributes(UniqueDeviceIdentifier="(01)00844588003288(21)7654")},
            "udiCarrier",
            [{"deviceIdentifier": "00844588003288", "carrierHRF": "(01)00844588003288(21)7654"}],
        ),
        (
            {"UDISequence": attributes(UniqueDeviceIdentifier="+H123PARTNO1234567890120/$$420020216LOT")},
            "udiCarrier",
            [{"deviceIdentifier": "+H123PARTNO1234567890120/$$420020216LOT", "carrierHRF": "+H123PARTNO1234567890120/$$420020216LOT"}],
        ),
        ({"UDISequence": [attributes(), 5]}, "udiCarrier", None),
    ],
)
def test_element_comes_from_its_attribute(values: Json, element: str, expected: object) -> None:
    context = make_context()
    of_equipment(context, **{**MAKER, **values})
    assert made(context).get(element) == expected


def test_resource_says_that_it_is_ours() -> None:
    context = make_context()
    of_equipment(context, **MAKER)
    assert made(context)["meta"] == context.meta()


def test_observer_of_a_report_is_read_from_its_context() -> None:
    context = make_context()
    root = tree(*device_observer(UID, "CT01", "ACME", "Scan", "7"))
    assert device(context, observer(root, "CT")) == {**context.own(next(iter(context.shared))), "display": "CT01"}
    device_resource = made(context)
    assert [device_resource[name] for name in ("manufacturer", "modelNumber", "serialNumber")] == ["ACME", "Scan", "7"]
    assert device_resource["type"]["coding"][0]["code"] == "CT"


@pytest.mark.parametrize("nested", [True, False])
def test_irradiating_device_is_found_wherever_it_stands(*, nested: bool) -> None:
    context = make_context()
    item = irradiating_device(None, "Room 2", "ACME", "Scan", "7")
    device(context, irradiating(tree(container("113819", item) if nested else item)))
    assert made(context)["identifier"] == [{"system": SYSTEM, "value": "acme|scan|7"}]


def test_device_of_another_role_did_not_irradiate() -> None:
    other = code_item("113876", "113942", text("113877", "Injector"))
    assert device(make_context(), irradiating(tree(other))) is None


def test_first_device_that_can_be_told_from_others_wins() -> None:
    context = make_context()
    root = tree(*device_observer(None, "Room 2"))
    reference = device(context, irradiating(root), observer(root), equipment(Dataset(attributes(DeviceUID=UID)), context.notes))
    assert reference == context.own(next(iter(context.shared)))
    assert made(context)["identifier"][0]["value"] == f"urn:oid:{UID}"


def test_two_datasets_that_know_a_device_add_to_each_other() -> None:
    context = make_context()
    of_equipment(context, DeviceUID=UID, StationName="CT01")
    of_equipment(context, DeviceUID=UID, StationName="other", Manufacturer="ACME")
    assert (made(context)["deviceName"][0]["name"], made(context)["manufacturer"]) == ("CT01", "ACME")


def test_algorithm_is_known_by_name_and_version() -> None:
    context = make_context()
    family = code_item("111000", ("123109", "DCM", "Artificial Intelligence"))
    reference = algorithm(context, tree(), tree(text("111001", "Finder"), text("111003", "2.0|b"), family, text("122405", "ACME")))
    assert reference is not None
    assert reference["display"] == "Finder"
    resource = made(context)
    assert resource["identifier"] == [{"system": AI_SYSTEM, "value": "finder|2.0%7Cb"}]
    assert resource["deviceName"] == [{"name": "Finder", "type": "model-name"}]
    assert (resource["version"], resource["manufacturer"]) == ([{"value": "2.0|b"}], "ACME")
    assert resource["type"]["coding"][0]["code"] == "123109"


def test_algorithm_without_a_version_is_only_named() -> None:
    context = make_context()
    assert algorithm(context, tree(text("111001", "Finder"))) == {"type": "Device", "display": "Finder"}
    assert not context.shared


@pytest.mark.parametrize("children", [[], [text("111003", "2")], [text("111001", " ")], [text("111001", 5)]])
def test_algorithm_without_a_name_is_none(children: list[Json]) -> None:
    assert algorithm(make_context(), tree(*children)) is None


KEYWORDS = [*MAKER, "DeviceUID", "StationName", "SoftwareVersions", "Modality", "UDISequence"]
JUNK: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just({}) | st.just(attributes(TextValue=[1, {}]))
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), st.lists(JUNK, max_size=3)))
def test_any_equipment_can_be_read(values: dict[str, list[object]]) -> None:
    context = make_context()
    of_equipment(context, **values)
    assert_valid(*context.shared.values())
