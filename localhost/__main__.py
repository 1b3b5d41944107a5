"""Run the function app on this machine: ``python -m localhost --port 7071 --data data``.

Prints one line ``ready http://127.0.0.1:PORT`` when it serves, with FHIR a second, ``fhir BASE-URL``, and with ``--auth`` one more for each
token to try, ``token NAME TOKEN``; everything else goes to the error stream.
Exit codes: 0 after SIGTERM or Ctrl-C, 1 where it cannot start, 2 for wrong arguments or an occupied port.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from localhost.auth import chosen_auth
from localhost.data_folder import own_data_folder
from localhost.fhir_server import chosen_fhir
from localhost.host import NOT_MIRRORED, EngineName, HostChoices, run
from localhost.logs import log_to_stderr
from localhost.memory import keep_large_buffers
from localhost.problems import PortOccupied, StartupProblem
from localhost.server import event_loop_factory, listen, url_of
from localhost.storage import Store, chosen_store
from shared.errors import ArchiveError

if TYPE_CHECKING:
    from types import FrameType

_PROJECT_FOLDER = Path(__file__).resolve().parent.parent
_DEFAULT_PORT, _LAST_PORT = 7071, 65535
_CANNOT_START, _WRONG_ARGUMENTS = 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run the host; give the exit code."""
    chosen = _parser().parse_args(arguments)
    log_to_stderr()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        _run(chosen)
    except PortOccupied as problem:
        _say(problem)
        return _WRONG_ARGUMENTS
    except (StartupProblem, ArchiveError) as problem:
        _say(problem)
        return _CANNOT_START
    return 0


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Unwind, so that nothing is left running, where a signal comes before the host serves."""
    sys.exit(0)


def _run(chosen: argparse.Namespace) -> None:
    data_folder = chosen.data.resolve()
    with (
        listen(chosen.port) as listener,
        chosen_auth(url_of(listener), wanted=chosen.auth) as tokens,
        own_data_folder(data_folder, empty=chosen.empty),
    ):
        _say(NOT_MIRRORED)
        keep_large_buffers()
        inbox_folder = chosen.inbox and chosen.inbox.resolve()
        with (
            chosen_store(chosen.store, data_folder, inbox_folder),
            chosen_fhir(data_folder / "fhir", url_of(listener), wanted=not chosen.no_fhir) as fhir_url,
            asyncio.Runner(loop_factory=event_loop_factory()) as runner,
        ):
            choices = HostChoices(chosen.app.resolve(), chosen.store, chosen.engine, chosen.when_ready, fhir_url, tokens)
            runner.run(run(choices, listener))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m localhost", description="Run the function app on this machine, on loopback only.")
    parser.add_argument("--port", type=_port, default=_DEFAULT_PORT, help="port on 127.0.0.1; 0 takes a free one (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="where data is kept (default: %(default)s)")
    parser.add_argument("--store", type=Store, choices=list(Store), default=Store.EMBEDDED, help="which storage (default: %(default)s)")
    parser.add_argument("--empty", action="store_true", help="remove what the data directory holds, first")
    parser.add_argument("--engine", type=EngineName, choices=list(EngineName), default=EngineName.DIRECT, help="who runs the functions")
    parser.add_argument("--auth", action="store_true", help="closed: with an issuer of its own, whose tokens it prints, or AUTHORITY's")
    parser.add_argument("--no-fhir", action="store_true", help="without a FHIR server; FHIR_BASE_URL names one to use instead of our own")
    parser.add_argument("--no-viewer", action="store_true", help="without a viewer (there is none yet)")
    parser.add_argument("--inbox", type=Path, metavar="DIR", help="folder that stands for the inbox container (embedded store)")
    parser.add_argument("--when-ready", metavar="MODULE", help="module to run once the host serves; its argument is the URL")
    parser.add_argument("--app", type=Path, default=_PROJECT_FOLDER, metavar="DIR", help="folder of function_app.py and host.json")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= _LAST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {_LAST_PORT}")
    return port


def _say(text: object) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 -- a command line's way to speak


if __name__ == "__main__":
    sys.exit(main())
