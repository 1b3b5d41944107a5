"""The load generator's side: kept-alive connections, one a thread, and what the answers must be."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from tests.bench.processes import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.bench.instances import Instance

_BOUNDARY: Final = "bench-boundary-5b1d"
_STORE_HEADERS: Final = {
    "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
    "Accept": "application/dicom+json",
}
_JSON: Final = {"Accept": "application/dicom+json"}
_AS_STORED: Final = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
_OCTETS: Final = {"Accept": 'multipart/related; type="application/octet-stream"'}
_TIMEOUT_SECONDS: Final = 120

Row = dict[str, Any]
T = TypeVar("T")


class WrongAnswer(Exception):
    """A server did not answer as it must, so its time does not count."""


@dataclass
class Server:
    """One of the servers that are compared.

    Attributes
    ----------
    name
        As the table shows it.
    url
        DICOMweb root.
    pid
        Its process; what it and its children use of the processors is counted.
    """

    name: str
    url: str
    pid: int
    _local: threading.local = field(default_factory=threading.local, repr=False)

    def cpu_seconds(self) -> dict[str, float]:
        """Give processor time so far, by program."""
        return cpu_seconds(self.pid)

    def store(self, instances: Sequence[Instance]) -> None:
        """Store as one request; every instance must be named in the answer."""
        self.send(multipart(instances), instances)

    def send(self, body: bytes, instances: Sequence[Instance]) -> None:
        """Send a body made before, so that making it is not measured."""
        _, answer = self._call("POST", "/studies", {200}, body, _STORE_HEADERS)
        report = json.loads(answer)
        stored = {item["00081155"]["Value"][0] for item in report.get("00081199", {}).get("Value", [])}
        if stored != {instance.instance for instance in instances} or report.get("00081198", {}).get("Value"):
            raise WrongAnswer(f"store: {len(stored)} of {len(instances)} instances named")

    def search(self, path: str) -> list[Row]:
        """Search; an empty list where nothing matches."""
        _, answer = self._call("GET", path, {200, 204}, None, _JSON)
        return list(json.loads(answer)) if answer else []

    def metadata(self, path: str) -> Callable[[], list[Row]]:
        """Retrieve metadata; parsing it is left to the caller, outside the measured time."""
        _, answer = self._call("GET", f"{path}/metadata", {200}, None, _JSON)
        return lambda: list(json.loads(answer))

    def instances(self, path: str) -> Callable[[], list[bytes]]:
        """Retrieve the instances of a resource; taking the answer apart is left to the caller."""
        content_type, answer = self._call("GET", path, {200}, None, _AS_STORED)
        return lambda: _parts(content_type, answer)

    def frame(self, instance: Instance, number: int = 1) -> Callable[[], list[bytes]]:
        """Retrieve one frame."""
        content_type, answer = self._call("GET", f"{instance.path}/frames/{number}", {200}, None, _OCTETS)
        return lambda: _parts(content_type, answer)

    def _call(self, method: str, path: str, statuses: set[int], body: bytes | None, headers: dict[str, str]) -> tuple[str, bytes]:
        target = urlsplit(self.url).path + path
        try:
            status, content_type, answer = self._exchange(method, target, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self._local.connection = None  # it was idle for too long: once more on a new one
            status, content_type, answer = self._exchange(method, target, body, headers)
        if status not in statuses:
            raise WrongAnswer(f"{method} {path.split('?', maxsplit=1)[0]}: {status}")
        return content_type, answer

    def _exchange(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, str, bytes]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            parts = urlsplit(self.url)
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
            self._local.connection = connection
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read()


def multipart(instances: Sequence[Instance]) -> bytes:
    """Build the body of a store request."""
    pieces: list[bytes] = []
    for instance in instances:
        pieces += [f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode(), instance.data, b"\r\n"]
    return b"".join([*pieces, f"--{_BOUNDARY}--\r\n".encode()])


def _parts(content_type: str, answer: bytes) -> list[bytes]:
    if "boundary=" not in content_type:
        return [answer]
    boundary = content_type.split("boundary=")[1].split(";", maxsplit=1)[0].strip('"').encode()
    _, *parts, _ = (b"\r\n" + answer).split(b"\r\n--" + boundary)
    return [part.split(b"\r\n\r\n", 1)[1] for part in parts]


@dataclass(frozen=True, slots=True)
class Timing:
    """What a run of jobs took: in all, and each of them, in seconds."""

    total: float
    each: list[float]


def in_parallel(clients: int, jobs: Iterable[T], do: Callable[[T], object]) -> Timing:
    """Let ``clients`` threads do the jobs; the first error ends all and is raised."""
    remaining = iter(jobs)
    lock = threading.Lock()
    times: list[float] = []
    errors: list[Exception] = []

    def work() -> None:
        while not errors:
            with lock:
                job = next(remaining, None)
            if job is None:
                return
            begin = time.perf_counter()
            try:
                do(job)
            except (WrongAnswer, OSError, http.client.HTTPException, ValueError, KeyError) as error:
                errors.append(error)
                return
            times.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = time.perf_counter() - begin
    if errors:
        raise WrongAnswer(f"{type(errors[0]).__name__}: {errors[0]}") from errors[0]
    return Timing(total, times)
