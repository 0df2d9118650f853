"""What a node asks of Valkey before it may be given work."""

from __future__ import annotations

from redis.asyncio import Redis


async def valkey_answers(client: Redis) -> str | None:
    """None when it does; raises the driver's error when not."""
    await client.execute_command("PING")  # type: ignore[no-untyped-call]
    return None
