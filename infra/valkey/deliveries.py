"""One pub/sub connection per node: what other nodes publish for the sessions this node owns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import UUID

import structlog
from redis.asyncio.client import PubSub

from infra.valkey.cluster import Valkey
from infra.valkey.outages import is_unavailable
from signaling.ports import Delivery

SILENCE_S = 2.0
"""After so long without a message the server is asked whether it is there; after as long again it is given up."""
RETRY_MIN_S = 0.05
RETRY_MAX_S = 1.0

_log = structlog.get_logger()


async def listen(client: Valkey, channel: bytes) -> AsyncIterator[Delivery]:
    """Yield deliveries for ever, reconnecting with jitter. Nothing is queued here: the server's buffer is the bound,
    and a listener too slow for it is cut off, reconnects and repairs its gaps from the streams."""
    retry_s, failing = RETRY_MIN_S, False
    while True:
        pubsub = client.pubsub()
        try:
            await pubsub.subscribe(channel)
            if failing:
                _log.info("deliveries again")
            failing = False
            async for payload in _payloads(pubsub):
                retry_s = RETRY_MIN_S
                yield unpack(payload)
        except Exception as error:
            if not is_unavailable(error):
                raise
            if not failing:
                _log.warning("deliveries interrupted", error=type(error).__name__)
            failing = True
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]
        await asyncio.sleep(random.uniform(0, retry_s))
        retry_s = min(2 * retry_s, RETRY_MAX_S)


async def _payloads(pubsub: PubSub) -> AsyncIterator[bytes]:
    """Published payloads; raises ConnectionError when the server is silent although asked."""
    asked = False
    while True:
        message = await pubsub.get_message(timeout=SILENCE_S)
        if message is not None:
            asked = False
            if message["type"] == "message":
                yield message["data"]
        elif asked:
            raise ConnectionError("no answer on the subscription")
        else:
            await pubsub.ping()
            asked = True


def unpack(payload: bytes) -> Delivery:
    """What `lua/_mailbox.lua` `mailbox_publish` packed."""
    epoch, kind, message = payload[16:].split(b" ", 2)
    return Delivery(
        session_id=UUID(bytes=payload[:16]),
        seq=int(kind) if kind.isdigit() else None,
        message=None if kind == b"-" else message,
        owner_epoch=int(epoch),
    )
