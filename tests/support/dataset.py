"""The shared data set of real and awkward files, where it is present: extra cases, never the only ones."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"

DATASET: Path | None = _DATA / "dicom" if (_DATA / "dicom" / "MANIFEST.csv").is_file() else None
"""Folder of the data set, or None."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One file of the data set. ``expect``: store, warn, reject, either, or empty (store, warnings allowed)."""

    file: str
    path: Path
    transfer_syntax_uid: str
    frames: int | None
    notes: str
    expect: str


def manifest() -> list[ManifestRow]:
    """Give all rows of the manifest; none where the data set is absent."""
    if DATASET is None:
        return []
    with (DATASET / "MANIFEST.csv").open(encoding="utf-8", newline="") as lines:
        return [
            ManifestRow(
                file=row["file"],
                path=DATASET / row["file"],
                transfer_syntax_uid=row["transfer_syntax"],
                frames=int(row["frames"]) if row["frames"].isdigit() else None,
                notes=row["notes"],
                expect=row["expect"],
            )
            for row in csv.DictReader(lines)
        ]
