"""Names, languages, zones and hours that people send, in their normal form. All raise 400 naming the field."""

from __future__ import annotations

from matching.availability import WeeklyWindow as Hours
from matching.availability import check_zone
from matching.languages import normal_tag
from server.errors import invalid_body
from server.http_messages import WeeklyWindow


def checked_name(field: str, name: str, hint: str = "") -> str:
    """Without space around it; not blank."""
    stripped = name.strip()
    if not stripped:
        raise invalid_body(field, "must not be blank" + hint)
    return stripped


def checked_languages(tags: list[str]) -> list[str]:
    """Canonical tags, each once: one person's `en-us` and `en-US` are one wish."""
    normal: list[str] = []
    for place, tag in enumerate(tags):
        try:
            normal.append(normal_tag(tag))
        except ValueError as error:
            raise invalid_body(f"languages[{place}]", str(error)) from None
    return list(dict.fromkeys(normal))


def checked_zone(name: str) -> str:
    try:
        return check_zone(name)
    except ValueError as error:
        raise invalid_body("time_zone", str(error)) from None


def checked_weekly(weekly: list[WeeklyWindow]) -> list[WeeklyWindow]:
    return [_checked_window(window, f"weekly[{place}]") for place, window in enumerate(weekly)]


def _checked_window(window: WeeklyWindow, field: str) -> WeeklyWindow:
    try:
        hours = Hours.parse(window.days, window.start, window.end)
    except ValueError as error:
        raise invalid_body(field, str(error)) from None
    return WeeklyWindow(days=list(hours.days), start=window.start, end=window.end)
