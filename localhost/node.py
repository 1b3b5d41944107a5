"""Node for the parts of a local run that need it: find it, install a folder's locked packages, run a script that ends with its input."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localhost.problems import StartupProblem

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

_STOP_SECONDS = 30
_PAUSE_SECONDS = 0.05


class NodeMissing(StartupProblem):
    """Node, npm or packages from npm cannot be had."""


@dataclass(frozen=True, slots=True)
class NodeChild:
    """A running Node process. It ends when its input ends, so also when we are killed."""

    process: subprocess.Popen[str]

    def matches(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Give the lines of its output that a pattern matches, until it ends."""
        for line in self.process.stdout or ():
            if match := pattern.match(line):
                yield match

    def stop(self) -> None:
        """End it and wait until its data is on disk."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait(_STOP_SECONDS)
        if self.process.stdout:
            self.process.stdout.close()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


def start_node(arguments: Sequence[str], folder: Path | None, *, quiet: bool) -> NodeChild:
    """Run a script with a pipe as input and output; ``quiet`` puts the error stream into its output.

    A lock on the folder, which the child inherits, keeps the next one from it until its data is saved.

    Raises
    ------
    NodeMissing
        Node is not installed.
    StartupProblem
        Another process uses the folder.
    """
    command = [find_tool("node"), *arguments]
    if folder is None:
        return _run(command, quiet=quiet)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w", encoding="utf-8") as lock:
        _hold(lock)
        return _run(command, quiet=quiet, inherited=(lock.fileno(),))


def _run(command: list[str], *, quiet: bool, inherited: tuple[int, ...] = ()) -> NodeChild:
    return NodeChild(
        subprocess.Popen(  # noqa: S603 -- our own command
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if quiet else None,
            text=True,
            start_new_session=True,
            pass_fds=inherited,
        )
    )


def find_tool(name: str) -> str:
    """Give the path of ``node`` or ``npm``.

    Raises
    ------
    NodeMissing
        It is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise NodeMissing(f"{name} is not installed: Node 20 with npm is needed.")
    return path


def install_packages(folder: Path) -> None:
    """Install the locked packages of a folder, unless they are there.

    Raises
    ------
    NodeMissing
        npm is not installed, or fails: too old a Node, no network.
    """
    if _is_installed(folder):
        return
    npm = find_tool("npm")
    print(f"Installing the Node packages of {folder} (only this first time)", file=sys.stderr, flush=True)  # noqa: T201 -- a command line's way to speak
    command = [npm, "ci", "--no-progress", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL)  # noqa: S603 -- our own command
    if done.returncode != 0:
        raise NodeMissing(f"npm could not install the packages of {folder}: Node 20 and a package registry are needed.")


def _is_installed(folder: Path) -> bool:
    """Compare with the copy of the lock file that npm leaves once all packages are there."""
    installed = folder / "node_modules" / ".package-lock.json"
    return installed.exists() and installed.stat().st_mtime >= (folder / "package-lock.json").stat().st_mtime


def _hold(lock: TextIO) -> None:
    """Take the folder as soon as a process whose host was killed has saved its data there."""
    latest = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < latest:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_PAUSE_SECONDS)
    raise StartupProblem("Another process uses the same folder; stop it, or choose another folder with --data.")
