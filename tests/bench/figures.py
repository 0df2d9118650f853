"""The shape every figure is printed and kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import quantiles

Figure = dict[str, float | str | None]
"""`value`, `unit`, `beside` (the same of something bare, in the same run; None when there is none), `ratio`."""


def figure(value: float, unit: str, beside: float | None = None) -> Figure:
    """One figure; `ratio` is value / beside."""
    ratio = round(value / beside, 3) if beside else None
    return {"value": round(value, 3), "unit": unit, "beside": round(beside, 3) if beside else None, "ratio": ratio}


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0.01 .. 0.99) of all values do not exceed."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def keep(figures: Mapping[str, Figure], path: Path) -> None:
    """Add figures to those a machine has measured before."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**known, **figures}, indent=1, sort_keys=True) + "\n")


def table(figures: Mapping[str, Figure]) -> str:
    """For a person to read."""
    lines = [f"{'figure':44} {'value':>12} {'unit':20} {'beside':>12} {'ratio':>8}"]
    for name, one in figures.items():
        beside = "" if one["beside"] is None else f"{one['beside']:,}"
        ratio = "" if one["ratio"] is None else str(one["ratio"])
        lines.append(f"{name:44} {one['value']:>12,} {one['unit']!s:20} {beside:>12} {ratio:>8}")
    return "\n".join(lines)
