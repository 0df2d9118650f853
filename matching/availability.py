"""When a volunteer may be rung: weekly windows on the clock on their wall.

The definition is the clock's own: a person is open exactly at the instants whose local time, in their IANA zone, is
inside one of their windows. So an hour that daylight saving skips is skipped, and one that it repeats counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
DAY_S = 86_400
WEEK_S = 7 * DAY_S

Moment = TypeVar("Moment", int, float)
_Stretch = tuple[int, int, int]
"""From and to (Unix seconds), and the offset from UTC in seconds between them."""

EPOCH = datetime.fromtimestamp(0, UTC)

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", re.ASCII)
_FIRST_MONDAY_S = 4 * DAY_S
"""1970-01-05, the first Monday of Unix time."""
_REACH_DAYS = 16
"""How far around now windows are looked for. No open run of a week that has a closed minute is longer than two weeks:
daylight saving can skip that minute once, not twice in a row."""


@dataclass(frozen=True, slots=True)
class WeeklyWindow:
    """The same hours on some days of the week, local time. ValueError when out of range."""

    days: tuple[int, ...]
    """ISO weekdays on which it begins, 1 = Monday .. 7 = Sunday."""
    start: int
    """Minute of the day, 0 .. 1439."""
    end: int
    """Minute of the day, 0 .. 1440, exclusive; before `start` it is of the next day."""

    def __post_init__(self) -> None:
        if not self.days or not all(1 <= day <= 7 for day in self.days):
            raise ValueError("days must be some of 1 (Monday) to 7 (Sunday)")
        if not (0 <= self.start < DAY_MINUTES and 0 <= self.end <= DAY_MINUTES):
            raise ValueError("times must be from 00:00 to 24:00, and begin before 24:00")
        if self.start == self.end:
            raise ValueError("from and to are the same; a whole day is 00:00 to 24:00")

    @classmethod
    def parse(cls, days: Iterable[int], start: str, end: str) -> WeeklyWindow:
        """From the contract's `{days, from, to}`. ValueError says what is wrong."""
        return cls(tuple(sorted(set(days))), _minute(start), _minute(end))


def _minute(clock: str) -> int:
    if not _CLOCK.fullmatch(clock):
        raise ValueError("times must be HH:MM, 00:00 to 24:00")
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def check_zone(name: str) -> str:
    """The name itself. ValueError when it is no IANA zone known here."""
    if name not in _zone_names():
        raise ValueError("not an IANA time zone")
    return name


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def weekly_windows(weekly: Iterable[Mapping[str, Any]]) -> tuple[WeeklyWindow, ...]:
    """Windows from the contract's `weekly`: `{days: [1..7], from: "08:00", to: "21:00"}` each. ValueError if wrong."""
    return tuple(WeeklyWindow.parse(item["days"], item["from"], item["to"]) for item in weekly)


def next_window(windows: Sequence[WeeklyWindow], zone: str, now: datetime) -> tuple[datetime, datetime | None] | None:
    """The window `now` is inside, else the next one: (opens_at, closes_at), in UTC; None without windows.

    `closes_at` is exclusive. Windows that overlap or touch are one. Open all week: `closes_at` is None and `opens_at`
    is long past. ValueError when the zone is not known.
    """
    check_zone(zone)
    week = merged_week(tuple(windows))
    if week == ((0, WEEK_MINUTES),):
        return EPOCH, None
    run = _run_at_or_after(week, zone, now.timestamp())
    if run is None:
        return None
    return datetime.fromtimestamp(run[0], UTC), datetime.fromtimestamp(run[1], UTC)


def is_open(windows: Sequence[WeeklyWindow], zone: str, now: datetime) -> bool:
    """Whether the clock on the wall shows, at `now`, a time inside a window."""
    local = now.astimezone(ZoneInfo(check_zone(zone)))
    minute = local.weekday() * DAY_MINUTES + local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in merged_week(tuple(windows)))


def local_hour(zone: str, now: datetime) -> int | None:
    """The hour on somebody's wall, 0 to 23; None when their zone is not known here."""
    try:
        return now.astimezone(ZoneInfo(check_zone(zone))).hour
    except ValueError:
        return None


def _run_at_or_after(week: tuple[tuple[int, int], ...], zone: str, now: float) -> tuple[float, float] | None:
    """The first run of open time that ends after `now`, in Unix seconds."""
    stretches = _stretches(zone, int(now // DAY_S))
    found: tuple[float, float] | None = None
    for back_days in (1, _REACH_DAYS - 1):
        since = now - back_days * DAY_S
        found = next((run for run in _runs(week, stretches, since) if run[1] > now), None)
        if found is None or found[0] > since:
            break  # else it began before: look back as far as a run can be long
    return found


@lru_cache(maxsize=4096)
def merged_week(windows: tuple[WeeklyWindow, ...]) -> tuple[tuple[int, int], ...]:
    """Windows as ascending, disjoint spans of minutes since Monday 00:00; one over Sunday midnight is cut in two."""
    spans: list[tuple[int, int]] = []
    for window in windows:
        for day in window.days:
            start = (day - 1) * DAY_MINUTES + window.start
            end = (day - 1) * DAY_MINUTES + window.end + (DAY_MINUTES if window.end < window.start else 0)
            spans += [(start, min(end, WEEK_MINUTES)), (0, end - WEEK_MINUTES)]
    return tuple(_joined(sorted(span for span in spans if span[0] < span[1])))


def _joined(spans: Iterable[tuple[Moment, Moment]]) -> Iterator[tuple[Moment, Moment]]:
    """Ascending spans, with those that overlap or touch made one."""
    current: tuple[Moment, Moment] | None = None
    for start, end in spans:
        if current is not None and start <= current[1]:
            current = (current[0], max(current[1], end))
        else:
            if current is not None:
                yield current
            current = (start, end)
    if current is not None:
        yield current


def _runs(
    week: tuple[tuple[int, int], ...], stretches: tuple[_Stretch, ...], since: float
) -> Iterator[tuple[float, float]]:
    """Open times from `since` on, ascending and joined, in Unix seconds; one that began before is cut off there."""
    return _joined(
        (max(opens, begins, since), min(closes, ends))
        for begins, ends, offset in stretches
        if ends > since
        for opens, closes in _spans(week, offset, max(begins, since), ends)
    )


def _spans(week: tuple[tuple[int, int], ...], offset: int, begins: float, ends: float) -> Iterator[tuple[float, float]]:
    """The week's spans that overlap begins .. ends, in Unix seconds, at one offset from UTC."""
    local = begins + offset - _FIRST_MONDAY_S
    monday = local - local % WEEK_S + _FIRST_MONDAY_S - offset
    while monday < ends:
        for start, end in week:
            opens, closes = monday + start * 60, monday + end * 60
            if closes > begins and opens < ends:
                yield opens, closes
        monday += WEEK_S


@lru_cache(maxsize=4096)
def _stretches(zone: str, day: int) -> tuple[_Stretch, ...]:
    """The zone's stretches of one UTC offset from `_REACH_DAYS` before to as many after a day of Unix time."""
    tz = ZoneInfo(zone)
    first, last = (day - _REACH_DAYS) * DAY_S, (day + _REACH_DAYS + 1) * DAY_S
    begins, offset = first, _offset(tz, first)
    found: list[_Stretch] = []
    for moment in range(first + DAY_S, last + 1, DAY_S):
        if _offset(tz, moment) != offset:
            change = _change(tz, moment - DAY_S, moment)
            found.append((begins, change, offset))
            begins, offset = change, _offset(tz, change)
    return (*found, (begins, last, offset))


def _change(tz: ZoneInfo, before: int, after: int) -> int:
    """The second at which the offset changes between two moments of different offsets."""
    offset = _offset(tz, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(tz, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset(tz: ZoneInfo, moment: int) -> int:
    offset = datetime.fromtimestamp(moment, tz).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())
