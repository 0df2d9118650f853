"""Forked processes are like fresh ones, as far as a node can tell."""

from __future__ import annotations

import os
import signal

from tests.support.nursery import Forked, forked

ENV = {"PATH": os.environ["PATH"]}


async def runs(code: str, **env: str) -> Forked:
    """`code` on a line, run once as a program."""
    return await forked(["timeit", "-n1", "-r1", code], {**ENV, **env})


async def printed(code: str, **env: str) -> str:
    child = await runs(code, **env)
    text = await child.stdout.read()
    assert await child.wait() == 0
    return text.decode()


async def test_the_environment_is_the_one_given_and_nothing_else() -> None:
    os.environ["OURS_ALONE"] = "1"
    try:
        found = await printed("import os; print(sorted(os.environ))", THEIRS="2")
    finally:
        del os.environ["OURS_ALONE"]
    assert found.startswith("['PATH', 'THEIRS']")


async def test_no_two_draw_the_same_random_numbers() -> None:
    first, second = [await printed("import random; print(random.getrandbits(64))") for _ in range(2)]
    assert first.split()[0] != second.split()[0]


async def test_the_end_is_told_as_of_a_child_of_our_own() -> None:
    failing = await forked(["json.tool", "/nowhere"], ENV)
    assert b"No such file" in await failing.stdout.read()
    assert await failing.wait() != 0
    endless = await runs("import signal; print('here'); signal.pause()")
    assert await endless.stdout.readline() == b"here\n"
    endless.send_signal(signal.SIGKILL)
    assert await endless.wait() == endless.returncode == -signal.SIGKILL
    assert await endless.stdout.read() == b""
