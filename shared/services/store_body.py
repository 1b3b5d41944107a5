"""The body of a store request as parts: chunks as they arrive in, parts as the store transaction takes them out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from shared.dicomweb.multipart import Event, MultipartReader, PartData, PartEnded, PartStarted
from shared.services.stow import BodyCutOff, Part, RefusedPart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from shared.dicomweb.media_types import StoreBody
    from shared.ports import Piece


async def read_parts(body: StoreBody, chunks: AsyncIterator[bytes]) -> AsyncIterator[Part | RefusedPart]:
    """Read a body part by part; what the taker leaves of one is skipped.

    Raises
    ------
    BodyCutOff
        The body ended before its closing delimiter. Part iterators raise it, too.
    InvalidRequest, TooLarge
        It cannot be read as multipart, or is over its limits.
    """
    if body.boundary is None:
        yield Part(chunks)
        return
    events = _Events(MultipartReader(body.boundary), chunks)
    while (headers := await events.next_part()) is not None:
        yield Part(events.content()) if body.takes(headers) else RefusedPart()


class _Events:
    """The events of a body, read on as they are asked for."""

    def __init__(self, reader: MultipartReader, chunks: AsyncIterator[bytes]) -> None:
        self._reader, self._chunks = reader, chunks
        self._waiting: deque[Event] = deque()

    async def next_part(self) -> Mapping[str, str] | None:
        """Skip to the next part and give its headers; None at the end of the body."""
        while (event := await self._next()) is not None:
            if isinstance(event, PartStarted):
                return event.headers
        return None

    async def content(self) -> AsyncIterator[Piece]:
        """Give the content of the part that was begun."""
        while isinstance(event := await self._next(), PartData):
            yield event.data
        if not isinstance(event, PartEnded):
            raise BodyCutOff("The body ended within a part.")

    async def _next(self) -> Event | None:
        while not self._waiting:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                if not self._reader.finish():
                    raise BodyCutOff("The body ended before its closing delimiter.")
                return None
            self._waiting.extend(self._reader.feed(chunk))
        return self._waiting.popleft()
