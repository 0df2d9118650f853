"""What `eyeline admin desk` does: desks of organisations, from the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

from matching.availability import WeeklyWindow, check_zone
from matching.languages import normal_tag
from server.groups import DESK_INVITES_MAX, INVITE_LIFE, Desk, Desks
from server.invite_codes import code_hash, new_code
from server.views import timestamp

NAME_CHARS_MAX = 80
NOBODY = UUID(int=0)
_HOURS = re.compile(r"([1-7](?:-[1-7])?(?:,[1-7](?:-[1-7])?)*) +(\S+?)-(\S+)")

Opened = AbstractAsyncContextManager[Desks]


def desk_wish(name: str, languages: Sequence[str], zone: str, hours: Sequence[str]) -> dict[str, Any]:
    """What `Desks.make` takes, in its normal form. ValueError says what cannot be."""
    if not 1 <= len(name.strip()) <= NAME_CHARS_MAX:
        raise ValueError(f"the name takes 1 to {NAME_CHARS_MAX} characters")
    tags = list(dict.fromkeys(normal_tag(tag) for tag in languages))
    return {
        "name": name.strip(),
        "languages": tags,
        "time_zone": check_zone(zone),
        "weekly": [_window(text) for text in hours],
    }


def _window(text: str) -> dict[str, Any]:
    """`1-5 08:00-16:00` or `1,3,6-7 08:00-12:00` as the contract has it."""
    found = _HOURS.fullmatch(text.strip())
    if found is None:
        raise ValueError('hours are like "1-5 08:00-16:00", 1 is Monday')
    days = [day for part in found[1].split(",") for day in range(int(part[0]), int(part[-1]) + 1)]
    window = WeeklyWindow.parse(days, found[2], found[3])
    return {"days": list(window.days), "from": found[2], "to": found[3]}


async def make(opened: Opened, wish: dict[str, Any]) -> UUID:
    async with opened as desks:
        return await desks.make(**wish)


async def listed(opened: Opened) -> list[str]:
    """A line for each desk."""
    async with opened as desks:
        return [_line(desk) for desk in await desks.listed(NOBODY)]


async def invite(opened: Opened, desk_id: UUID) -> str | None:
    """A code for one agent, and until when; None: no such desk, or too many codes are open."""
    code = new_code()
    async with opened as desks:
        made = await desks.invite(desk_id, code_hash(code), life=INVITE_LIFE, at_most=DESK_INVITES_MAX)
    return None if isinstance(made, str) else f"{code} (for one volunteer, until {timestamp(made)})"


async def retire(opened: Opened, desk_id: UUID) -> bool:
    async with opened as desks:
        return await desks.retire(desk_id)


def _line(desk: Desk) -> str:
    opening = desk.opening
    until = f"until {timestamp(opening.closes_at)}" if opening.closes_at else "always"
    opens = f"opens {timestamp(opening.opens_at)}" if opening.opens_at else "never opens"
    state = f"open {until}" if opening.is_open else f"closed, {opens}"
    return f"{desk.id}  {desk.name} ({', '.join(desk.languages)}): {state}"
