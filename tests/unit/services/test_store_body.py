"""A store request's body becomes parts, however it is cut into chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicomweb.media_types import StoreBody, parse_store_content_type
from shared.services.store_body import read_parts
from shared.services.stow import BodyCutOff, Part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

BODY = StoreBody(boundary="B")
PART = b"--B\r\nContent-Type: application/dicom\r\n\r\n%b\r\n"


async def arriving(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def contents(body: StoreBody, chunks: Sequence[bytes]) -> list[bytes | None]:
    """Give the content of every part, None for a refused one."""
    return [
        b"".join([bytes(piece) async for piece in part.pieces]) if isinstance(part, Part) else None
        async for part in read_parts(body, arriving(chunks))
    ]


@given(st.lists(st.binary(max_size=200), max_size=5), st.integers(1, 50))
async def test_parts_come_whole_and_in_order_from_any_chunks(parts: list[bytes], size: int) -> None:
    parts = [p.replace(b"--B", b"") for p in parts]
    body = b"".join(PART % p for p in parts) + b"--B--"
    assert await contents(BODY, [body[i : i + size] for i in range(0, len(body), size)]) == parts


async def test_a_single_part_is_the_body_itself() -> None:
    assert await contents(parse_store_content_type("application/dicom"), [b"a", b"b"]) == [b"ab"]


async def test_a_part_of_another_type_is_refused_and_skipped() -> None:
    body = b"--B\r\nContent-Type: text/html\r\n\r\nhello\r\n" + PART % b"x" + b"--B--"
    assert await contents(BODY, [body]) == [None, b"x"]


async def test_a_part_that_is_not_read_is_skipped() -> None:
    parts = [part async for part in read_parts(BODY, arriving([PART % b"x" + PART % b"y" + b"--B--"]))]
    assert len(parts) == 2


@pytest.mark.parametrize("tail", [b"", b"--B\r\n", PART[:30], PART[:-2] % b"half"])
async def test_a_body_without_its_end_is_told_after_the_whole_parts(tail: bytes) -> None:
    seen = []
    with pytest.raises(BodyCutOff):  # noqa: PT012  # what was seen before counts
        async for part in read_parts(BODY, arriving([PART % b"x" + tail])):
            assert isinstance(part, Part)
            async for piece in part.pieces:
                seen.append(bytes(piece))  # noqa: PERF401  # a comprehension would lose them
    assert seen[0] == b"x"
