"""Measure the archive beside a peer: ``python -m tests.bench [--quick] [--only store,retrieve] [--store azurite] [--no-peer]``.

Starts our own host, and Orthanc where it is installed, both on loopback with new data folders on disk below ``build/bench``,
and prints a table in Markdown: medians, and in the last column how many times as good we are. Wrong answers are shown
instead of a number. ``docs/performance.md`` quotes it. A full run takes some 20 minutes and 10 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal, cast

from tests.bench import peer
from tests.bench.caller import Server
from tests.bench.results import Results
from tests.bench.sections import FULL, QUICK, SECTIONS, Bench
from tests.support.host import PROJECT_FOLDER, running_host

BENCH_FOLDER: Final = PROJECT_FOLDER / "build" / "bench"


def main() -> None:
    """Run the sections that were asked for and print the table."""
    chosen = _arguments()
    BENCH_FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=BENCH_FOLDER))
    try:
        with ExitStack() as stack:
            servers = _start(stack, folder, chosen)
            results = Results([server.name for server in servers])
            bench = Bench(servers, results, QUICK if chosen.quick else FULL, chosen.seed, _say)
            for name in chosen.only:
                SECTIONS[name](bench)
            print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, store {chosen.store}\n")  # noqa: T201 -- output
            print(results.markdown())  # noqa: T201 -- output
            _say_shares(servers)
    finally:
        shutil.rmtree(folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=_sections, default=list(SECTIONS), metavar="NAMES", help=f"of {', '.join(SECTIONS)}; comma-separated"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a first look")
    parser.add_argument("--store", choices=["embedded", "azurite"], default="embedded", help="what our host keeps its data in")
    parser.add_argument("--no-peer", action="store_true", help="measure ourselves alone")
    parser.add_argument("--no-host", action="store_true", help="measure the peer alone")
    parser.add_argument("--seed", default="1", help="the same seed makes the same patients and queries (default: %(default)s)")
    return parser.parse_args()


def _sections(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(SECTIONS):
        raise argparse.ArgumentTypeError(f"of {', '.join(SECTIONS)}")
    return names


def _start(stack: ExitStack, folder: Path, chosen: argparse.Namespace) -> list[Server]:
    servers = []
    if not chosen.no_host:
        store = cast("Literal['embedded', 'azurite']", chosen.store)
        host = stack.enter_context(running_host(folder / "ours", store=store))
        servers.append(Server("Ours", f"{host.url}/v2", host.process.pid))
    if not chosen.no_peer:
        if absent := peer.missing():
            _say(f"No peer: {', '.join(absent)} not found. Debian has it: apt-get install orthanc orthanc-dicomweb gcc libc6-dev")
        else:
            servers.append(stack.enter_context(peer.running_peer(folder / "peer")))
    if not servers:
        sys.exit("There is nothing to measure.")
    return servers


def _say_shares(servers: list[Server]) -> None:
    """Say whose the processor time was: beside an emulator, most of it is not ours."""
    for server in servers:
        used = server.cpu_seconds()
        total = sum(used.values()) or 1.0
        shares = ", ".join(f"{name} {100 * seconds / total:.0f} %" for name, seconds in sorted(used.items()))
        print(f"\nProcessor time of {server.name}: {total:.1f} s ({shares})")  # noqa: T201 -- output


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 -- progress


if __name__ == "__main__":
    main()
