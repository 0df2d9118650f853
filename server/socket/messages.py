"""Every frame of the socket, both ways, as typed values: the contract between the apps and `GET /v1/ws`.

A frame is one JSON object `{"type", "data", "id"?, "seq"?, "ack"?, "call"?, "attempt"?}`. Unknown fields are ignored;
wrong types and values are refused with the field's path. Names of WebRTC things are the W3C's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, field

from server.views import CallView, OfferView, RequestView, UserView

MAX_SDP_CHARS = 60 * 1024
MAX_CANDIDATE_CHARS = 4 * 1024
MAX_TOKEN_CHARS = 8 * 1024
MAX_CHAT_CHARS = 2000

MessageId = Annotated[str, Meta(min_length=1, max_length=64)]
Seq = Annotated[int, Meta(ge=0, le=2**53)]
Epoch = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Negotiation = Annotated[int, Meta(ge=0, le=2**31 - 1)]
LanguageTag = Annotated[str, Meta(max_length=35, pattern="^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
"""BCP 47, well-formed; whether it is registered matters to nobody who is only told it."""
ChatText = Annotated[str, Meta(min_length=1, max_length=MAX_CHAT_CHARS)]
ChatPhrase = Literal[
    "camera_covered",
    "more_light",
    "move_left",
    "move_right",
    "closer",
    "farther",
    "hold_still",
    "turn_over",
    "torch_please",
    "cannot_hear_you",
    "one_moment",
    "thank_you",
]


class Nothing(msgspec.Struct, frozen=True):
    """The data of a frame that says all by its type."""


# What the two people say to each other through us: the same data in from one side and out to the other.


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """An RTCSessionDescription (W3C) with the number of its round of negotiation."""

    type: Literal["offer", "answer"]
    sdp: Annotated[str, Meta(min_length=1, max_length=MAX_SDP_CHARS)]
    negotiation: Negotiation


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An RTCIceCandidateInit (W3C); a null candidate ends the gathering of its generation."""

    candidate: Annotated[str, Meta(max_length=MAX_CANDIDATE_CHARS)] | None
    sdp_mid: Annotated[str, Meta(max_length=64)] | None = field(default=None, name="sdpMid")
    sdp_m_line_index: Annotated[int, Meta(ge=0, le=65535)] | None = field(default=None, name="sdpMLineIndex")
    username_fragment: Annotated[str, Meta(max_length=256)] | None = field(default=None, name="usernameFragment")
    negotiation: Negotiation


class Chat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Words in the call: free text, or a phrase that the other app says in its own language."""

    text: ChatText | None = None
    phrase: ChatPhrase | None = None
    language: LanguageTag

    def __post_init__(self) -> None:
        if (self.text is None) == (self.phrase is None):
            raise ValueError("Expected exactly one of `text` and `phrase`")


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """The volunteer's wish about the requester's camera: torch on or off, a zoom factor, a photo."""

    name: Literal["torch", "zoom", "photo"]
    value: bool | float | None = None

    def __post_init__(self) -> None:
        _check_control(self.name, self.value)


class ControlState(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a wish: how the requester's light is now, the factor of its zoom, yes or no to a photo."""

    name: Literal["torch", "zoom", "photo"]
    value: bool | float | None = None
    """Null while it is not `available`."""
    available: bool
    """Whether the device has such a thing."""

    def __post_init__(self) -> None:
        if self.available or self.value is not None:
            _check_control(self.name, self.value)


def _check_control(name: str, value: bool | float | None) -> None:
    is_number = isinstance(value, float | int) and not isinstance(value, bool)
    if name == "torch" and not isinstance(value, bool):
        raise ValueError("Expected `value` of torch to be true or false")
    if name == "zoom" and not (is_number and 0 < float(value or 0) <= 100):
        raise ValueError("Expected `value` of zoom to be a number above 0, at most 100")
    if name == "photo" and is_number:
        raise ValueError("Expected `value` of photo to be absent, null, true or false")


# From the client.


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """How far the client came: the highest seq it saw in an incarnation of its mailbox."""

    incarnation: Annotated[str, Meta(min_length=1, max_length=64)]
    seq: Seq


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Who is there; always first. The token never travels in a URL."""

    token: Annotated[str, Meta(min_length=1, max_length=MAX_TOKEN_CHARS)]
    device_id: Annotated[str, Meta(min_length=1, max_length=64)]
    resume: Resume | None = None


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this session may be rung through its socket."""

    ready: bool


class Accept(msgspec.Struct, frozen=True, kw_only=True):
    """I will help with this request."""

    request_id: UUID
    epoch: Epoch


class Decline(msgspec.Struct, frozen=True, kw_only=True):
    """Not me, this time."""

    request_id: UUID
    epoch: Epoch
    reason: Literal["busy", "not_now"] | None = None


class MediaKinds(msgspec.Struct, frozen=True, kw_only=True):
    """Which kinds of media run in one direction."""

    audio: bool
    video: bool


class MediaReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a side sees of its RTCPeerConnection."""

    state: Literal["connected", "disconnected", "failed"]
    sending: MediaKinds
    receiving: MediaKinds
    paused: Literal["phone_call", "background", "user"] | None = None


Amount = Annotated[float, Meta(ge=0, le=100_000)]
Share = Annotated[float, Meta(ge=0, le=1)]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """One thing as measured again and again since this attempt's connection was begun."""

    now: Amount
    mean: Amount
    worst: Amount
    """The highest; of frames per second the lowest."""


class ShareSpread(msgspec.Struct, frozen=True, kw_only=True):
    """The same of a share, 0 to 1."""

    now: Share
    mean: Share
    worst: Share


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """How this side's RTCPeerConnection does, every 5 s, in the terms of W3C webrtc-stats.

    All since this attempt's connection was begun, so that only the last one matters; what was not measured is absent.
    """

    samples: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """How many measurements the means are of."""
    round_trip: Spread | None = None
    """Seconds: `currentRoundTripTime` of the selected candidate-pair."""
    jitter: Spread | None = None
    """Seconds: `jitter` of inbound-rtp, the larger of sound and picture."""
    loss: ShareSpread | None = None
    """`packetsLost` / (`packetsLost` + `packetsReceived`) of inbound-rtp; `now` and `worst` of the time between two."""
    frames_per_second: Spread | None = None
    """`framesPerSecond` of inbound-rtp, of a side that receives a picture."""
    freezes: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    """`freezeCount` of inbound-rtp."""
    frozen_s: Amount | None = None
    """`totalFreezesDuration` of inbound-rtp, seconds."""
    candidate_type: Literal["host", "srflx", "prflx", "relay"] | None = None
    """`candidateType` of the selected candidate-pair's own (local) candidate."""
    time_to_media_s: Amount | None = None
    """Seconds from when this attempt's connection was begun until the first frame or packet of sound came."""
    luma: Annotated[float, Meta(ge=0, le=255)] | None = None
    """Mean luma of the picture received in the last seconds, 0 (black) to 255, of a side that looks at it."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """Hang up."""

    reason: Literal["done", "left", "technical"]


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh access token for the session this socket already belongs to."""

    token: Annotated[str, Meta(min_length=1, max_length=MAX_TOKEN_CHARS)]


class FromClient(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """The envelope of a client's frame."""

    id: MessageId | None = None
    """The client's key for this message, answered by `ack` or `error`."""
    ack: Seq | None = None
    """The highest seq seen."""
    call: UUID | None = None
    attempt: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None


class HelloFrame(FromClient, frozen=True, kw_only=True, tag="hello"):
    data: Hello


class ReadyFrame(FromClient, frozen=True, kw_only=True, tag="ready"):
    data: Ready


class AcceptFrame(FromClient, frozen=True, kw_only=True, tag="accept"):
    data: Accept


class DeclineFrame(FromClient, frozen=True, kw_only=True, tag="decline"):
    data: Decline


class DescriptionFrame(FromClient, frozen=True, kw_only=True, tag="description"):
    data: Description


class CandidateFrame(FromClient, frozen=True, kw_only=True, tag="candidate"):
    data: Candidate


class MediaFrame(FromClient, frozen=True, kw_only=True, tag="media"):
    data: MediaReport


class StatsFrame(FromClient, frozen=True, kw_only=True, tag="stats"):
    data: Stats


class ChatFrame(FromClient, frozen=True, kw_only=True, tag="chat"):
    data: Chat


class ControlFrame(FromClient, frozen=True, kw_only=True, tag="control"):
    data: Control


class ControlStateFrame(FromClient, frozen=True, kw_only=True, tag="control_state"):
    data: ControlState


class EndFrame(FromClient, frozen=True, kw_only=True, tag="end"):
    data: End


class TokenFrame(FromClient, frozen=True, kw_only=True, tag="token"):
    data: Token


class AckFrame(FromClient, frozen=True, kw_only=True, tag="ack"):
    data: Nothing = Nothing()


class PingFrame(FromClient, frozen=True, kw_only=True, tag="ping"):
    data: Nothing = Nothing()


PassedFrame = ChatFrame | ControlFrame | ControlStateFrame
"""What one side says to the other without the server having a say in it."""

ConversationFrame = (
    ReadyFrame
    | AcceptFrame
    | DeclineFrame
    | DescriptionFrame
    | CandidateFrame
    | MediaFrame
    | StatsFrame
    | ChatFrame
    | ControlFrame
    | ControlStateFrame
    | EndFrame
)
"""What has a meaning beyond the transport: these reach `Conversation.handle`."""
ClientFrame = ConversationFrame | TokenFrame | AckFrame | PingFrame
"""Everything a client may say after `hello`."""


# From the server.


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What this socket accepts, so that an app need not find out by being closed."""

    frame_bytes: int
    """A larger frame closes with 4413."""
    frames_per_s: int
    """Sustained rate; above it frames are refused with `too_fast`."""
    frames_burst: int
    sdp_chars: int
    candidate_chars: int
    chat_chars: int
    message_id_chars: int
    silence_ms: int
    """A socket from which nothing came for so long is taken for dead."""


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as of `seq`; always the first frame, and again when an incarnation begins anew."""

    session: UUID
    incarnation: str
    resumed: bool
    seq: int
    now: str
    heartbeat_s: float
    token_expires_at: str
    limits: Limits
    user: UserView
    request: RequestView | None
    offers: list[OfferView]
    call: CallView | None


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    """The message with this id was done."""

    id: str


class Refused(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The message (with this id, if it had one) was not done, and why."""

    id: str | None = None
    code: str
    message: str
    """For a developer."""
    retryable: bool
    details: dict[str, Any] | None = None

    # `retryable` has no default and is therefore always written.


class RequestChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The requester's request is now so."""

    request: RequestView


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is being done for a waiting requester; the words are the app's."""

    code: Literal[
        "asking",
        "asking_more",
        "next_language",
        "group_first",
        "opening_to_everyone",
        "nobody_awake",
        "same_person_first",
        "going_back",
        "still_looking",
    ]
    params: dict[str, Any] = {}


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How the looking goes, on change, at most every 5 s."""

    request_id: UUID
    asked: int
    note: Note


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asks for help; will you?"""

    offer: OfferView


class OfferWithdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """The offer is over."""

    request_id: UUID
    epoch: int
    reason: Literal["answered", "answered_by_you", "cancelled", "expired", "request_ended", "unavailable"]


class StandBy(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody else was faster by a moment: thanks. Should their call not come about, you are asked first."""

    until: str


class SomeoneFree(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody could come to this request; now somebody is free, and kept for you until then: ask again."""

    request_id: UUID
    until: str


class CallChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The call is now so."""

    call: CallView


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """How the other side is."""

    state: Literal["away", "back", "paused"]
    cause: str | None


class PracticeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the server's phone found in a practice call, told once. `unknown`: it never came to be connected."""

    camera: Literal["ok", "dark", "none", "unused", "unknown"]
    """`dark`: frames come, and all are nearly black. `unused`: a volunteer sends no picture."""
    microphone: Literal["ok", "silent", "none", "unknown"]
    """`silent`: sound comes, and nothing is in it."""
    network: Literal["ok", "poor", "none"]
    """`poor`: it loses much or is slow. `none`: no connection came about."""
    relay: Literal["used", "available", "none", "off"]
    """`used`: the call runs through a TURN server. `available`: one answers this device, and was not needed. `none`:
    none answers it. `off`: this deployment has none."""


class PictureSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the volunteer sees of the requester's picture; to both sides, on change and to a socket that comes anew."""

    state: Literal["ok", "frozen", "dark", "paused"]


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """This node is going; close follows, come back elsewhere after so long."""

    resume_in_ms: int


class Pong(msgspec.Struct, frozen=True, kw_only=True):
    now: str


class FromServer(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """The envelope of a server's frame."""

    id: str | None = None
    """On what the other side said: its own id for it, so that the same by data channel is known again."""
    seq: int | None = None
    call: UUID | None = None
    attempt: int | None = None


class WelcomeFrame(FromServer, frozen=True, kw_only=True, tag="welcome"):
    data: Welcome


class AckedFrame(FromServer, frozen=True, kw_only=True, tag="ack"):
    data: Acked


class ErrorFrame(FromServer, frozen=True, kw_only=True, tag="error"):
    data: Refused


class RequestChangedFrame(FromServer, frozen=True, kw_only=True, tag="request"):
    data: RequestChanged


class ProgressFrame(FromServer, frozen=True, kw_only=True, tag="progress"):
    data: Progress


class OfferFrame(FromServer, frozen=True, kw_only=True, tag="offer"):
    data: Offered


class OfferWithdrawnFrame(FromServer, frozen=True, kw_only=True, tag="offer_withdrawn"):
    data: OfferWithdrawn


class StandByFrame(FromServer, frozen=True, kw_only=True, tag="standby"):
    data: StandBy


class SomeoneFreeFrame(FromServer, frozen=True, kw_only=True, tag="someone_free"):
    data: SomeoneFree


class CallFrame(FromServer, frozen=True, kw_only=True, tag="call"):
    data: CallChanged


class RelayedDescriptionFrame(FromServer, frozen=True, kw_only=True, tag="description"):
    data: Description


class RelayedCandidateFrame(FromServer, frozen=True, kw_only=True, tag="candidate"):
    data: Candidate


class RelayedChatFrame(FromServer, frozen=True, kw_only=True, tag="chat"):
    data: Chat


class RelayedControlFrame(FromServer, frozen=True, kw_only=True, tag="control"):
    data: Control


class RelayedControlStateFrame(FromServer, frozen=True, kw_only=True, tag="control_state"):
    data: ControlState


class PeerFrame(FromServer, frozen=True, kw_only=True, tag="peer"):
    data: Peer


class VerdictFrame(FromServer, frozen=True, kw_only=True, tag="verdict"):
    data: PracticeVerdict


class PictureFrame(FromServer, frozen=True, kw_only=True, tag="picture"):
    data: PictureSeen


class DrainFrame(FromServer, frozen=True, kw_only=True, tag="drain"):
    data: Drain


class PongFrame(FromServer, frozen=True, kw_only=True, tag="pong"):
    data: Pong


ServerFrame = (
    WelcomeFrame
    | AckedFrame
    | ErrorFrame
    | RequestChangedFrame
    | ProgressFrame
    | OfferFrame
    | OfferWithdrawnFrame
    | StandByFrame
    | SomeoneFreeFrame
    | CallFrame
    | RelayedDescriptionFrame
    | RelayedCandidateFrame
    | RelayedChatFrame
    | RelayedControlFrame
    | RelayedControlStateFrame
    | PeerFrame
    | VerdictFrame
    | PictureFrame
    | DrainFrame
    | PongFrame
)
