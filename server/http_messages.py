"""Every body of the HTTP API, both ways, as typed values. What both boundaries share is in `views.py`.

Unknown fields are ignored; wrong types and values are refused with the field's path. `UNSET` tells an absent field from
`null` where that matters.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from server.views import CallView, IceServer, Mode, OfferView, RequestView, UserView

DEVICE_CHARS_MAX = 64
PUSH_VALUES_MAX = 8
WINDOWS_MAX = 50

DeviceId = Annotated[str, Meta(min_length=1, max_length=DEVICE_CHARS_MAX, pattern="^[ -~]*$")]
Platform = Literal["ios", "android", "web"]
Token = Annotated[str, Meta(min_length=1, max_length=8192)]
LanguageTag = Annotated[str, Meta(min_length=1, max_length=64, description="BCP 47")]
Languages = Annotated[list[LanguageTag], Meta(max_length=20, description="In order of preference")]
ClockTime = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)]
ClockEnd = Annotated[str, Meta(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", max_length=5)]
IsoWeekday = Annotated[int, Meta(ge=1, le=7, description="1 is Monday")]


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The phone or browser one signs in on."""

    id: DeviceId
    platform: Platform


class SignInBody(msgspec.Struct, frozen=True, kw_only=True):
    provider: Literal["firebase", "dev", "probe"]
    token: Token
    device: Device


class RefreshBody(msgspec.Struct, frozen=True, kw_only=True):
    refresh_token: Token
    device_id: DeviceId | None = None


class SessionReply(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of tokens, whose session they are, and the person."""

    access_token: str
    expires_at: str
    refresh_token: str
    session_id: UUID
    user: UserView


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that has not ended."""

    id: UUID
    device_id: str
    platform: Platform
    created_at: str
    seen_at: str
    current: bool


class SessionsReply(msgspec.Struct, frozen=True):
    sessions: list[SessionView]


class MeChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may change of themselves; what is absent stays. `role` is set once."""

    role: Literal["requester", "volunteer"] | UnsetType = UNSET
    display_name: Annotated[str, Meta(min_length=1, max_length=80)] | UnsetType | None = UNSET
    languages: Languages | UnsetType = UNSET
    time_zone: Annotated[str, Meta(min_length=1, max_length=64, description="IANA zone")] | UnsetType = UNSET


class WeeklyWindow(msgspec.Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """Hours of some days of the week, local to the person. `to` before `from` goes over midnight."""

    days: Annotated[list[IsoWeekday], Meta(min_length=1, max_length=7)]
    start: ClockTime
    end: ClockEnd


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """When a volunteer may be asked although they did not say that they are ready."""

    weekly: Annotated[list[WeeklyWindow], Meta(max_length=WINDOWS_MAX)]
    paused: bool = False
    paused_until: Annotated[datetime, Meta(tz=True)] | None = None


class AvailabilityReply(msgspec.Struct, frozen=True, kw_only=True):
    weekly: list[WeeklyWindow]
    paused: bool
    paused_until: str | None


class WebPushKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Of a PushSubscription (W3C Push API), base64url: without them a browser can be woken, not told anything."""

    p256dh: Annotated[str, Meta(min_length=80, max_length=100, pattern="^[A-Za-z0-9_=-]*$")]
    auth: Annotated[str, Meta(min_length=20, max_length=32, pattern="^[A-Za-z0-9_=-]*$")]


class PushValue(msgspec.Struct, frozen=True, kw_only=True):
    """Where a device can be woken: a registration token, or the https endpoint of a browser's push service."""

    kind: Literal["fcm", "webpush", "apns_voip"]
    value: Annotated[str, Meta(min_length=1, max_length=2048, pattern="^[!-~]*$")]
    keys: WebPushKeys | None = None


class DeviceChange(msgspec.Struct, frozen=True, kw_only=True):
    platform: Platform
    push: Annotated[list[PushValue], Meta(max_length=PUSH_VALUES_MAX)] = []


class SuspendBody(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` is for moderators; it is shown to nobody else and never logged."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class PushKeyReply(msgspec.Struct, frozen=True):
    """RFC 8292: whoever subscribes with this key can be woken by us and by nobody else."""

    key: str


class Topic(msgspec.Struct, frozen=True):
    """What help may be about; the words are the app's."""

    code: str


class TopicsReply(msgspec.Struct, frozen=True):
    topics: list[Topic]


# Asking for help, answering, and the call.


class RequestBody(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for help now. Languages default to the person's own.

    With a group or desk its people are asked; others too after `then_public_after_s`, never when that is null.
    """

    languages: Languages | None = None
    topic: Annotated[str, Meta(max_length=64, description="A code of GET /v1/topics")] | None = None
    mode: Mode = "video"
    group_id: UUID | UnsetType | None = UNSET
    desk_id: UUID | UnsetType | None = UNSET
    then_public_after_s: Annotated[int, Meta(ge=0, le=3600)] | UnsetType | None = UNSET
    same_as_call_id: UUID | UnsetType | None = UNSET


class RequestReply(msgspec.Struct, frozen=True, kw_only=True):
    request: RequestView


class OffersReply(msgspec.Struct, frozen=True, kw_only=True):
    """The offers open for me; `now` is the clock they are counted against."""

    now: str
    offers: list[OfferView]


Epoch = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class AcceptBody(msgspec.Struct, frozen=True, kw_only=True):
    epoch: Epoch


class DeclineBody(msgspec.Struct, frozen=True, kw_only=True):
    epoch: Epoch
    reason: Literal["busy", "not_now"] | None = None


class CallReply(msgspec.Struct, frozen=True, kw_only=True):
    call: CallView


class PracticeReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """201: the call. 202: the place in the queue, 1 for the next; the call comes by a `call` message."""

    call: CallView | None = None
    position: int | None = None


class RejoinBody(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt this side has no connection of."""

    attempt: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class EndBody(msgspec.Struct, frozen=True, kw_only=True):
    reason: Literal["done", "left", "technical"]


class IceReply(msgspec.Struct, frozen=True, kw_only=True):
    """For RTCPeerConnection.setConfiguration."""

    ice_servers: list[IceServer]
    expires_at: str


# Groups of trusted people, and desks of organisations.

Name = Annotated[str, Meta(min_length=1, max_length=80)]
MemberState = Annotated[
    Literal["active", "unavailable"], Meta(description="`unavailable`: an account that is not asked at present")
]


class GroupBody(msgspec.Struct, frozen=True, kw_only=True):
    """`direct`: who joins from now on connects without a relay, and both learn an address. Absent: as it was."""

    name: Name
    direct: bool | UnsetType = UNSET


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody in a group or at a desk; `member_id` names the membership, not the person."""

    member_id: UUID
    display_name: str | None
    joined_at: str
    state: MemberState


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """A group I made (`mine`: with its members and how many invites are open), or one I am in (my own membership).

    `direct`: in a group I made, for those who join now; in one I am in, for me: who joined before stays relayed.
    """

    id: UUID
    name: str
    mine: bool
    direct: bool
    owner_name: str | None
    member_id: UUID | None
    joined_at: str | None
    members: list[MemberView] | None
    open_invites: int | None


class GroupsReply(msgspec.Struct, frozen=True):
    groups: list[GroupView]


class GroupReply(msgspec.Struct, frozen=True):
    group: GroupView


class InviteReply(msgspec.Struct, frozen=True, kw_only=True):
    """To be passed on to one person. `code` is shown this once; `url` opens the volunteer page with it."""

    code: str
    url: str
    expires_at: str


class DeskView(msgspec.Struct, frozen=True, kw_only=True):
    """`opens_at`: of a closed desk, null if it will not open; `closes_at`: of this opening or the next one.

    `member_id`: my own membership, if I answer for it.
    """

    id: UUID
    name: str
    languages: list[str]
    open: bool
    opens_at: str | None
    closes_at: str | None
    member_id: UUID | None


class DesksReply(msgspec.Struct, frozen=True):
    desks: list[DeskView]


class AcceptedReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the invite was to: one of the two."""

    group: GroupView | None = None
    desk: DeskView | None = None


class DeskBody(msgspec.Struct, frozen=True, kw_only=True):
    """A desk without hours is never open; `weekly` is local to `time_zone`."""

    name: Name
    languages: Annotated[list[LanguageTag], Meta(min_length=1, max_length=20)]
    time_zone: Annotated[str, Meta(min_length=1, max_length=64, description="IANA zone")]
    weekly: Annotated[list[WeeklyWindow], Meta(max_length=WINDOWS_MAX)]


class AdminDeskView(msgspec.Struct, frozen=True, kw_only=True):
    """A desk as an admin sees it."""

    id: UUID
    name: str
    languages: list[str]
    time_zone: str
    weekly: list[WeeklyWindow]
    open: bool
    opens_at: str | None
    closes_at: str | None
    created_at: str
    open_invites: int
    agents: list[MemberView]


class AdminDeskReply(msgspec.Struct, frozen=True):
    desk: AdminDeskView
