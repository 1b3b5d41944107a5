"""A plain DICOMweb caller for tests: it sends what it is told and reads answers literally, hiding nothing."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import pydicom
import requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BOUNDARY: Final = "test-boundary-7c9e"
STORE_TYPE: Final = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
DICOM_JSON: Final = "application/dicom+json"
AS_STORED: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
TIMEOUT_SECONDS: Final = 60

Body: TypeAlias = "bytes | Iterator[bytes] | None"
Query: TypeAlias = "Sequence[tuple[str, str]] | str"


@dataclass(frozen=True, slots=True)
class SentInstance:
    """A Part 10 file that a test has made, and where it belongs."""

    data: bytes
    study: str
    series: str
    instance: str

    @classmethod
    def of(cls, data: bytes) -> SentInstance:
        """Read the UIDs out of a file."""
        ds = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        return cls(data, str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID))

    @property
    def without_preamble(self) -> bytes:
        """The bytes that come back as they went: all but the preamble."""
        return self.data[128:]

    @property
    def path(self) -> str:
        """Path of the instance below the version."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"

    @property
    def series_path(self) -> str:
        """Path of its series."""
        return f"/studies/{self.study}/series/{self.series}"

    @property
    def study_path(self) -> str:
        """Path of its study."""
        return f"/studies/{self.study}"


def related(parts: Iterable[bytes], *, content_type: str | None = "application/dicom", close: bool = True) -> bytes:
    """Build a multipart body (RFC 2387) with ``BOUNDARY``; ``close`` false leaves the last delimiter out."""
    header = f"Content-Type: {content_type}\r\n" if content_type else ""
    body = b"".join(b"--%s\r\n%s\r\n%s\r\n" % (BOUNDARY.encode(), header.encode(), part) for part in parts)
    return body + (b"--%s--\r\n" % BOUNDARY.encode() if close else b"")


@dataclass(frozen=True, slots=True)
class ReceivedPart:
    """One part of a multipart answer; header names in lower case."""

    headers: Mapping[str, str]
    content: bytes


def received_parts(response: requests.Response) -> list[ReceivedPart]:
    """Take a multipart answer apart by its boundary."""
    boundary = response.headers["Content-Type"].split("boundary=")[1].split(";")[0].strip('"').encode()
    head, *middle, tail = (b"\r\n" + response.content).split(b"\r\n--" + boundary)
    assert head == b""
    assert tail.rstrip(b"\r\n") == b"--"
    return [_received_part(part) for part in middle]


def _received_part(part: bytes) -> ReceivedPart:
    head, content = part.removeprefix(b"\r\n").split(b"\r\n\r\n", 1)
    pairs = (line.split(":", 1) for line in head.decode().split("\r\n"))
    return ReceivedPart({name.lower(): value.strip() for name, value in pairs}, content)


class Caller:
    """Speaks to one service root, such as ``http://127.0.0.1:7071``; paths are relative to its version ("" for none)."""

    def __init__(self, root: str, version: str = "v2") -> None:
        self.root = root
        self._prefix = f"/{version}" if version else ""
        self._session = requests.Session()
        self._session.headers.clear()  # no Accept but what the test says

    def at(self, version: str) -> Caller:
        """Give a caller of another version."""
        return Caller(self.root, version)

    def call(self, method: str, path: str, *, data: Body = None, query: Query = (), **headers: str) -> requests.Response:
        """Send a request; header names are given with underscores."""
        return self._send(method, path, data, query, headers)

    def get(self, path: str, accept: str | None = None, query: Query = (), **headers: str) -> requests.Response:
        """GET; no Accept header where none is given."""
        return self._send("GET", path, None, query, headers if accept is None else {"Accept": accept, **headers})

    def _send(self, method: str, path: str, data: Body, query: Query, headers: Mapping[str, str]) -> requests.Response:
        return self._session.request(
            method,
            self.root + self._prefix + path,
            params=query if isinstance(query, str) else list(query),
            data=data,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )

    def store(self, *files: bytes, study: str | None = None, method: str = "POST") -> requests.Response:
        """Store files as one multipart request."""
        path = "/studies" if study is None else f"/studies/{study}"
        return self.call(method, path, data=related(files), Content_Type=STORE_TYPE, Accept=DICOM_JSON)

    def stored(self, data: bytes) -> SentInstance:
        """Store one file that must succeed."""
        response = self.store(data)
        assert response.status_code in {200, 202}, response.text
        return SentInstance.of(data)

    def search(self, path: str, *query: tuple[str, str]) -> list[dict[str, dict[str, object]]]:
        """Search; an empty list for 204."""
        response = self.get(path, DICOM_JSON, query)
        assert response.status_code in {200, 204}, response.text
        return [] if response.status_code == 204 else list(response.json())
