"""What processes use, read from ``/proc``: processor time and peak memory of a server and its children."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> dict[str, float]:
    """Give user and system time of a process and its descendants, by program name."""
    used: defaultdict[str, float] = defaultdict(float)
    for member in _tree(pid):
        name, fields = _stat(member)
        used[name] += (int(fields[11]) + int(fields[12])) / _TICKS
    return dict(used)


def peak_resident_bytes(pid: int) -> int:
    """Give the largest resident size that a process has had so far."""
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _tree(pid: int) -> list[int]:
    parents = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int(_stat(int(folder.name))[1][1])
            except OSError:
                continue  # it has ended meanwhile
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return members


def _stat(pid: int) -> tuple[str, list[str]]:
    text = (_PROC / str(pid) / "stat").read_text()
    name, rest = text[text.index("(") + 1 :].rsplit(")", 1)
    return name, rest.split()
