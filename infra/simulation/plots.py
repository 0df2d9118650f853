"""The pictures of a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infra.simulation.compare import CHANCES, Comparison, Played
from infra.simulation.contenders import CONTENDERS, FIXED_FAMILY
from infra.simulation.measure import DAY_S, Interval
from matching.chances import Chances
from matching.model import Tier

mpl.use("Agg")

TARGET_P95_S, TARGET_LATE_TAPS = 20.0, 0.15
OURS = "adaptive"
COLOURS = dict(
    zip(CONTENDERS, ("#d62728", "#1f77b4", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#2ca02c"), strict=True)
)

Panel = Callable[[Axes, Comparison, float], None]


def draw(comparison: Comparison, folder: Path) -> list[Path]:
    """Write the pictures; those that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures: list[tuple[str, str, Panel]] = [
        ("waves-frontier.png", "How soon, and for how many notifications", _frontier),
        ("waves-waiting.png", "Who still waits", _waiting),
        ("waves-late-taps.png", "Taps in vain", _late_taps),
        ("waves-turns.png", "Who has not had a turn yet", _turns),
        ("waves-chances.png", "What was learned of chances", _chances),
    ]
    return [_picture(comparison, folder / name, title, panel) for name, title, panel in pictures]


def _picture(comparison: Comparison, path: Path, title: str, panel: Panel) -> Path:
    figure = Figure(figsize=(14, 4.4), layout="constrained")
    figure.suptitle(title)
    for chance, axes in zip(CHANCES, figure.subplots(1, len(CHANCES)), strict=True):
        axes.set_title(f"chance of an answer {chance}")
        axes.grid(alpha=0.25)
        panel(axes, comparison, chance)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    # Without the version of the library in it, the same figures make the same file.
    figure.savefig(path, dpi=90, metadata={"Software": None})
    return path


def _at(comparison: Comparison, chance: float, names: Sequence[str]) -> list[Played]:
    return [comparison[name, chance] for name in names if (name, chance) in comparison]


def _frontier(axes: Axes, comparison: Comparison, chance: float) -> None:
    fixed = sorted(_at(comparison, chance, tuple(FIXED_FAMILY)), key=lambda one: one.figures.notifications.value)
    axes.plot(
        [one.figures.notifications.value for one in fixed],
        [one.figures.p95_s.value for one in fixed],
        color="grey",
        marker=".",
        linewidth=1,
        label="N every 10 s, N = 2 .. 60",
    )
    for one in _at(comparison, chance, tuple(CONTENDERS)):
        asked, p95_s = one.figures.notifications, one.figures.p95_s
        axes.errorbar(
            asked.value,
            p95_s.value,
            xerr=_bars(asked),
            yerr=_bars(p95_s),
            fmt="o",
            color=COLOURS[one.name],
            markersize=8 if one.name == OURS else 5,
            label=one.name,
        )
    axes.axhline(TARGET_P95_S, color="black", linewidth=0.8, linestyle="--")
    axes.set(xscale="log", yscale="log", xlabel="notifications per request", ylabel="p95 until an answer, s")
    axes.set_yticks([5, 10, 20, 50, 100, 180], labels=["5", "10", "20", "50", "100", "180"])
    notifications = [2, 5, 10, 20, 50, 100]
    axes.set_xticks(notifications, labels=[str(many) for many in notifications])
    axes.minorticks_off()
    axes.set(xlim=(1.5, 130))


def _bars(found: Interval) -> list[list[float]]:
    return [[max(found.value - found.low, 0)], [max(found.high - found.value, 0)]]


def _waiting(axes: Axes, comparison: Comparison, chance: float) -> None:
    for one in _at(comparison, chance, tuple(CONTENDERS)):
        waited_s = sorted(one.record.waited_s)
        left = [1 - place / len(waited_s) for place in range(len(waited_s))]
        axes.plot(waited_s, left, color=COLOURS[one.name], linewidth=2 if one.name == OURS else 1, label=one.name)
    axes.axhline(0.05, color="black", linewidth=0.8, linestyle="--")
    axes.set(xlim=(0, 90), ylim=(0.001, 1), yscale="log", xlabel="seconds", ylabel="part of requests not answered")


def _late_taps(axes: Axes, comparison: Comparison, chance: float) -> None:
    played = _at(comparison, chance, tuple(CONTENDERS))
    bars = [_bars(one.figures.late_taps) for one in played]
    axes.barh(
        [one.name for one in played],
        [one.figures.late_taps.value for one in played],
        xerr=[[bar[side][0] for bar in bars] for side in (0, 1)],
        color=[COLOURS[one.name] for one in played],
    )
    axes.axvline(TARGET_LATE_TAPS, color="black", linewidth=0.8, linestyle="--")
    axes.set(xlabel="late taps per request")


def _turns(axes: Axes, comparison: Comparison, chance: float) -> None:
    for one in _at(comparison, chance, tuple(CONTENDERS)):
        volunteers = len(one.record.turns)
        first_s = sorted(s for s, turns in zip(one.record.first_turn_s, one.record.turns, strict=True) if turns)
        days = [0.0, *(s / DAY_S for s in first_s)]
        left = [1 - place / volunteers for place in range(len(first_s) + 1)]
        axes.plot(days, left, color=COLOURS[one.name], linewidth=2 if one.name == OURS else 1, label=one.name)
    axes.set(ylim=(0, 1), xlabel="days", ylabel="part of volunteers who never rang")


def _chances(axes: Axes, comparison: Comparison, chance: float) -> None:
    for one in _at(comparison, chance, (OURS,)):
        hours = sorted(one.record.true_chances)
        learned = Chances(one.record.tallies)
        true = [total / count for total, count in (one.record.true_chances[hour] for hour in hours)]
        axes.plot(hours, true, color="black", label="true, of those who rang")
        axes.plot(
            hours,
            [learned.chance(Tier.COLD, "en", hour) for hour in hours],
            "o",
            color=COLOURS[OURS],
            label="learned, English",
        )
        naive = sum(one.record.answered) / max(sum(one.record.notifications), 1)
        axes.axhline(naive, color="grey", linestyle="--", label="answers / offers")
        axes.set(
            ylim=(0, math.ceil(20 * max(true)) / 20 + 0.05), xlabel="hour on the volunteer's wall", ylabel="chance"
        )
