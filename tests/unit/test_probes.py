"""People of the probe stay among themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from server.api.accounts import AccountsApi
from server.api.groups import GroupsApi
from server.api.help import HelpApi
from server.auth import Caller
from server.errors import ApiError
from server.http_messages import MeChange, RequestBody
from server.routing import Exchange

PROBE = Caller(UUID(int=1), UUID(int=2), "probe", "requester", "active", (), ("qaa",), "UTC", None, datetime.now(UTC))
SOME_ID = UUID(int=3)
NOTHING = cast(Any, None)
"""What they are refused before it is needed."""
change_me = AccountsApi(NOTHING, NOTHING).change_me
ask = HelpApi(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING).open
join = GroupsApi(NOTHING, NOTHING, NOTHING, https=False).accept


@pytest.mark.parametrize(
    ("handler", "body"),
    [
        (change_me, MeChange(languages=["en"])),
        (ask, RequestBody(languages=["en"])),
        (ask, RequestBody(group_id=SOME_ID)),
        (ask, RequestBody(desk_id=SOME_ID)),
        (join, None),
    ],
)
async def test_what_would_bring_them_together_with_others_is_refused(
    handler: Callable[[Exchange[Any]], Awaitable[object]], body: object
) -> None:
    with pytest.raises(ApiError) as refused:
        await handler(Exchange(body, {"code": "ABCDEFGH"}, {}, "", PROBE))
    assert (refused.value.status, refused.value.code) == (403, "not_allowed")
