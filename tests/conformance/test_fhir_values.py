"""DICOM values as a FHIR server has them in the end: names in any character set, times in any zone, numbers and UIDs at their limits.

docs/fhir.md has the rules; the tables of the builders' own tests have more rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.dicom_builders import new_uid
from tests.support.fhir_acceptance import LinkedArchive, image

if TYPE_CHECKING:
    from tests.support.fhir_acceptance import Link

REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"


def patched(file: bytes, old: bytes, new: bytes) -> bytes:
    """Write bytes into a file that no library would write."""
    assert len(old) == len(new)
    assert file.count(old) == 1
    return file.replace(old, new)


async def written(archive: LinkedArchive, *files: bytes) -> Any:
    """Store a study; give its ImagingStudy."""
    await archive.put(*files)
    await archive.in_step()
    return archive.written.one("ImagingStudy")


def group(text: str, family: str, given: list[str], code: str = "", **more: Any) -> dict[str, Any]:
    extension = {"extension": [{"url": REPRESENTATION, "valueCode": code}]} if code else {}
    return {**extension, "text": text, "family": family, "given": given, **more}


NAMES: dict[str, tuple[Any, str, list[dict[str, Any]]]] = {
    "five components": (
        None,
        "Adams^John Robert Quincy^Q^Rev.^B.A. M.Div.",
        [
            group(
                "Rev. John Robert Quincy Q Adams B.A. M.Div.",
                "Adams",
                ["John Robert Quincy", "Q"],
                use="usual",
                prefix=["Rev."],
                suffix=["B.A. M.Div."],
            )
        ],
    ),
    "three groups in ISO 2022": (
        ["", "ISO 2022 IR 87"],
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        [
            group("Tarou Yamada", "Yamada", ["Tarou"], "ABC", use="usual"),
            group("山田太郎", "山田", ["太郎"], "IDE"),
            group("たろう やまだ", "やまだ", ["たろう"], "SYL"),
        ],
    ),
    "two groups in ISO 2022 Korean": (
        ["", "ISO 2022 IR 149"],
        "Hong^Gildong=洪^吉洞=홍^길동",
        [
            group("Gildong Hong", "Hong", ["Gildong"], "ABC", use="usual"),
            group("洪吉洞", "洪", ["吉洞"], "IDE"),
            group("길동 홍", "홍", ["길동"], "SYL"),
        ],
    ),
    "GB18030": ("GB18030", "Wang^XiaoDong=王^小东", [
        group("XiaoDong Wang", "Wang", ["XiaoDong"], "ABC", use="usual"),
        group("王小东", "王", ["小东"], "IDE"),
    ]),
    "Latin-1": ("ISO_IR 100", "Buc^Jérôme", [group("Jérôme Buc", "Buc", ["Jérôme"], use="usual")]),
    "Cyrillic": ("ISO_IR 144", "Жданов^Иван", [group("Иван Жданов", "Жданов", ["Иван"], use="usual")]),
    "UTF-8": ("ISO_IR 192", "Ångström^Ä=山^川", [
        group("Ä Ångström", "Ångström", ["Ä"], "ABC", use="usual"),
        group("山川", "山", ["川"], "IDE"),
    ]),
    "no component separators": (None, "DOE, JANE", [{"text": "DOE, JANE", "use": "usual"}]),
}  # fmt: skip


@pytest.mark.parametrize("row", NAMES)
async def test_a_name_arrives_in_all_its_groups(link: Link, row: str) -> None:
    archive = link()
    character_set, name, expected = NAMES[row]
    await written(archive, image(new_uid(), SpecificCharacterSet=character_set, PatientName=name))
    assert [sorted(each.items()) for each in archive.written.one("Patient")["name"]] == [sorted(each.items()) for each in expected]


@pytest.mark.parametrize("character_set", [None, "ISO_IR 192"], ids=["none", "UTF-8"])
async def test_a_name_that_its_character_set_cannot_read_is_left_out(link: Link, character_set: str | None) -> None:
    """Nothing is guessed; the store answers with a warning."""
    archive, sent = link(), "Müller".encode("latin-1")
    file = patched(image(new_uid(), SpecificCharacterSet=character_set, PatientName="xxxxxx^Jo"), b"xxxxxx", sent)
    await written(archive, file)
    assert "name" not in archive.written.one("Patient")


VIENNA = {"site_timezone": "Europe/Vienna"}
TIMES: dict[str, tuple[dict[str, Any], dict[str, Any], str | None]] = {
    "date, time and offset": ({"StudyTime": "091530", "TimezoneOffsetFromUTC": "+0100"}, {}, "2024-01-02T09:15:30+01:00"),
    "an offset of half an hour": ({"StudyTime": "0915", "TimezoneOffsetFromUTC": "-0330"}, {}, "2024-01-02T09:15:00-03:30"),
    "six digits of a second": ({"StudyTime": "091530.123456", "TimezoneOffsetFromUTC": "+0000"}, {}, "2024-01-02T09:15:30.123456+00:00"),
    "a fraction as it was sent": ({"StudyTime": "091530.10", "TimezoneOffsetFromUTC": "+0545"}, {}, "2024-01-02T09:15:30.10+05:45"),
    "a leap second": ({"StudyTime": "235960", "TimezoneOffsetFromUTC": "+0000"}, {}, "2024-01-02T23:59:59+00:00"),
    "an hour alone": ({"StudyTime": "09", "TimezoneOffsetFromUTC": "+0100"}, {}, "2024-01-02"),
    "a date alone": ({"StudyTime": None, "TimezoneOffsetFromUTC": "+0100"}, {}, "2024-01-02"),
    "no zone": ({"StudyTime": "091530"}, {}, "2024-01-02"),
    "an offset that means unknown": ({"StudyTime": "0915", "TimezoneOffsetFromUTC": "-0000"}, {}, "2024-01-02"),
    "an offset that is none": ({"StudyTime": "0915", "TimezoneOffsetFromUTC": "+1500"}, {}, "2024-01-02"),
    "a time alone": ({"StudyDate": None, "StudyTime": "0915", "TimezoneOffsetFromUTC": "+0100"}, {}, None),
    "a date that does not exist": ({"StudyDate": "20240230", "StudyTime": "0915", "TimezoneOffsetFromUTC": "+0100"}, {}, None),
    "the site's winter": ({"StudyTime": "0915"}, VIENNA, "2024-01-02T09:15:00+01:00"),
    "the site's summer": ({"StudyDate": "20240702", "StudyTime": "0915"}, VIENNA, "2024-07-02T09:15:00+02:00"),
    "an hour that comes twice": ({"StudyDate": "20241027", "StudyTime": "0230"}, VIENNA, "2024-10-27T02:30:00+02:00"),
    "an hour that does not come": ({"StudyDate": "20240331", "StudyTime": "0230"}, VIENNA, "2024-03-31"),
    "an offset at a site with a zone": ({"StudyTime": "0915", "TimezoneOffsetFromUTC": "-0500"}, VIENNA, "2024-01-02T09:15:00-05:00"),
}


@pytest.mark.parametrize("row", TIMES)
async def test_a_time_is_told_as_exactly_as_it_is_known(link: Link, row: str) -> None:
    attributes, settings, started = TIMES[row]
    study = await written(link(**settings), image(new_uid(), **attributes))
    assert study.get("started") == started


@pytest.mark.parametrize(
    ("value", "number"),
    [(b"0000000007  ", 7), (b"2147483647  ", 2147483647), (b"-1          ", None), (b"2147483648  ", None), (b"99999999999 ", None)],
)
async def test_a_number_that_fhir_cannot_hold_is_left_out(link: Link, value: bytes, number: int | None) -> None:
    file = patched(image(new_uid(), SeriesNumber=123456789, InstanceNumber=987654321), b"123456789 ", b"123456789 ")
    for placeholder in (b"123456789 ", b"987654321 "):
        position = file.index(placeholder)
        head = file[: position - 2] + len(value).to_bytes(2, "little")
        file = head + value + file[position + len(placeholder) :]
    (series,) = (await written(link(), file))["series"]
    assert (series.get("number"), series["instance"][0].get("number")) == (number, number)


def of_length(length: int) -> str:
    """Make a UID that no other call makes, of so many characters."""
    uid = new_uid()
    return uid + "." + "1" * (length - len(uid) - 1)


async def test_uids_of_64_characters_arrive_whole(link: Link) -> None:
    uids: dict[str, Any] = {name: of_length(64) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    study = await written(link(), image("1", **uids))
    (series,) = study["series"]
    told = [study["identifier"][0]["value"], f"urn:oid:{series['uid']}", f"urn:oid:{series['instance'][0]['uid']}"]
    assert told == [f"urn:oid:{uid}" for uid in uids.values()]


@pytest.mark.parametrize("name", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
async def test_uids_of_65_characters_never_get_so_far(link: Link, name: str) -> None:
    archive = link()
    reply = await archive.store(image(new_uid(), 1, 1, **{name: of_length(65)}))
    assert reply.status == 409
    await archive.in_step()
    assert archive.written.everything() == []


@pytest.mark.parametrize("padding", [b"\0", b" "], ids=["NUL", "space"])
async def test_padding_is_no_part_of_a_uid(link: Link, padding: bytes) -> None:
    archive, uid = link(), of_length(33)
    file = image(uid, SeriesInstanceUID=f"{uid}.111", SOPInstanceUID=f"{uid}.1.1.11")
    for each in (uid, f"{uid}.111", f"{uid}.1.1.11"):
        value = each.encode() + b"\0" * (len(each) % 2)
        file = file.replace(value, each.encode() + padding * (len(each) % 2))
    study = await written(archive, file)
    assert study["identifier"][0]["value"] == f"urn:oid:{uid}"
    assert (study["series"][0]["uid"], study["series"][0]["instance"][0]["uid"]) == (f"{uid}.111", f"{uid}.1.1.11")
