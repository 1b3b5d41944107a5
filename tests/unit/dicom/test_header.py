"""Preamble, file meta information and deflated datasets."""

from __future__ import annotations

import random
import zlib

import pytest

from shared.dicom.header import MAX_HEADER_BYTES, MAX_INFLATED_HEADER_BYTES, NeedMoreBytes, inflate, read_file_meta, short_of
from shared.errors import InvalidDicom
from tests.support.dicom_builders import EXPLICIT_LE, make_instance, raw_element, raw_file

DATASET = raw_element(0x00080018, "UI", b"1.2\0")
FILE = raw_file(DATASET)


def deflate(data: bytes) -> memoryview:
    deflater = zlib.compressobj(wbits=-15)
    return memoryview(deflater.compress(data) + deflater.flush())


def test_the_transfer_syntax_and_the_offset_of_the_dataset_are_found() -> None:
    assert read_file_meta(FILE, complete=True) == (EXPLICIT_LE, len(FILE) - len(DATASET))


def test_the_group_length_is_not_relied_upon() -> None:
    lying = FILE[:132] + raw_element(0x00020000, "UL", b"\1\0\0\0") + FILE[132:]
    assert read_file_meta(lying, complete=True)[0] == EXPLICIT_LE


@pytest.mark.parametrize(
    "broken",
    [b"", b"text" * 100, FILE[:132], FILE[:140], FILE[:150], FILE[132:], bytes(128) + b"DICM" + DATASET],
    ids=["empty", "text", "prefix only", "half an element", "half a value", "no preamble", "no transfer syntax"],
)
def test_a_file_without_sound_meta_information_is_refused(broken: bytes) -> None:
    with pytest.raises(InvalidDicom):
        read_file_meta(broken, complete=True)


@pytest.mark.parametrize("length", range(len(FILE) - len(DATASET)))
def test_every_beginning_of_it_asks_for_more(length: int) -> None:
    with pytest.raises(NeedMoreBytes) as more:
        read_file_meta(FILE[:length], complete=False)
    assert length < more.value.at_least <= len(FILE)


def test_a_length_over_the_limit_is_refused_before_more_is_asked_for() -> None:
    assert isinstance(short_of(MAX_HEADER_BYTES + 1, complete=False), InvalidDicom)


def test_what_was_deflated_is_inflated() -> None:
    dataset = make_instance() * 50
    assert inflate(deflate(dataset)) == (dataset, True)


def test_of_a_long_dataset_only_the_beginning_is_kept() -> None:
    noise = random.Random(1).randbytes(1024 * 1024)
    beginning, whole = inflate(deflate(noise * (MAX_INFLATED_HEADER_BYTES // len(noise) + 3)))
    assert not whole
    assert 0 < len(beginning) <= MAX_INFLATED_HEADER_BYTES


def test_a_small_file_may_inflate_a_thousandfold() -> None:
    assert inflate(deflate(bytes(500_000))) == (bytes(500_000), True)


def test_a_bomb_is_refused() -> None:
    with pytest.raises(InvalidDicom, match="100 times"):
        inflate(deflate(bytes(200_000_000)))


@pytest.mark.parametrize("broken", [b"\xff" * 50, b"\x07"])
def test_what_is_not_deflated_is_refused(broken: bytes) -> None:
    with pytest.raises(InvalidDicom):
        inflate(memoryview(broken))
