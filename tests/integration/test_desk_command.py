"""`eyeline admin desk`, as an operator runs it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
from click.testing import CliRunner, Result

from infra.postgres.groups import PostgresGroups, StoredAccepted
from infra.postgres.pool import open_pool
from server import cli
from server.desk_commands import desk_wish
from server.invite_codes import code_hash

ADD = ("add", "Medicines", "--language", "da", "--zone", "Europe/Copenhagen", "--hours", "1-7 00:00-24:00")
NOBODY = "00000000-0000-7000-8000-000000000000"


class Operator:
    def __init__(self, database_url: str, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self._env = {"EYELINE_DATABASE_URL": database_url}

    async def run(self, *arguments: str) -> Result:
        """In a thread of its own, for commands bring their own event loop."""
        runner = CliRunner(env=self._env)
        return await asyncio.to_thread(runner.invoke, cli.main, ["admin", "desk", *arguments])

    async def done(self, *arguments: str) -> str:
        result = await self.run(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout.strip()

    async def refused(self, *arguments: str) -> str:
        result = await self.run(*arguments)
        assert result.exit_code == 1
        return result.stderr.strip()


@pytest.fixture
async def operator(database_url: str) -> AsyncIterator[Operator]:
    pool = await open_pool(database_url, 2)
    yield Operator(database_url, pool)
    await pool.close()


class TestDesks:
    async def test_are_made_listed_and_retired(self, operator: Operator) -> None:
        desk = await operator.done(*ADD)
        assert await operator.done("list") == f"{desk}  Medicines (da): open always"
        await operator.done("retire", desk)
        assert await operator.done("list") == ""
        assert await operator.refused("invite", desk) == (
            "eyeline: there is no such desk, or too many of its codes are open"
        )

    async def test_say_when_they_open(self, operator: Operator) -> None:
        await operator.done(*ADD[:-1], "6 23:30-00:15")
        assert re.search(r"Medicines \(da\): (open until|closed, opens) 20.*Z$", await operator.done("list"))

    async def test_take_agents_by_a_code(self, operator: Operator) -> None:
        printed = await operator.done("invite", await operator.done(*ADD))
        code = printed.partition(" ")[0]
        person = await operator.pool.fetchval("INSERT INTO users (role) VALUES ('volunteer') RETURNING id")
        accepted = await PostgresGroups(operator.pool).accept(person, code_hash(code), members_max=1, agents_max=1)
        assert isinstance(accepted, StoredAccepted)
        assert accepted.desk is not None

    async def test_that_are_not_there(self, operator: Operator) -> None:
        assert await operator.refused("retire", NOBODY) == "eyeline: there is no such desk"
        assert (await operator.run("retire", "nonsense")).exit_code == 2


class TestWishes:
    def test_are_brought_into_their_normal_form(self) -> None:
        wish = desk_wish(" Pills ", ["da-dk", "DA-DK"], "Asia/Kathmandu", ["1,3,6-7 22:00-02:00"])
        window = {"days": [1, 3, 6, 7], "from": "22:00", "to": "02:00"}
        assert wish == {
            **{"name": "Pills", "languages": ["da-DK"], "time_zone": "Asia/Kathmandu"},
            **{"weekly": [window]},
        }

    @pytest.mark.parametrize(
        ("name", "language", "zone", "hours", "problem"),
        [
            (" ", "da", "UTC", "1 08:00-16:00", "1 to 80 characters"),
            ("Pills", "zz", "UTC", "1 08:00-16:00", "not a registered language"),
            ("Pills", "da", "Mars/Olympus", "1 08:00-16:00", "not an IANA time zone"),
            ("Pills", "da", "UTC", "8 08:00-16:00", "hours are like"),
            ("Pills", "da", "UTC", "5-1 08:00-16:00", "days must be"),
            ("Pills", "da", "UTC", "1 8-16", "times must be"),
        ],
    )
    def test_that_cannot_be(self, name: str, language: str, zone: str, hours: str, problem: str) -> None:
        with pytest.raises(ValueError, match=problem):
            desk_wish(name, [language], zone, [hours])
