"""Every call of the contract as a case: who may make it, on what, with which body, and all that is wrong with others.

Paths name things of the world in `tests/integration/test_contract_http.py`: `{request}`, `{call}`, `{session}`, ...
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

Who = Literal["anybody", "person", "requester", "volunteer", "observer", "moderator", "owner"]
LONG = "x" * 10_000
SOME_ID = UUID(int=7, version=4)


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING = _Missing()


@dataclass(frozen=True)
class Wrong:
    """One value in one place of a good body, and the field that the refusal names."""

    place: str
    value: Any
    names: str

    @property
    def label(self) -> str:
        shown = repr(self.value)
        return f"{self.place}={shown if len(shown) < 40 else shown[:30] + '...'}"


@dataclass(frozen=True)
class Case:
    """One call of the API."""

    who: Who = "person"
    path: str = ""
    """With the things of the world filled in; empty: the route's own."""
    body: Mapping[str, Any] | None = None
    """A good one; every field of the contract is in it."""
    wrong: Sequence[Wrong] = ()
    no_store: bool = False
    """The answer has tokens or ICE servers."""
    foreign: tuple[int, str] = (404, "not_found")
    """What somebody else of the same role is told about this thing."""
    others: tuple[str, ...] = field(default=())
    """Other ids to put in the path, each of which names nothing of the caller's."""


def wrongs(place: str, *values: Any, names: str | None = None) -> list[Wrong]:
    return [Wrong(place, value, place if names is None else names) for value in values]


def required(place: str) -> list[Wrong]:
    return wrongs(place, MISSING, None)


def text(place: str, *more: Any, empty: bool = False, null: bool = False) -> list[Wrong]:
    return wrongs(place, 7, True, [], {}, LONG, *more, *([] if empty else [""]), *([] if null else [None]))


def choice(place: str, *more: Any) -> list[Wrong]:
    return wrongs(place, 7, True, [], {}, "", "nonsense", LONG, *more)


def integer(place: str, low: int, high: int | None = None) -> list[Wrong]:
    above = [high + 1] if high is not None else []
    return wrongs(place, "1", 1.5, True, [], {}, low - 1, -(10**30), 10**30, 1e308, *above)


def flag(place: str) -> list[Wrong]:
    return wrongs(place, "yes", 1, 0, [], {}, None)


def thing(place: str) -> list[Wrong]:
    return wrongs(place, 7, "text", True, [], None)


def several(place: str, *, most: int, of: Any) -> list[Wrong]:
    return wrongs(place, 7, "text", True, {}, [of] * (most + 1))


LANGUAGES = [
    *several("languages", most=1000, of="en"),
    *[
        Wrong("languages", ["en", tag], "languages[1]")
        for tag in (7, None, "", "not a tag", "e", "en_GB", "zzz-made-up", "und", "mul", "en\x00", "é", LONG)
    ],
]
CLOCK = (7, "8:00", "25:00", "08:60", "0800", "08:00:00", "", "noon", None, LONG)
WINDOW = {"days": [1, 7], "from": "08:00", "to": "24:00"}

SIGN_IN = [
    *required("provider"), *choice("provider"), *wrongs("provider", "firebase"),
    *required("token"), *text("token"),
    *required("device"), *thing("device"),
    *required("device.id"), *text("device.id", "\x07", "é"),
    *required("device.platform"), *choice("device.platform", "windows"),
]  # fmt: skip
REFRESH = [
    *required("refresh_token"), *text("refresh_token"),
    *text("device_id", "\x07", null=True),
]  # fmt: skip
ME = [
    *choice("role", None, "admin"), *text("display_name", " ", null=True),
    *LANGUAGES, *wrongs("languages", None),
    *text("time_zone", "Mars/Olympus", "../etc/passwd", "europe/nowhere"),
]  # fmt: skip
AVAILABILITY = [
    *required("weekly"), *several("weekly", most=1000, of=WINDOW),
    *wrongs("weekly[0]", 7, "text", None, []),
    *required("weekly[0].days"), *several("weekly[0].days", most=7, of=1), *wrongs("weekly[0].days", []),
    *[Wrong("weekly[0].days", [1, day], "weekly[0].days[1]") for day in (0, 8, "1", 1.5, None, True)],
    *required("weekly[0].from"), *wrongs("weekly[0].from", "24:00", *CLOCK),
    *required("weekly[0].to"), *wrongs("weekly[0].to", "24:01", *CLOCK),
    *flag("paused"),
    *wrongs("paused_until", 7, True, [], {}, "", "tomorrow", "2026-12-01", "2026-12-01T10:00:00", LONG),
]  # fmt: skip
VALUE = {"kind": "webpush", "value": "https://fcm.googleapis.com/fcm/send/Quokka"}
KEYS = {"p256dh": "B" * 87, "auth": "a" * 22}
DEVICE = [
    *required("platform"), *choice("platform"),
    *wrongs("push", 7, "text", True, {}, None, [VALUE] * 100),
    *wrongs("push[0]", 7, "text", None, []),
    *required("push[0].kind"), *choice("push[0].kind"),
    *required("push[0].value"), *text("push[0].value"),
    *wrongs("push[0].value", "http://fcm.googleapis.com/x", "https://example.org/x", "https://127.0.0.1/x",
            "https://fcm.googleapis.com.example.org/x", "https://user@fcm.googleapis.com/x",
            "https://fcm.googleapis.com:8443/x", "file:///etc/passwd", "https://fcm.googleapis.com", "a token"),
    *wrongs("push[0].keys", 7, "text", []),
    *required("push[0].keys.p256dh"), *text("push[0].keys.p256dh"),
    *required("push[0].keys.auth"), *text("push[0].keys.auth"),
]  # fmt: skip
ASK = [
    *LANGUAGES, *wrongs("languages", []),
    *choice("topic"), *choice("mode", None),
    *wrongs("group_id", 7, "text", [], {}, True), *wrongs("desk_id", 7, "text", [], {}, True),
    *wrongs("then_public_after_s", -1, 3601, "30", 1.5, [], {}, True),
    *wrongs("same_as_call_id", 7, "text", [], {}, True),
]  # fmt: skip
EPOCH = [*required("epoch"), *integer("epoch", 1, 2**31 - 1)]
DECLINE = [*EPOCH, *choice("reason")]
ATTEMPT = [*required("attempt"), *integer("attempt", 1, 2**31 - 1)]
END = [*required("reason"), *choice("reason", "cancelled", "lost", "ended_by_admin")]
NAME = [*required("name"), *text("name", " ", "x" * 81)]
GROUP = [*NAME, *flag("direct")]
DESK = [
    *NAME,
    *required("languages"), *LANGUAGES, *wrongs("languages", None, []),
    *required("time_zone"), *text("time_zone", "Mars/Olympus", "europe/nowhere"),
    *[wrong for wrong in AVAILABILITY if wrong.place.startswith("weekly")],
]  # fmt: skip

IDS = ("00000000-0000-7000-8000-000000000000", "x", "123", "current", "%00", "..%2f..", "%ff", "x" * 2000)
A_DESK = {"name": "Quokka", "languages": ["en"], "time_zone": "UTC", "weekly": [WINDOW]}


def of_desk(path: str = "", **more: Any) -> Case:
    return Case("owner", "/v1/admin/desks/{desk}" + path, foreign=(403, "not_allowed"), others=IDS, **more)


def named(template: str, thing: str) -> str:
    """The path with that in every place that names a thing."""
    return re.sub(r"{\w+}", lambda _: thing, template)


CASES: dict[str, Case] = {
    "POST /v1/sessions": Case(
        "anybody",
        body={"provider": "dev", "token": "Quokka", "device": {"id": "Quokka-device", "platform": "ios"}},
        wrong=SIGN_IN,
        no_store=True,
    ),
    "POST /v1/sessions/refresh": Case(
        "anybody", body={"refresh_token": "Quokka", "device_id": "Quokka-device"}, wrong=REFRESH, no_store=True
    ),
    "GET /v1/sessions": Case(),
    "DELETE /v1/sessions/{id}": Case(path="/v1/sessions/{session}", others=tuple(i for i in IDS if i != "current")),
    "GET /v1/me": Case(),
    "PATCH /v1/me": Case(
        body={"role": "requester", "display_name": "Quokka", "languages": ["en"], "time_zone": "UTC"}, wrong=ME
    ),
    "GET /v1/me/availability": Case("volunteer"),
    "PUT /v1/me/availability": Case(
        "volunteer", body={"weekly": [WINDOW], "paused": False, "paused_until": None}, wrong=AVAILABILITY
    ),
    "PUT /v1/me/devices/{device_id}": Case(
        path="/v1/me/devices/{device}",
        body={"platform": "web", "push": [{**VALUE, "keys": KEYS}]},
        wrong=DEVICE,
        others=("%00", "%07", "x" * 2000),
    ),
    "DELETE /v1/me/devices/{device_id}": Case(
        path="/v1/me/devices/{device}", others=("unknown", "%00", "%07", "x" * 2000)
    ),
    "GET /v1/push/key": Case(),
    "GET /v1/topics": Case(),
    "POST /v1/requests": Case(
        "requester",
        body={
            **{"languages": ["en"], "topic": "reading", "mode": "video", "group_id": None, "desk_id": None},
            **{"then_public_after_s": None, "same_as_call_id": None},
        },
        wrong=ASK,
    ),
    "GET /v1/requests/current": Case("requester"),
    "GET /v1/requests/{id}": Case(
        "requester", "/v1/requests/{request}", others=tuple(i for i in IDS if i != "current")
    ),
    "POST /v1/requests/{id}/cancel": Case("requester", "/v1/requests/{request}/cancel", others=IDS),
    "PUT /v1/requests/{id}/callback": Case("requester", "/v1/requests/{request}/callback", others=IDS),
    "DELETE /v1/requests/{id}/callback": Case("requester", "/v1/requests/{request}/callback", others=IDS),
    "GET /v1/offers": Case("volunteer"),
    "POST /v1/requests/{id}/accept": Case(
        "volunteer",
        "/v1/requests/{request}/accept",
        {"epoch": 1},
        EPOCH,
        no_store=True,
        foreign=(409, "not_offered"),
        others=IDS,
    ),
    "POST /v1/requests/{id}/decline": Case(
        "volunteer", "/v1/requests/{request}/decline", {"epoch": 1, "reason": "busy"}, DECLINE, others=IDS
    ),
    "GET /v1/calls/{id}": Case(path="/v1/calls/{call}", no_store=True, others=IDS),
    "POST /v1/calls/{id}/take": Case(path="/v1/calls/{call}/take", no_store=True, others=IDS),
    "POST /v1/calls/{id}/rejoin": Case(
        "person", "/v1/calls/{call}/rejoin", {"attempt": 1}, ATTEMPT, no_store=True, others=IDS
    ),
    "POST /v1/calls/{id}/ice": Case(path="/v1/calls/{call}/ice", no_store=True, others=IDS),
    "POST /v1/calls/{id}/end": Case(
        "person", "/v1/calls/{call}/end", {"reason": "done"}, END, no_store=True, others=IDS
    ),
    "POST /v1/calls/{id}/avoid": Case(path="/v1/calls/{call}/avoid", others=IDS),
    "POST /v1/calls/practice": Case(no_store=True),
    "DELETE /v1/calls/practice": Case(),
    "GET /v1/groups": Case(),
    "POST /v1/groups": Case("requester", body={"name": "Quokka"}, wrong=GROUP),
    "PATCH /v1/groups/{id}": Case("requester", "/v1/groups/{group}", {"name": "Quokka"}, GROUP, others=IDS),
    "DELETE /v1/groups/{id}": Case("requester", "/v1/groups/{group}", others=IDS),
    "POST /v1/groups/{id}/invites": Case("requester", "/v1/groups/{group}/invites", others=IDS),
    "DELETE /v1/groups/{id}/invites": Case("requester", "/v1/groups/{group}/invites", others=IDS),
    "DELETE /v1/groups/{id}/members/{member_id}": Case(path="/v1/groups/{group}/members/{member}", others=IDS),
    "POST /v1/invites/{code}/accept": Case("volunteer", "/v1/invites/{code}/accept", others=IDS),
    "GET /v1/desks": Case(),
    "DELETE /v1/desks/{id}/agents/{member_id}": Case("volunteer", "/v1/desks/{desk}/agents/{member}", others=IDS),
    "GET /v1/admin/queue": Case("observer"),
    "POST /v1/admin/desks": Case("owner", body=A_DESK, wrong=DESK),
    "GET /v1/admin/desks/{id}": of_desk(),
    "PUT /v1/admin/desks/{id}": of_desk(body=A_DESK, wrong=DESK),
    "DELETE /v1/admin/desks/{id}": of_desk(),
    "POST /v1/admin/desks/{id}/invites": of_desk("/invites"),
    "DELETE /v1/admin/desks/{id}/invites": of_desk("/invites"),
    "DELETE /v1/admin/desks/{id}/agents/{member_id}": of_desk("/agents/{member}"),
    "POST /v1/admin/users/{id}/suspend": Case(
        "moderator",
        "/v1/admin/users/{user}/suspend",
        body={"reason": "Quokka"},
        wrong=text("reason", "x" * 501, null=True),
        foreign=(403, "not_allowed"),
        others=IDS,
    ),
    "GET /livez": Case("anybody"),
    "GET /readyz": Case("anybody"),
    "GET /metrics": Case("anybody"),
}


def spoiled(body: Mapping[str, Any], wrong: Wrong) -> Any:
    """The good body with one wrong value in it."""
    changed: Any = copy.deepcopy(dict(body))
    *parents, last = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", wrong.place)]
    at = changed
    for part in parents:
        at = at[part]
    if wrong.value is MISSING:
        del at[last]
    else:
        at[last] = wrong.value
    return changed


def fields_of(schema: Mapping[str, Any], components: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool]]:
    """(place, whether it is required) of every field of a published schema, those inside others too."""
    schema = _resolved(schema, components)
    for name, inner in schema.get("properties", {}).items():
        place = f"{prefix}{name}"
        yield place, name in schema.get("required", ())
        inner = _resolved(inner, components)
        if inner.get("type") == "array" and "properties" in _resolved(inner["items"], components):
            yield from fields_of(inner["items"], components, f"{place}[0].")
        else:
            yield from fields_of(inner, components, f"{place}.")


def _resolved(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    for choices in (schema.get("allOf"), schema.get("anyOf")):
        if choices:
            return _resolved(next(one for one in choices if one != {"type": "null"}), components)
    if "$ref" in schema:
        found: Mapping[str, Any] = components[schema["$ref"].rpartition("/")[2]]
        return found
    return schema
