"""What a node asks of Valkey before it may be given work."""

from __future__ import annotations

from infra.valkey.cluster import Valkey, execute


async def valkey_answers(client: Valkey) -> str | None:
    """None when it does (of a cluster: one of its primaries); raises the driver's error when not."""
    await execute(client, "PING")
    return None
