"""One request, as handlers see it. Not: its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from functions._headers import decode, etag_matches
from shared.dicomweb.media_types import Accept, parse_accept
from shared.dicomweb.resources import ApiVersion, Resource, parse_version, service_url
from shared.errors import ArchiveError, InvalidRequest, UnsupportedMediaType

BODY_IDLE_SECONDS = 60.0
"""A body of which nothing arrives for so long counts as cut off."""

BODY_BYTES_PER_SECOND = 8 * 1024
"""So does one that, that long after its start, has arrived more slowly than this."""

MAX_QUERY_PARAMETERS = 200


class Call:
    """One request.

    Parameters
    ----------
    scope, receive
        Of the ASGI request.
    public_base_url
        Root of the URLs that we give out, where the operator has set it.
    """

    def __init__(self, scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]], public_base_url: str | None) -> None:
        self._receive, self._public_base_url = receive, public_base_url
        self.method: str = scope["method"]
        self.headers: Mapping[str, str] = decode(scope["headers"])
        self.path_parameters: Mapping[str, str] = scope["path_params"]
        """Parameters of the route's template, percent-decoded."""
        self.query_string: str = scope["query_string"].decode("latin-1")
        """As it was sent."""
        self.studies: list[str] = []
        """Study Instance UIDs that the handler found concerned, beside the one that the path names: for the audit trail."""

    @property
    def wants_body(self) -> bool:
        """False for HEAD."""
        return self.method != "HEAD"

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """Decoded query parameters, in order; empty values are kept."""
        if not self.query_string:
            return []
        try:
            return parse_qsl(self.query_string, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_PARAMETERS)
        except ValueError as error:
            raise InvalidRequest(f"The query must be percent-encoded UTF-8 with at most {MAX_QUERY_PARAMETERS} parameters.") from error

    @cached_property
    def version(self) -> ApiVersion:
        """Version of the API that the path names."""
        return parse_version(self.path_parameters["version"])

    @property
    def accept(self) -> Accept:
        """What the caller takes: header ``Accept`` and parameter ``accept``."""
        return parse_accept(self.headers.get("accept"), [value for name, value in self.query if name.lower() == "accept"])

    def resource(self) -> Resource:
        """Read the study, series or instance that the path names; ``InvalidRequest`` where a UID is none."""
        path = self.path_parameters
        return Resource.parse(path["study"], path.get("series"), path.get("instance"))

    @property
    def service_url(self) -> str:
        """Root of the URLs that the answer holds, version included."""
        return service_url(self._public_base_url, self.headers, self.path_parameters["version"])

    def has(self, etag: str) -> bool:
        """Tell whether the caller has this version already."""
        return etag_matches(self.headers.get("if-none-match"), etag)

    def warnings(self, texts: Sequence[str]) -> dict[str, str | Sequence[str]]:
        """Give the headers that carry warnings: code 299, our host, the text. No text, no header."""
        if not texts:
            return {}
        host = urlsplit(self.service_url).netloc
        return {"warning": [f'299 {host}: "{text}"' for text in texts]}

    async def body(self, interrupted: type[ArchiveError]) -> AsyncIterator[bytes]:
        """Read the body as it arrives.

        Parameters
        ----------
        interrupted
            Raised where the caller goes away, or sends nothing, or next to nothing, for ``BODY_IDLE_SECONDS``.

        Raises
        ------
        UnsupportedMediaType
            The body is compressed; nothing has been read.
        """
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("The body must be sent without Content-Encoding.")
        now = asyncio.get_running_loop().time
        latest = now() + BODY_IDLE_SECONDS
        more = True
        while more:
            try:
                async with asyncio.timeout_at(min(now() + BODY_IDLE_SECONDS, latest)):
                    message = await self._receive()
            except TimeoutError as error:
                raise interrupted("The body stalled before it was whole.") from error
            if message["type"] == "http.disconnect":
                raise interrupted("The connection ended before the body was whole.")
            more = message.get("more_body", False)
            if chunk := message.get("body", b""):
                latest += len(chunk) / BODY_BYTES_PER_SECOND
                yield chunk
