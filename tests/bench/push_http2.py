"""FCM over HTTP/2 for firebase-admin's sending, which is at its best there: the checks are those of the stand-in."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from infra.standins.fcm_rules import violation_in


class _Connection(asyncio.Protocol):
    def __init__(self, knows: Callable[[str | None], bool]) -> None:
        self._knows = knows
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._bodies: dict[int, bytearray] = {}
        self._allowed: dict[int, bool] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no instances of it.
        self._transport = cast(asyncio.Transport, transport)
        self._http.initiate_connection()
        self._transport.write(self._http.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._http.receive_data(data):
            if isinstance(event, RequestReceived) and event.stream_id is not None:
                headers = {str(name): str(value) for name, value in event.headers or ()}
                self._allowed[event.stream_id] = self._knows(headers.get("authorization"))
                self._bodies[event.stream_id] = bytearray()
            elif isinstance(event, DataReceived) and event.stream_id is not None:
                self._bodies[event.stream_id] += event.data or b""
                self._http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            elif isinstance(event, StreamEnded) and event.stream_id is not None:
                self._answer(event.stream_id)
        self._transport.write(self._http.data_to_send())

    def _answer(self, stream: int) -> None:
        body = bytes(self._bodies.pop(stream))
        status = "401" if not self._allowed.pop(stream) else "400" if violation_in(body) else "200"
        answer = json.dumps({"name": f"projects/bench/messages/{stream}"} if status == "200" else {"error": {}})
        self._http.send_headers(stream, [(":status", status), ("content-type", "application/json")])
        self._http.send_data(stream, answer.encode(), end_stream=True)


@asynccontextmanager
async def http2(context: ssl.SSLContext, knows: Callable[[str | None], bool]) -> AsyncIterator[str]:
    """Serve on a free port; gives the URL. `knows`: whether an Authorization header is good."""
    context.set_alpn_protocols(["h2"])
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(knows), "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
