"""What a comparison came to, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator

from infra.simulation.compare import Comparison
from infra.simulation.measure import Figures, Interval

Json = dict[str, dict[str, dict[str, float]]]

_COLUMNS = (
    "policy",
    "p50 s",
    "p95 s",
    "unanswered",
    "nobody free",
    "notifications",
    "waves",
    "late taps",
    "gini",
    "turn",
)


def as_json(comparison: Comparison) -> Json:
    """`{policy: {answer_chance: figures}}`."""
    found: Json = {}
    for (name, chance), played in comparison.items():
        found.setdefault(name, {})[str(chance)] = _figures(played.figures)
    return found


def _figures(figures: Figures) -> dict[str, float]:
    return {
        "p50_s": round(figures.p50_s.value, 3),
        "p95_s": round(figures.p95_s.value, 3),
        "unanswered": figures.unanswered,
        "notifications": round(figures.notifications.value, 4),
        "late_taps": round(figures.late_taps.value, 4),
        "gini": round(figures.gini.value, 4),
        "first_turn_max_days": round(figures.first_turn_max_days, 4),
    }


def as_table(comparison: Comparison) -> Iterator[str]:
    """Lines, with 95 % intervals."""
    chances = sorted({chance for _, chance in comparison})
    for chance in chances:
        rows = [_row(name, played.figures) for (name, at), played in comparison.items() if at == chance]
        yield f"Volunteers answer with a chance of {chance}:"
        yield from _aligned([_COLUMNS, *rows])
        yield ""
    yield "Both times are to an answer; [..] is a 95 % interval. Notifications, waves and late taps are per request."
    yield "unanswered: nobody came, though somebody was free who had not been asked; nobody free: all had been asked."
    yield "turn: the longest a volunteer waited to ring for the first time, in days (or until the end)."


def _row(name: str, figures: Figures) -> tuple[str, ...]:
    return (
        name,
        _between(figures.p50_s, 1),
        _between(figures.p95_s, 1),
        str(figures.unanswered),
        str(figures.nobody_free),
        _between(figures.notifications, 2),
        f"{figures.waves:.2f}",
        _between(figures.late_taps, 3),
        _between(figures.gini, 3),
        f"{figures.first_turn_max_days:.2f}",
    )


def _between(found: Interval, digits: int) -> str:
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}..{found.high:.{digits}f}]"


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
