"""An interpreter with the official worker core (``azure-functions-runtime``), as ``--engine runtime`` needs it.

The core asks for Python 3.13, which Azure runs: where there is one, it gets a virtual environment of its own, made once and kept
below ``.cache``. Where there is none, this interpreter serves: ``make setup-tests`` has put the core into its environment with
``--ignore-requires-python`` (it runs), and the output says so.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_PROJECT_FOLDER = Path(__file__).resolve().parents[2]
_CACHE_FOLDER = _PROJECT_FOLDER / ".cache"
_LOCKED = _PROJECT_FOLDER / "requirements.txt"
_CORE = _PROJECT_FOLDER / "requirements-worker.txt"
_AZURE_PYTHON = "3.13"
_COMPLETE = "complete"


def worker_core_python() -> Path:
    """Give the interpreter, making its virtual environment where it is missing or out of date."""
    azures = _find_azures_python()
    if azures is None:
        version = ".".join(map(str, sys.version_info[:2]))
        print(f"No Python {_AZURE_PYTHON} here: the worker core runs on {version}, installed with --ignore-requires-python.")  # noqa: T201
        return Path(sys.executable)
    contents = b"".join(path.read_bytes() for path in (_LOCKED, _CORE)) + azures.encode()
    folder = _CACHE_FOLDER / f"worker-core-{hashlib.sha256(contents).hexdigest()[:12]}"
    _CACHE_FOLDER.mkdir(exist_ok=True)
    with (_CACHE_FOLDER / "worker-core.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _COMPLETE).exists():
            _make(folder, azures)
    return folder / "bin" / "python"


def _find_azures_python() -> str | None:
    """Find a Python 3.13 that starts, on the path or among pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{_AZURE_PYTHON}"), *map(str, sorted(pyenv.glob(f"{_AZURE_PYTHON}.*/bin/python")))]
    return next((candidate for candidate in candidates if candidate is not None and _starts(candidate)), None)


def _starts(interpreter: str) -> bool:
    return subprocess.run([interpreter, "-c", "import ssl, sqlite3, venv"], check=False, capture_output=True).returncode == 0  # noqa: S603


def _make(folder: Path, interpreter: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _run(interpreter, "-m", "venv", str(folder))
    pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes")
    _run(*pip, "--requirement", str(_LOCKED))
    _run(*pip, "--no-deps", "--requirement", str(_CORE))
    (folder / _COMPLETE).touch()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)  # noqa: S603 -- our own commands
