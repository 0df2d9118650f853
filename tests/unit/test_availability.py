"""Weekly windows in IANA zones: the contract's hours, daylight saving, and a slow obvious reference to agree with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from matching.availability import EPOCH, WeeklyWindow, is_open, next_window, weekly_windows

COPENHAGEN = "Europe/Copenhagen"
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, zone: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def hours(start: str, end: str, days: tuple[int, ...] = EVERY_DAY) -> list[WeeklyWindow]:
    return [WeeklyWindow.parse(days, start, end)]


class TestTheContractsForm:
    def test_days_and_times(self) -> None:
        windows = weekly_windows([{"days": [5, 1, 1], "from": "08:00", "to": "21:30"}])
        assert windows == (WeeklyWindow((1, 5), 480, 1290),)

    @pytest.mark.parametrize("end", ["24:00", "00:00"])
    def test_midnight_ends_a_day_by_either_name(self, end: str) -> None:
        found = next_window(hours("20:00", end), "UTC", utc("2026-11-23 12:00"))
        assert found == (utc("2026-11-23 20:00"), utc("2026-11-24 00:00"))

    @pytest.mark.parametrize(
        ("days", "start", "end"),
        [
            ((), "08:00", "21:00"),
            ((0,), "08:00", "21:00"),
            ((8,), "08:00", "21:00"),
            ((1,), "24:00", "08:00"),
            ((1,), "08:00", "08:00"),
            ((1,), "8:00", "21:00"),
            ((1,), "08:60", "21:00"),
            ((1,), "08:00", "24:01"),
            ((1,), "08:00", "25:00"),
            ((1,), "08.00", "21:00"),
            ((1,), "", "21:00"),
            ((1,), "\u0660\u0668:00", "21:00"),
        ],
    )
    def test_nonsense_is_refused(self, days: tuple[int, ...], start: str, end: str) -> None:
        with pytest.raises(ValueError, match=r"days|times|same"):
            WeeklyWindow.parse(days, start, end)

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe", "/UTC"])
    def test_unknown_zones_are_refused(self, zone: str) -> None:
        with pytest.raises(ValueError, match="zone"):
            next_window(hours("08:00", "21:00"), zone, utc("2026-11-23 12:00"))


class TestNextWindow:
    def test_none_without_windows(self) -> None:
        assert next_window([], COPENHAGEN, utc("2026-11-23 12:00")) is None

    def test_the_present_one_inside(self) -> None:
        found = next_window(hours("08:00", "21:00"), COPENHAGEN, utc("2026-11-23 12:00"))
        assert found == (utc("2026-11-23 07:00"), utc("2026-11-23 20:00"))

    def test_the_start_is_inside_and_the_end_is_not(self) -> None:
        windows = hours("08:00", "21:00")
        monday, tuesday = utc("2026-11-23 08:00"), utc("2026-11-24 08:00")
        assert next_window(windows, "UTC", monday) == (monday, utc("2026-11-23 21:00"))
        assert next_window(windows, "UTC", utc("2026-11-23 21:00")) == (tuesday, utc("2026-11-24 21:00"))

    def test_a_week_away(self) -> None:
        found = next_window(hours("08:00", "09:00", (1,)), "UTC", utc("2026-11-23 09:00"))
        assert found == (utc("2026-11-30 08:00"), utc("2026-11-30 09:00"))

    def test_over_midnight_from_sunday_to_monday(self) -> None:
        windows = hours("22:00", "06:00", (7,))
        assert next_window(windows, "UTC", utc("2026-11-23 05:00")) == (
            utc("2026-11-22 22:00"),
            utc("2026-11-23 06:00"),
        )

    def test_overlapping_and_touching_ones_are_one(self) -> None:
        windows = [*hours("08:00", "12:00", (1,)), *hours("11:00", "15:00", (1,)), *hours("15:00", "24:00", (1,))]
        windows += hours("00:00", "02:00", (2,))
        assert next_window(windows, "UTC", utc("2026-11-23 01:00")) == (
            utc("2026-11-23 08:00"),
            utc("2026-11-24 02:00"),
        )

    @pytest.mark.parametrize(
        "windows",
        [
            hours("00:00", "24:00"),
            [*hours("06:00", "18:00"), *hours("18:00", "06:00")],
            [*hours("12:00", "11:59"), *hours("11:59", "12:00")],
        ],
    )
    def test_open_all_week_never_closes(self, windows: list[WeeklyWindow]) -> None:
        assert next_window(windows, COPENHAGEN, utc("2026-11-23 12:00")) == (EPOCH, None)

    def test_open_for_days(self) -> None:
        windows = [*hours("00:00", "24:00", (1, 2, 3, 4, 5, 6)), *hours("00:00", "23:59", (7,))]
        found = next_window(windows, "UTC", utc("2026-11-28 12:00"))
        assert found == (utc("2026-11-23 00:00"), utc("2026-11-29 23:59"))

    @pytest.mark.parametrize(
        ("zone", "opens"),
        [
            ("Asia/Kathmandu", "2026-11-23 02:15"),
            ("America/Los_Angeles", "2026-11-23 16:00"),
            ("Pacific/Kiritimati", "2026-11-22 18:00"),
            ("Pacific/Chatham", "2026-11-22 18:15"),
        ],
    )
    def test_hours_are_the_wall_clocks_anywhere(self, zone: str, opens: str) -> None:
        found = next_window(hours("08:00", "21:00"), zone, utc(opens))
        assert found == (utc(opens), utc(opens) + timedelta(hours=13))


class TestDaylightSaving:
    """Copenhagen: 2027-03-28 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00."""

    def test_a_night_of_23_hours(self) -> None:
        found = next_window(hours("22:00", "06:00", (6,)), COPENHAGEN, local("2027-03-27 23:00", COPENHAGEN))
        assert found == (utc("2027-03-27 21:00"), utc("2027-03-28 04:00"))

    def test_a_night_of_25_hours(self) -> None:
        found = next_window(hours("22:00", "06:00", (6,)), COPENHAGEN, local("2026-10-24 23:00", COPENHAGEN))
        assert found == (utc("2026-10-24 20:00"), utc("2026-10-25 05:00"))

    def test_a_window_inside_the_gap_waits_a_week(self) -> None:
        found = next_window(hours("02:15", "02:45", (7,)), COPENHAGEN, utc("2027-03-27 12:00"))
        assert found == (local("2027-04-04 02:15", COPENHAGEN), local("2027-04-04 02:45", COPENHAGEN))

    def test_a_window_from_inside_the_gap_begins_after_it(self) -> None:
        found = next_window(hours("02:30", "04:00", (7,)), COPENHAGEN, utc("2027-03-27 12:00"))
        assert found == (local("2027-03-28 03:00", COPENHAGEN), local("2027-03-28 04:00", COPENHAGEN))

    def test_a_repeated_hour_counts_twice(self) -> None:
        windows = hours("02:15", "02:45", (7,))
        first = (local("2026-10-25 02:15", COPENHAGEN), local("2026-10-25 02:45", COPENHAGEN))
        second = (local("2026-10-25 02:15", COPENHAGEN, fold=1), local("2026-10-25 02:45", COPENHAGEN, fold=1))
        assert next_window(windows, COPENHAGEN, utc("2026-10-24 12:00")) == first
        assert next_window(windows, COPENHAGEN, first[1]) == second

    def test_never_open_when_the_wall_says_closed(self) -> None:
        windows = hours("02:30", "08:00", (7,))
        back_at_two = local("2026-10-25 02:00", COPENHAGEN, fold=1)
        found = next_window(windows, COPENHAGEN, back_at_two - MINUTE)
        assert found == (local("2026-10-25 02:30", COPENHAGEN), back_at_two)
        assert not is_open(windows, COPENHAGEN, back_at_two)

    def test_the_gap_can_join_two_weeks(self) -> None:
        windows = [*hours("00:00", "24:00", (1, 2, 3, 4, 5, 6)), *hours("00:00", "02:15", (7,))]
        windows += hours("02:45", "24:00", (7,))
        found = next_window(windows, COPENHAGEN, utc("2027-03-30 12:00"))
        assert found == (local("2027-03-21 02:45", COPENHAGEN), local("2027-04-04 02:15", COPENHAGEN))


ZONES = [
    *("UTC", COPENHAGEN, "America/New_York", "Africa/Casablanca"),
    # Half and three quarters of an hour off, with and without summer time.
    *("Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham", "Australia/Eucla"),
    # Whose rules changed: summer time came back, an hour went for good, half an hour, a whole day was left out.
    *("Africa/Cairo", "Asia/Almaty", "Asia/Pyongyang", "Pacific/Apia"),
]
MINUTES = st.integers(0, 95).map(lambda quarter: quarter * 15)


@st.composite
def some_windows(draw: st.DrawFn) -> list[WeeklyWindow]:
    windows = []
    for _ in range(draw(st.integers(1, 4))):
        days = tuple(sorted(draw(st.sets(st.integers(1, 7), min_size=1))))
        start, end = draw(MINUTES), draw(MINUTES.map(lambda minute: minute + 15))
        if start != end:
            windows.append(WeeklyWindow(days, start, end))
    return windows


def open_by_the_wall(windows: list[WeeklyWindow], zone: str, moment: datetime) -> bool:
    """The definition, written a second time: today's windows, and yesterday's that go over midnight."""
    wall = moment.astimezone(ZoneInfo(zone))
    minute, today = wall.hour * 60 + wall.minute, wall.isoweekday()
    yesterday = 7 if today == 1 else today - 1
    for window in windows:
        if window.start < window.end:
            if today in window.days and window.start <= minute < window.end:
                return True
        elif (today in window.days and minute >= window.start) or (yesterday in window.days and minute < window.end):
            return True
    return False


def next_by_stepping(windows: list[WeeklyWindow], zone: str, now: datetime) -> tuple[datetime, datetime] | None:
    """Step over quarters of an hour, as all windows and changes of offset here lie on them."""
    quarter = timedelta(minutes=15)
    reach = 15 * 96
    opens = now - timedelta(minutes=now.minute % 15)
    for _ in range(reach):
        if open_by_the_wall(windows, zone, opens):
            break
        opens += quarter
    else:
        return None
    closes = opens
    while open_by_the_wall(windows, zone, closes):
        closes += quarter
    while open_by_the_wall(windows, zone, opens - quarter):
        opens -= quarter
    return opens, closes


NEAR_CHANGES = st.sampled_from(
    [
        utc("2027-03-28 01:00"),
        utc("2026-10-25 01:00"),
        utc("2026-11-01 06:00"),
        utc("2026-10-03 15:30"),
        utc("2026-02-15 02:00"),
        utc("2026-04-04 14:00"),
        utc("2023-04-27 22:00"),
        utc("2024-02-29 18:00"),
        utc("2018-05-04 15:00"),
        utc("2011-12-30 10:00"),
    ]
)


class TestAgreesWithTheSlowReference:
    @settings(max_examples=250, deadline=None)
    @given(
        windows=some_windows(),
        zone=st.sampled_from(ZONES),
        near=NEAR_CHANGES,
        minutes=st.integers(-9 * 1440, 9 * 1440),
    )
    @example(windows=hours("02:15", "02:45", (7,)), zone=COPENHAGEN, near=utc("2027-03-28 01:00"), minutes=-60)
    def test_everywhere(self, windows: list[WeeklyWindow], zone: str, near: datetime, minutes: int) -> None:
        now = near + minutes * MINUTE
        assert is_open(windows, zone, now) == open_by_the_wall(windows, zone, now)
        found = next_window(windows, zone, now)
        if found is not None and found[1] is None:
            assert all(open_by_the_wall(windows, zone, now + step * MINUTE) for step in range(0, 7 * 1440, 15))
        else:
            assert found == next_by_stepping(windows, zone, now)

    @given(windows=some_windows(), zone=st.sampled_from(ZONES), near=NEAR_CHANGES, minutes=st.integers(-1440, 1440))
    def test_open_now_means_the_window_has_begun(
        self, windows: list[WeeklyWindow], zone: str, near: datetime, minutes: int
    ) -> None:
        now = near + minutes * MINUTE
        found = next_window(windows, zone, now)
        assert is_open(windows, zone, now) == (found is not None and found[0] <= now)
        assert found is None or found[1] is None or found[1] > now
