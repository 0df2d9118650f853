"""Between the bytes of a frame and its typed value: decoding that says who erred and where, encoding, numbering."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn, cast
from uuid import UUID

import msgspec

from server.decoding import place_and_problem
from server.socket.messages import (
    Acked,
    AckedFrame,
    ClientFrame,
    ErrorFrame,
    HelloFrame,
    Refused,
    ServerFrame,
)

_MESSAGE_ID_CHARS_MAX = 64
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Identified(msgspec.Struct, frozen=True):
    """Any JSON object, of which only the id matters."""

    id: Any = None


_hello = msgspec.json.Decoder(HelloFrame)
_frames: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_ids = msgspec.json.Decoder(_Identified)
_encoder = msgspec.json.Encoder()


class BadFrame(Exception):
    """Not a frame at all (not a JSON object, or not a good `hello` where one is due): close with 4400."""


class BadMessage(Exception):
    """A frame of an unknown type or with bad data: its sender gets `error bad_message`, the socket stays."""

    def __init__(self, message_id: str | None, problem: str, field: str) -> None:
        super().__init__(problem)
        self.message_id = message_id
        self.problem = problem
        """For a developer; never quotes what was sent."""
        self.field = field
        """Path of the field at fault, such as `data.sdp`; empty for the frame as a whole."""


def decode_hello(text: bytes) -> HelloFrame:
    """The first frame of a socket. Raises `BadFrame`."""
    try:
        return _hello.decode(_utf8(text))
    except _NO_JSON as error:
        raise BadFrame from error


def decode(text: bytes) -> ClientFrame:
    """A frame after `hello`. Raises `BadFrame` or `BadMessage`."""
    try:
        return _frames.decode(_utf8(text))
    except msgspec.ValidationError as error:
        problem = str(error)
    except _NO_JSON as error:
        raise _half_a_character(text) or BadFrame from error
    raise _bad_message(text, problem)


def _utf8(text: bytes) -> bytes:
    """The text itself, found to be UTF-8: the decoder does not look into the fields it skips."""
    if not text.isascii():
        text.decode()
    return text


def _bad_message(text: bytes, problem: str) -> Exception:
    try:
        message_id = _ids.decode(text).id
    except _NO_JSON:
        return _half_a_character(text) or BadFrame()
    field, what = place_and_problem(problem)
    return BadMessage(_usable(message_id), what, field)


def _half_a_character(text: bytes) -> BadMessage | None:
    """What becomes of an object with half a surrogate pair in it: RFC 8259 (section 8.2) lets it pass, we cannot.

    An app that cuts a text in the middle of a character sends such; its socket is not to be closed for that.
    """
    try:
        frame = json.loads(text, parse_constant=_no_constant) if rb"\u" in text else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(frame, dict):
        return None
    return BadMessage(_usable(frame.get("id")), "texts must not contain half a surrogate pair", "")


def _no_constant(name: str) -> NoReturn:
    """NaN and Infinity are Python's JSON, not the RFC's."""
    raise ValueError(name)


def _usable(message_id: object) -> str | None:
    """The id if an answer can carry it."""
    usable = isinstance(message_id, str) and 0 < len(message_id) <= _MESSAGE_ID_CHARS_MAX and _is_whole(message_id)
    return cast(str, message_id) if usable else None


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def encode(frame: ServerFrame) -> bytes:
    return _encoder.encode(frame)


def acked(message_id: str) -> bytes:
    return encode(AckedFrame(data=Acked(id=message_id)))


def refused(
    message_id: str | None,
    code: str,
    message: str,
    *,
    retryable: bool = False,
    details: Mapping[str, Any] | None = None,
) -> bytes:
    plain = dict(details) if details is not None else None
    return encode(
        ErrorFrame(data=Refused(id=message_id, code=code, message=message, retryable=retryable, details=plain))
    )


def numbered(message: bytes, seq: int) -> bytes:
    """A mailbox message with its number spliced in; not decoded, so a relay costs no more than a copy."""
    return b'{"seq":%d,%b' % (seq, message[1:])


class Head(msgspec.Struct, frozen=True):
    """What a mailbox message is, its data unread."""

    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _OfferHead(msgspec.Struct, frozen=True):
    request_id: UUID
    epoch: int


class _OfferData(msgspec.Struct, frozen=True):
    offer: _OfferHead


class _CallHead(msgspec.Struct, frozen=True):
    state: str


class _CallData(msgspec.Struct, frozen=True):
    call: _CallHead


_head = msgspec.json.Decoder(Head)
_offer = msgspec.json.Decoder(_OfferData)
_withdrawn = msgspec.json.Decoder(_OfferHead)
_call = msgspec.json.Decoder(_CallData)


def read_head(message: bytes) -> Head:
    """Raises `msgspec.DecodeError` for what is none of our messages."""
    return _head.decode(message)


def read_offer(head: Head) -> tuple[UUID, int]:
    """(request id, epoch) of an `offer`."""
    offer = _offer.decode(head.data).offer
    return offer.request_id, offer.epoch


def read_withdrawn(head: Head) -> UUID:
    """The request of an `offer_withdrawn`."""
    return _withdrawn.decode(head.data).request_id


def call_is_over(head: Head) -> bool:
    """Whether a `call` message tells of an end."""
    return _call.decode(head.data).call.state == "ended"
