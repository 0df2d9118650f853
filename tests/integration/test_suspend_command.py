"""`eyeline admin suspend` and `restore`, as an operator runs them beside a real node."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from infra.phone.client import PhoneClient
from infra.phone.errors import PhoneStopped
from tests.support.nodes import ROOT, Node

WITHIN_S = 15.0
NOWHERE = "redis://127.0.0.1:1"


@dataclass
class Desk:
    """An operator's terminal, and a node that serves somebody called Viktor."""

    node: Node
    stack: AsyncExitStack
    database_url: str
    valkey_url: str

    async def phone(self, device_id: str = "the phone") -> PhoneClient:
        return await self.stack.enter_async_context(
            PhoneClient.sign_in(self.node.url, "Viktor", role="volunteer", languages=["en"], device_id=device_id)
        )

    async def admin(self, *arguments: str, **env: str) -> tuple[int | None, str, str]:
        """Exit code, what it printed, and what it complained of."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EYELINE_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.cli", "admin", *arguments),
            env={**inherited, "EYELINE_DATABASE_URL": self.database_url, **env},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, problem = await process.communicate()
        return process.returncode, out.decode(), problem.decode()

    async def status(self) -> Any:
        return (await (await self.phone()).account.call("GET", "/v1/me"))["status"]


@pytest.fixture
async def desk(database_url: str, valkey_url: str) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(await Node.start(database_url, valkey_url))
        yield Desk(node, stack, database_url, valkey_url)


async def shut_out(phone: PhoneClient) -> None:
    with pytest.raises(PhoneStopped, match="suspended"):
        await phone.until(lambda _: False, timeout=WITHIN_S)


class TestSuspend:
    async def test_nodes_are_told_when_it_knows_valkey(self, desk: Desk) -> None:
        phone = await desk.phone()
        done = await desk.admin("suspend", "Viktor", "--reason", "Quokka", EYELINE_VALKEY_URL=desk.valkey_url)
        assert done == (0, "Viktor is suspended.\n", "")
        await shut_out(phone)

    @pytest.mark.parametrize("valkey", [{}, {"EYELINE_VALKEY_URL": NOWHERE}])
    async def test_else_it_says_that_they_will_notice_and_they_do(self, desk: Desk, valkey: dict[str, str]) -> None:
        phone = await desk.phone()
        done = await desk.admin("suspend", "Viktor", **valkey)
        assert done == (0, "Viktor is suspended; nodes notice it within seconds.\n", "")
        await shut_out(phone)

    async def test_of_nobody_is_a_failure(self, desk: Desk) -> None:
        code, out, problem = await desk.admin("suspend", "Vera")
        assert (code, out) == (1, "")
        assert problem == "eyeline: nobody by the name or id Vera has signed in yet\n"


class TestRestore:
    async def test_lets_them_in_again_on_the_same_device(self, desk: Desk) -> None:
        assert await desk.status() == "active"
        await desk.admin("suspend", "Viktor", EYELINE_VALKEY_URL=desk.valkey_url)
        assert await desk.admin("restore", "Viktor") == (0, "Viktor may sign in again.\n", "")
        assert await desk.status() == "active"

    async def test_of_somebody_who_is_not_out_is_a_failure(self, desk: Desk) -> None:
        await desk.phone()
        code, out, problem = await desk.admin("restore", "Viktor")
        assert (code, out) == (1, "")
        assert problem == "eyeline: nobody by the name or id Viktor is suspended\n"
