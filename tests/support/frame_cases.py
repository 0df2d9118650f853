"""Every frame of the contract's client as a case: a good one, and all that is wrong with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.http_cases import LONG, SOME_ID, Wrong, choice, flag, integer, required, text, thing, wrongs

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=Quokka\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:Quokkaquokkaquokkaquokka\r\n"


@dataclass(frozen=True)
class FrameCase:
    """One type of frame."""

    data: Mapping[str, Any] | None
    wrong: Sequence[Wrong] = ()
    """Places are of the whole frame: `data.sdp`."""
    of_call: bool = False


def within(field: str, values: Sequence[Wrong]) -> list[Wrong]:
    """The same values, one level deeper; those that name no field are wrong of the whole."""
    return [Wrong(f"{field}.{wrong.place}", wrong.value, f"{field}.{wrong.names}".rstrip(".")) for wrong in values]


DATA = [*required("data"), *wrongs("data", 7, "text", True, [])]
OPTIONAL_DATA = wrongs("data", 7, "text", True, [])
ENVELOPE = [
    *wrongs("ack", "1", 1.5, True, -1, [], {}, 10**30),
    *wrongs("call", "x", "", 7, True, [], {}, LONG),
    *wrongs("attempt", "1", 1.5, True, 0, -1, 2**31, 10**30, 1e308, [], {}),
]
OF_CALL = [*ENVELOPE, *required("call"), *required("attempt")]
BAD_IDS: tuple[Any, ...] = ("", 7, True, [], {}, "x" * 65, LONG)
KINDS = {"audio": True, "video": True}


def uuid(place: str) -> list[Wrong]:
    return [*required(place), *wrongs(place, 7, True, "", "x", [], {}, LONG)]


def kinds(place: str) -> list[Wrong]:
    each = [wrong for name in ("audio", "video") for wrong in (*required(f"{place}.{name}"), *flag(f"{place}.{name}"))]
    return [*required(place), *thing(place), *each]


SPREAD = {"now": 0.2, "mean": 0.1, "worst": 0.3}


def amount(place: str) -> list[Wrong]:
    return wrongs(place, -1, -0.1, 100_001, 1e308, "1", True, [], {})


def spread(place: str) -> list[Wrong]:
    each = [wrong for name in SPREAD for wrong in (*required(f"{place}.{name}"), *amount(f"{place}.{name}"))]
    return [*wrongs(place, 7, "text", True, []), *each]


OFFERED = [*uuid("request_id"), *required("epoch"), *integer("epoch", 1, 2**31 - 1)]
NEGOTIATION = [*required("negotiation"), *integer("negotiation", 0, 2**31 - 1)]

FRAMES: dict[str, FrameCase] = {
    "ready": FrameCase({"ready": True}, [*DATA, *within("data", [*required("ready"), *flag("ready")])]),
    "accept": FrameCase({"request_id": str(SOME_ID), "epoch": 1}, [*DATA, *within("data", OFFERED)]),
    "decline": FrameCase(
        {"request_id": str(SOME_ID), "epoch": 1, "reason": "busy"},
        [*DATA, *within("data", [*OFFERED, *choice("reason")])],
    ),
    "description": FrameCase(
        {"type": "offer", "sdp": SDP.format(ufrag="quok"), "negotiation": 1},
        [
            *DATA,
            *within("data", [*required("type"), *choice("type", "pranswer", "rollback"), *NEGOTIATION]),
            *within("data", [*required("sdp"), *wrongs("sdp", 7, True, [], {}, "", "x" * 62_000)]),
        ],
        of_call=True,
    ),
    "candidate": FrameCase(
        {"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}
        | {"usernameFragment": "quok", "negotiation": 1},
        [
            *DATA,
            *within("data", [*required("candidate")[:1], *text("candidate", empty=True, null=True), *NEGOTIATION]),
            *within("data", [*text("sdpMid", empty=True, null=True), *text("usernameFragment", empty=True, null=True)]),
            *within("data", integer("sdpMLineIndex", 0, 65_535)),
        ],
        of_call=True,
    ),
    "media": FrameCase(
        {"state": "connected", "sending": dict(KINDS), "receiving": dict(KINDS), "paused": None},
        [
            *DATA,
            *within("data", [*required("state"), *choice("state", "new", "closed"), *choice("paused", "lunch")]),
            *within("data", [*kinds("sending"), *kinds("receiving")]),
        ],
        of_call=True,
    ),
    "stats": FrameCase(
        {"samples": 5, "round_trip": dict(SPREAD), "jitter": dict(SPREAD), "loss": dict(SPREAD)}
        | {"frames_per_second": dict(SPREAD), "freezes": 0, "frozen_s": 0.0, "candidate_type": "relay"}
        | {"time_to_media_s": 0.5, "luma": 120.0},
        [
            *DATA,
            *within("data", integer("samples", 0, 1_000_000)),
            *within("data", [*choice("candidate_type", "turn"), *wrongs("luma", -1, 256, 1e308, "1", True, [], {})]),
            *within("data", wrongs("freezes", -1, 1.5, "1", True, [], {}, 10**30)),
            *within("data", [wrong for name in ("frozen_s", "time_to_media_s") for wrong in amount(name)]),
            *within(
                "data", [wrong for name in ("round_trip", "jitter", "frames_per_second") for wrong in spread(name)]
            ),
            *within("data", [*spread("loss"), *wrongs("loss.worst", 1.5, 2)]),
        ],
        of_call=True,
    ),
    "chat": FrameCase(
        {"text": "Quokka", "language": "en"},
        [
            *DATA,
            *within("data", [*text("text", null=True), *required("language")]),
            *within("data", text("language", "not a tag", "e", "en_GB", "en-", "é", "en\x00")),
            *within("data", wrongs("text", None, names="")),
            *within("data", [*choice("phrase", "hello"), *wrongs("phrase", "closer", names="")]),
        ],
        of_call=True,
    ),
    "control": FrameCase(
        {"name": "torch", "value": True},
        [
            *DATA,
            *within("data", [*required("name"), *choice("name", "laser")]),
            *within("data", [*wrongs("value", 1, 0.5, None, names=""), *wrongs("value", "on", [], {})]),
        ],
        of_call=True,
    ),
    "control_state": FrameCase(
        {"name": "zoom", "value": 1.5, "available": True},
        [
            *DATA,
            *within("data", [*required("name"), *choice("name", "laser"), *required("available")]),
            *within("data", [*wrongs("value", True, 0, 101, None, names=""), *wrongs("value", "on", [], {})]),
        ],
        of_call=True,
    ),
    "end": FrameCase(
        {"reason": "done"},
        [*DATA, *within("data", [*required("reason"), *choice("reason", "cancelled", "lost", "busy")])],
        of_call=True,
    ),
    "token": FrameCase({"token": "Quokka"}, [*DATA, *within("data", [*required("token"), *text("token")])]),
    "ack": FrameCase(None, OPTIONAL_DATA),
    "ping": FrameCase(None, OPTIONAL_DATA),
}

HELLO = [
    *DATA,
    *within("data", [*required("token"), *text("token"), *required("device_id"), *text("device_id")]),
    *within("data", wrongs("resume", 7, "text", True, [])),
    *within("data", [*required("resume.incarnation"), *text("resume.incarnation")]),
    *within("data", [*required("resume.seq"), *integer("resume.seq", 0)]),
]
