"""Writes the reference of the sockets from their message types (AsyncAPI 3.0.0)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import msgspec

from server.admin_messages import AdminServerFrame
from server.socket.messages import ClientFrame, HelloFrame, PingFrame, ServerFrame

REF = "#/components/schemas/{name}"
Frame = type[msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Socket:
    """One WebSocket address and what is said there."""

    name: str
    path: str
    summary: str
    from_client: tuple[Frame, ...]
    from_server: tuple[Frame, ...]


SOCKETS = (
    Socket(
        "app",
        "/v1/ws",
        "The apps' socket, subprotocol `eyeline.v1`. `hello` is the first frame, within 5 s; `welcome` answers it.",
        (HelloFrame, *get_args(ClientFrame)),
        get_args(ServerFrame),
    ),
    Socket(
        "admin",
        "/v1/admin/ws",
        "The admin page's live feed, subprotocol `eyeline.v1`: `hello`, then `queue` every second.",
        (HelloFrame, PingFrame),
        get_args(AdminServerFrame),
    ),
)


def asyncapi() -> dict[str, Any]:
    """The whole document, ready to be encoded as JSON. `send` and `receive` are the server's, as AsyncAPI asks."""
    frames = list(dict.fromkeys(frame for socket in SOCKETS for frame in (*socket.from_client, *socket.from_server)))
    schemas, components = msgspec.json.schema_components(frames, ref_template=REF)
    payload_of = dict(zip(frames, schemas, strict=True))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Eyeline sockets",
            "version": "1",
            "description": "Text frames, one JSON object each. Unknown types and fields from the server are ignored.",
        },
        "defaultContentType": "application/json",
        "channels": {socket.name: _channel(socket) for socket in SOCKETS},
        "operations": {
            f"{socket.name}.{action}": _operation(socket, action)
            for socket in SOCKETS
            for action in ("receive", "send")
        },
        "components": {
            "schemas": components,
            "messages": {message_key(frame): _message(frame, payload_of[frame]) for frame in frames},
        },
    }


def frame_type(frame: Frame) -> str:
    """The frame's `type` on the wire."""
    return str(frame.__struct_config__.tag)


def message_key(frame: Frame) -> str:
    return frame.__name__.removesuffix("Frame")


def data_type(frame: Frame) -> Frame:
    """The struct in the frame's `data`."""
    found: Frame = next(field.type for field in msgspec.structs.fields(frame) if field.name == "data")
    return found


def _channel(socket: Socket) -> dict[str, Any]:
    frames = dict.fromkeys((*socket.from_client, *socket.from_server))
    return {
        "address": socket.path,
        "summary": socket.summary,
        "messages": {message_key(frame): {"$ref": f"#/components/messages/{message_key(frame)}"} for frame in frames},
        "bindings": {"ws": {"method": "GET"}},
    }


def _operation(socket: Socket, action: str) -> dict[str, Any]:
    frames = socket.from_client if action == "receive" else socket.from_server
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{socket.name}"},
        "messages": [{"$ref": f"#/channels/{socket.name}/messages/{message_key(frame)}"} for frame in frames],
    }


def _message(frame: Frame, payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": frame_type(frame),
        "summary": (data_type(frame).__doc__ or "").strip(),
        "payload": payload,
    }
