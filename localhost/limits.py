"""Limits on what surrounds a body: uvicorn alone reads a head, chunk lines and trailers of any size.

The head as a whole is limited by ``localhost.http``; here it is kept from growing for ever before it is whole.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_UNPARSED_BYTES = 64 * 1024
"""What may arrive without completing a head or bringing a piece of a body; far above what a whole head may have."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with that limit. Trailers are dropped: they would count as headers, ``Host`` among them."""

    _unparsed_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; over the limit end the connection."""
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._unparsed_bytes > MAX_UNPARSED_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._unparsed_bytes = 0
        super().on_headers_complete()
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._unparsed_bytes = 0
        super().on_body(body)
