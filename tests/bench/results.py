"""What was measured, and the table of it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that is measured, in one unit."""

    section: str
    name: str
    unit: str
    more_is_better: bool = False


@dataclass
class Results:
    """Figures by cell and server; a server that answered wrongly has none in that cell."""

    servers: list[str]
    figures: dict[Cell, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    wrong: dict[tuple[Cell, str], str] = field(default_factory=dict)

    def add(self, cell: Cell, server: str, figure: float) -> None:
        self.figures[cell][server].append(figure)

    def reject(self, cell: Cell, server: str, reason: str) -> None:
        self.figures[cell][server].clear()
        self.wrong[cell, server] = reason

    def markdown(self) -> str:
        """Give the table: medians, and how many times as good the first server is as the second."""
        ratio = len(self.servers) == 2
        header = ["Section", "Measured", "Unit", *self.servers, *(["Ratio"] if ratio else [])]
        lines = [_row(header), _row(["---"] * 3 + ["---:"] * (len(header) - 3))]
        for cell, figures in self.figures.items():
            medians = [self._median(cell, figures, server) for server in self.servers]
            shown = [_number(median) if median is not None else "WRONG" for median in medians]
            lines.append(_row([cell.section, cell.name, cell.unit, *shown, *([_ratio(cell, medians)] if ratio else [])]))
        lines += [f"\nWRONG {server}, {cell.section} {cell.name}: {reason}" for (cell, server), reason in self.wrong.items()]
        return "\n".join(lines)

    def _median(self, cell: Cell, figures: dict[str, list[float]], server: str) -> float | None:
        if (cell, server) in self.wrong or not figures[server]:
            return None
        return statistics.median(figures[server])


def _row(columns: list[str]) -> str:
    return f"| {' | '.join(columns)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(cell: Cell, medians: list[float | None]) -> str:
    ours, theirs = medians
    if not ours or not theirs:
        return ""
    return f"{ours / theirs if cell.more_is_better else theirs / ours:.2f}"
