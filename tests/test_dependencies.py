"""What the project stands on: locked with hashes, permissively licensed. Known weaknesses are looked up by ``make advisories``."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
LOCKS: Final = ("requirements.txt", "requirements-dev.txt")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)")

PERMISSIVE: Final = (
    "MIT",
    "BSD",
    "Apache",
    "ISC",
    "PSF",
    "Python Software Foundation",
    "MPL-2.0",  # of whole packages that we do not change, its files stay theirs
    "Mozilla Public License 2.0",
    "Unlicense",
    "0BSD",
    "Zlib",
)
FORBIDDEN = re.compile(r"(?<![A-Z])A?L?GPL|GNU|SSPL|Commons Clause|Business Source|Proprietary", re.IGNORECASE)


def pins(lock: str) -> dict[str, str]:
    """Give the packages that a lock names, and their versions."""
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    return {found[1]: found[2] for line in lines if (found := _PIN.match(line))}


def licence_of(package: str) -> str:
    """Give what a package says of its licence."""
    about = metadata.metadata(package)
    classifiers = [each.rpartition(" :: ")[2] for each in about.get_all("Classifier") or () if each.startswith("License ::")]
    said = [line for name in ("License-Expression", "License") for line in (about.get_all(name) or ("",))]
    return " | ".join([*classifiers, *(text.partition("\n")[0] for text in said)])


def installed(package: str) -> bool:
    return any(True for _ in metadata.distributions(name=package))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_locked_with_hashes(lock: str) -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / lock).read_text(encoding="utf-8"))
    packages = [entry for entry in entries if _PIN.match(entry)]
    assert len(packages) > 30
    assert [entry.splitlines()[0] for entry in packages if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("package", sorted(package for package in pins("requirements.txt") if installed(package)))
def test_what_is_deployed_is_permissively_licensed(package: str) -> None:
    licence = licence_of(package)
    assert any(name in licence for name in PERMISSIVE), licence
    assert not FORBIDDEN.search(licence), licence


def test_what_is_deployed_is_installed_here_to_be_looked_at() -> None:
    absent = [package for package in pins("requirements.txt") if not installed(package)]
    assert set(absent) <= {"azurefunctions-extensions-base", "colorama", "werkzeug", "markupsafe", "tzlocal", "pywin32"}
