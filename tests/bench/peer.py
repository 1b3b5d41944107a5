"""The peer to compare with: Orthanc with its DICOMweb plugin, where it is installed, on loopback only.

Orthanc 1.10 has no setting for the address it listens on and takes all of them. A small preloaded library turns
"any address" into the loopback address, so that it is never reachable from elsewhere; without a C compiler to build
it there is no peer.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.caller import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_NEEDED: Final = ("Orthanc", "cc")
_START_SECONDS: Final = 60

_LOOPBACK_ONLY: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* Every bind to any address becomes a bind to loopback; IPv6, which Orthanc can do without, is refused. */
int bind(int socket, const struct sockaddr *address, socklen_t length) {
    int (*next_bind)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
    struct sockaddr_in here;
    if (address->sa_family == AF_INET6) {
        errno = EACCES;
        return -1;
    }
    if (address->sa_family != AF_INET) return next_bind(socket, address, length);
    memcpy(&here, address, sizeof here);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return next_bind(socket, (const struct sockaddr *)&here, sizeof here);
}
"""


def missing() -> list[str]:
    """Name what is not installed of what the peer needs."""
    absent = [program for program in _NEEDED if shutil.which(program) is None]
    return absent if _PLUGIN.exists() else [*absent, _PLUGIN.name]


@contextmanager
def running_peer(folder: Path) -> Iterator[Server]:
    """Start the peer with its data below ``folder``, and stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(_configuration(folder / "db", port), indent=1), encoding="utf-8")
    environment = {**os.environ, "LD_PRELOAD": str(_loopback_library(folder))}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["Orthanc", str(configuration)], cwd=folder, env=environment, stdout=log, stderr=log)  # noqa: S603, S607 -- the peer
        try:
            _wait_until_ready(process, port)
            yield Server("Orthanc", f"http://127.0.0.1:{port}/dicom-web", process.pid)
        finally:
            process.terminate()
            process.wait(60)


def _loopback_library(folder: Path) -> Path:
    library = folder / "loopback-only.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-x", "c", "-", "-o", str(library), "-ldl"]
    subprocess.run(command, input=_LOOPBACK_ONLY, text=True, check=True)  # noqa: S603 -- our own source
    return library


def _configuration(database: Path, port: int) -> dict[str, object]:
    """Configure it for speed, but as durable as we are: it syncs every file it stores."""
    return {
        "StorageDirectory": str(database),
        "IndexDirectory": str(database),
        "SyncStorageArea": True,
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "HttpThreadsCount": 50,
        "KeepAlive": True,
        "TcpNoDelay": True,
        "HttpCompressionEnabled": False,
        "StorageCompression": False,
        "SaveJobs": False,
        "DefaultEncoding": "Utf8",
        "Plugins": [str(_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/dicom-web/studies?limit=1")
            if connection.getresponse().status < 500:
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("The peer did not start; see the log in its folder.")
