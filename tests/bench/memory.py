"""Measure the peak memory of the host while it takes a large chunked upload: ``python -m tests.bench.memory``.

The instance is made while it is sent, so neither side holds it. It is retrieved again and compared by its hash.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tests.bench.__main__ import BENCH_FOLDER
from tests.bench.processes import peak_resident_bytes
from tests.support.dicom_builders import make_instance, new_uid
from tests.support.host import RunningHost, running_host

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE: Final = 1 << 20
_ROWS: Final = 1024
_FRAME_BYTES: Final = _ROWS * _ROWS * 2
_BOUNDARY: Final = "memory-boundary-31f0"
_TIMEOUT_SECONDS: Final = 600


def main() -> None:
    """Upload, retrieve, and print what it took."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=2000, help="size of the instance, in MiB (default: %(default)s)")
    chosen = parser.parse_args()
    BENCH_FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=BENCH_FOLDER))
    try:
        with running_host(folder, settings={"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(1 << 32)}) as host:
            _measure(host, chosen.megabytes)
    finally:
        shutil.rmtree(folder)


def _measure(host: RunningHost, megabytes: int) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    header = _header(study, series, instance, megabytes * _PIECE // _FRAME_BYTES)
    sent, received = hashlib.sha256(), hashlib.sha256()
    idle = peak_resident_bytes(host.process.pid)
    begin = time.perf_counter()
    status = _upload(host, _body(header, megabytes, sent))
    stored = time.perf_counter()
    after_store = peak_resident_bytes(host.process.pid)
    size = _download(host, f"/studies/{study}/series/{series}/instances/{instance}", received)
    retrieved = time.perf_counter()
    peak = peak_resident_bytes(host.process.pid)
    same = sent.digest() == received.digest()
    print(f"status {status}, {size / 2**20:.0f} MiB back, {'the same bytes' if same else 'OTHER BYTES'}")  # noqa: T201 -- output
    print(f"stored at {megabytes / (stored - begin):.0f} MiB/s, retrieved at {megabytes / (retrieved - stored):.0f} MiB/s")  # noqa: T201 -- output
    print(f"peak resident memory: idle {idle / 2**20:.0f}, stored {after_store / 2**20:.0f}, retrieved {peak / 2**20:.0f} MiB")  # noqa: T201 -- output


def _header(study: str, series: str, instance: str, frames: int) -> bytes:
    """Make the file up to its pixel data's value: a small one with the length of the large one written over its own."""
    small = make_instance(
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        SOPInstanceUID=instance,
        NumberOfFrames=frames,
        Rows=_ROWS,
        Columns=_ROWS,
        PixelData=b"\0\0",
    )
    return small[:-6] + (frames * _FRAME_BYTES).to_bytes(4, "little")


def _body(header: bytes, megabytes: int, digest: hashlib._Hash) -> Iterator[bytes]:
    yield f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    digest.update(header)
    yield header
    for number in range(megabytes):
        piece = number.to_bytes(4, "big") * (_PIECE // 4)
        digest.update(piece)
        yield piece
    yield f"\r\n--{_BOUNDARY}--\r\n".encode()


def _upload(host: RunningHost, body: Iterator[bytes]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=_TIMEOUT_SECONDS)
    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}', "Accept": "application/dicom+json"}
    connection.request("POST", "/v2/studies", body, headers, encode_chunked=True)
    return connection.getresponse().status


def _download(host: RunningHost, path: str, digest: hashlib._Hash) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=_TIMEOUT_SECONDS)
    connection.request("GET", urlsplit(host.url).path + "/v2" + path, headers={"Accept": "application/dicom; transfer-syntax=*"})
    response = connection.getresponse()
    size = 0
    while piece := response.read(_PIECE):
        digest.update(piece)
        size += len(piece)
    return size


if __name__ == "__main__":
    main()
