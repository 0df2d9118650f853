"""`eyeline probe` against a real node and a real TURN server: whole calls, and nobody else is rung."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from infra.phone.calls import PhoneCall
from infra.phone.client import PhoneClient
from infra.phone.probe import STEPS, run_probe
from infra.phone.tracks import clock_media
from infra.postgres.figures import PostgresFigures
from infra.postgres.pool import open_pool
from tests.support.nodes import Node
from tests.support.turn import turn_server

pytestmark = pytest.mark.slow
SECRET = "a secret of the probe, longer than 32 characters"


async def test_a_call_as_an_app_and_one_through_each_turn_url_and_practice_too(
    database_url: str, valkey_url: str, tmp_path: Path
) -> None:
    lines: list[str] = []
    registry = CollectorRegistry()
    round_of = partial(run_probe, every_s=None, metrics_port=None, ssl=True, say=lines.append)
    async with turn_server(tmp_path) as turn:
        settings = {**turn.settings_over("udp", "tcp"), "EYELINE_PROBE_SECRET": SECRET}
        async with (
            await Node.start(database_url, valkey_url, also=settings) as node,
            PhoneClient.sign_in(node.url, "Bo", role="volunteer", languages=["en"]) as bystander,
        ):
            await bystander.ready()
            assert await round_of(node.url, SECRET, registry=registry), lines
            assert bystander.state.offers == {}
            assert not await round_of(node.url, f"not {SECRET}")
            assert (await _practised(bystander))["relay"] == "used"
    assert await _in_figures(database_url) == (0, 0)
    good, refused = map(json.loads, lines)
    ways = [call["through"] for call in good["calls"]]
    assert (len(ways), ways[0]) == (3, "as_an_app")
    assert all(way.startswith("turn:127.0.0.1") for way in ways[1:])
    assert [call["failed_at"] for call in refused["calls"]] == ["signed_in"]
    for call in good["calls"]:
        assert tuple(call["steps"]) == STEPS
        seconds = {"through": call["through"], "step": "first_picture"}
        assert registry.get_sample_value("eyeline_probe_step_seconds", seconds) is not None
        assert registry.get_sample_value("eyeline_probe_ok", {"through": call["through"]}) == 1


async def _in_figures(database_url: str) -> tuple[int, int]:
    """Rows of quality, and answers of the last hour."""
    pool = await open_pool(database_url, 1)
    try:
        rows: int = await pool.fetchval("SELECT count(*) FROM call_quality")
        return rows, (await PostgresFigures(pool).read()).answers
    finally:
        await pool.close()


async def _practised(phone: PhoneClient) -> dict[str, str]:
    """What the server's phone found; both sides reach each other through the relay alone."""
    call = await phone.practise()
    assert not isinstance(call, int)
    running = asyncio.create_task(PhoneCall(phone, call, clock_media).run())
    try:
        found: dict[str, str] = (await phone.next("verdict", timeout=20))["data"]
        await phone.end_call(call)
        await asyncio.wait_for(running, 10)
        return found
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
