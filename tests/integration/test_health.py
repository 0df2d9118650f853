"""`/livez`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from infra.postgres.checks import DatabaseChecks
from infra.postgres.migrate import migrate, migrate_config
from infra.postgres.pool import open_pool
from infra.postgres.schema import is_migrated, newest
from server.api import health
from server.api.health import HealthApi
from server.errors import ApiError
from server.routing import Exchange
from tests.support.engines import Engines
from tests.support.http_api import HttpApi, http_api

ASKED: Exchange[None] = Exchange(None, {}, {}, "")


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[HttpApi]:
    async with http_api(database_url, start=time.time()) as api:
        yield api


class TestReady:
    async def test_names_what_it_checked(self, api: HttpApi) -> None:
        answer = await api.call("GET", "/readyz")
        assert (answer.status, answer.body) == (200, {"ready": True, "checks": ["postgres", "schema", "clock"]})

    async def test_an_older_schema_is_not_ready(self, api: HttpApi) -> None:
        await api.pool.execute("UPDATE alembic_version SET version_num = '0000'")
        answer = await api.call("GET", "/readyz")
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "unavailable", "1")
        assert list(answer.body["error"]["details"]["not_ready"]) == ["schema"]

    async def test_a_clock_that_is_off_is_not_ready(self, api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
        checks = DatabaseChecks(api.pool)
        assert await checks.clock() is None
        real = time.time
        for off_s in (1.5, -1.5):
            monkeypatch.setattr(time, "time", lambda off_s=off_s: real() + off_s)
            assert str(await checks.clock()).startswith("the clock is off by 1.")

    async def test_every_problem_is_named_and_none_hides_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "CHECK_WITHIN_S", 0.05)

        async def fine() -> None:
            return None

        async def away() -> None:
            raise ConnectionRefusedError("somewhere private")

        async def hangs() -> None:
            await asyncio.Event().wait()

        api = HealthApi({"fine": fine, "away": away, "hangs": hangs})
        with pytest.raises(ApiError) as raised:
            await api.ready(ASKED)
        assert raised.value.details == {"not_ready": {"away": "ConnectionRefusedError", "hangs": "no answer in time"}}


class TestAlive:
    async def test_needs_nothing(self, api: HttpApi) -> None:
        await api.pool.execute("UPDATE alembic_version SET version_num = '0000'")
        answer = await api.call("GET", "/livez")
        assert (answer.status, answer.body) == (200, {"alive": True})


class TestMetrics:
    async def test_count_calls_by_route_and_nothing_made_up(self, api: HttpApi) -> None:
        await api.call("GET", "/v1/calls/of-anna")
        await api.call("DELETE", "/v1/sessions/of-anna")
        await api.call("DELETE", f"/v1/sessions/{UUID(int=7)}")
        await api.call("MKCOL", "/v1/me")
        text = (await api.call("GET", "/metrics")).body.decode()
        assert 'eyeline_http_seconds_count{method="DELETE",route="/v1/sessions/{id}",status="401"}' in text
        assert 'eyeline_http_seconds_count{method="",route="",status="405"}' in text
        assert "anna" not in text
        assert "MKCOL" not in text
        assert str(UUID(int=7)) not in text

    async def test_are_prometheus_text(self, api: HttpApi) -> None:
        answer = await api.call("GET", "/metrics")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert b"# TYPE python_info gauge" in answer.body


class TestMigrate:
    async def test_racing_nodes_migrate_once(self, engines: Engines) -> None:
        engines.restore()
        url = engines.postgres.url("racing")
        pool = await open_pool(engines.postgres.url(), 1)
        try:
            await pool.execute("CREATE DATABASE racing")
            await asyncio.gather(*[migrate(url) for _ in range(3)])
            await migrate(url)
            fresh = await open_pool(url, 1)
            try:
                assert await is_migrated(fresh)
            finally:
                await fresh.close()
            await pool.execute("DROP DATABASE racing WITH (FORCE)")
        finally:
            await pool.close()

    async def test_waits_for_whoever_uses_the_tables_a_little_at_a_time(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in (("LOCK_TIMEOUT", "50ms"), ("TRIES", 2), ("PAUSE_S", 0.01)):
            monkeypatch.setattr(f"infra.postgres.migrate.{name}", value)
        async with asyncio.timeout(30):
            in_the_way = await asyncpg.connect(database_url)
            await in_the_way.execute("BEGIN; LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(DBAPIError, match="lock timeout"):
                await migrate(database_url)
            monkeypatch.setattr("infra.postgres.migrate.TRIES", 200)
            asyncio.get_running_loop().call_later(0.3, in_the_way.terminate)
            await migrate(database_url)

    def test_the_newest_revision_is_the_one_that_all_lead_to(self) -> None:
        assert ScriptDirectory.from_config(migrate_config()).get_current_head() == newest()

    async def test_an_empty_database_is_not_migrated(self, engines: Engines) -> None:
        engines.restore()
        pool = await open_pool(engines.postgres.url(), 1)
        try:
            assert not await is_migrated(pool)
        finally:
            await pool.close()

    async def test_the_clock_can_be_moved_for_tests(self, api: HttpApi) -> None:
        async with api.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL eyeline.clock_offset = '2 hours'")
            ahead = await connection.fetchval("SELECT extract(epoch FROM eyeline_now() - clock_timestamp())")
        assert 7199 < float(ahead) <= 7200
