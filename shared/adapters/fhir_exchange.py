"""One HTTP exchange, limited in time and size. Blocks: for threads. Not: tokens, nor what an answer means."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import requests
from urllib3.exceptions import HTTPError

from shared.adapters.bounded_http import open_session, time_limit
from shared.adapters.fhir_answers import Answer
from shared.fhir.server import FhirRefused, FhirTransient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.adapters.fhir_answers import Limits

_PIECE_BYTES = 64 * 1024


class Exchange:
    """Sends requests, a few at once, over connections that are kept.

    Parameters
    ----------
    connections
        How many threads use it.
    limits
        In time and size.
    """

    def __init__(self, connections: int, limits: Limits) -> None:
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # what it says has URLs in it, and a URL may hold an identifier
        self._session, self._limits = open_session(connections), limits

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Send a request and read the whole answer.

        Raises
        ------
        FhirTransient
            No connection, no whole answer, or not in time.
        FhirRefused
            The answer is too large.
        """
        try:
            with time_limit(self._limits.total_seconds, self._limits.read_seconds):
                return self._send(method, url, headers, body)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise FhirTransient(f"the FHIR server gave no whole answer ({type(error).__name__})") from None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        timeout = (self._limits.connect_seconds, self._limits.read_seconds)
        with self._session.request(
            method, url, headers=dict(headers), data=body, timeout=timeout, stream=True, allow_redirects=False
        ) as response:
            return Answer(response.status_code, response.headers, self._read(response))

    def _read(self, response: requests.Response) -> bytes:
        pieces: list[bytes] = []
        left = self._limits.answer_bytes
        for piece in response.iter_content(_PIECE_BYTES):  # unpacked by pieces, so that a small body cannot become a large one
            left -= len(piece)
            if left < 0:
                raise FhirRefused("the FHIR server's answer is too large")
            pieces.append(piece)
        return b"".join(pieces)
