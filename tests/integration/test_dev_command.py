"""`eyeline dev` as a person runs it: real engines, real nodes, Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

from infra.embedded.child import free_port
from tests.support.nodes import ROOT
from tests.support.ports import neighbouring_ports

pytestmark = pytest.mark.slow

PATIENCE_S = 40.0


class DevRun:
    """One `eyeline dev` and what it prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.printed = ""
        self.family: list[psutil.Process] = []

    async def until(self, words: str) -> None:
        """Read on until these words appear."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while words not in self.printed:
                raw = await self.process.stdout.readline()
                assert raw, f"ended without saying {words!r}:\n{self.printed}"
                self.printed += raw.decode()
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    async def end(self) -> tuple[int, str]:
        """Wait for its end; gives its code and what it printed on stderr."""
        async with asyncio.timeout(PATIENCE_S):
            out, err = await self.process.communicate()
        self.printed += out.decode()
        return self.process.returncode or 0, err.decode()

    async def left_behind(self) -> list[psutil.Process]:
        """After all deadlines of a node that is told to go while its database goes, too."""
        _, alive = await asyncio.to_thread(psutil.wait_procs, self.family, PATIENCE_S)
        return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@asynccontextmanager
async def dev(data: Path, port: int, *arguments: str) -> AsyncIterator[DevRun]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("EYELINE_")}
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "server.cli", "dev", "--data", str(data), "--port", str(port), *arguments],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        yield DevRun(process)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.communicate()


async def status(url: str) -> int:
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as reply:
        await reply.read()
        return reply.status


async def test_two_nodes_serve_all_pages_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    port = neighbouring_ports()
    async with dev(tmp_path / "data", port, "--nodes", "2", "--no-demo") as run:
        await run.until("Ctrl-C stops everything")
        for url in (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"):
            for page in ("", "requester", "volunteer", "admin", "docs", "openapi.json", "asyncapi.json", "readyz"):
                assert await status(f"{url}/{page}") == 200, page
        assert len(run.family) >= 4
        run.process.send_signal(signal.SIGINT)
        assert await run.end() == (0, "")
        assert await run.left_behind() == []


async def test_it_starts_again_on_the_same_data_with_demo_people(tmp_path: Path) -> None:
    port = free_port()
    for _ in range(2):
        async with dev(tmp_path / "data", port) as run:
            await run.until("Ctrl-C stops everything")
            run.process.send_signal(signal.SIGTERM)
            assert await run.end() == (0, "")


async def test_a_call_from_a_terminal_is_answered_by_the_demo_volunteer_on_another_node(tmp_path: Path) -> None:
    port = neighbouring_ports()
    async with dev(tmp_path / "data", port, "--nodes", "2") as run:
        await run.until("Ctrl-C stops everything")
        call = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", "server.cli", "call", "--as", "requester", "--url", f"http://127.0.0.1:{port + 1}"],
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        async with asyncio.timeout(PATIENCE_S):
            timeline, _ = await call.communicate()
        assert call.returncode == 0, timeline.decode()
        steps = [line.split(b" ms  ")[1].split(b":")[0].decode() for line in timeline.splitlines()]
        wanted = ["tap", "asked", "accepted", "first frame", "ended"]
        assert [step for step in steps if step in wanted] == wanted
        for line in (
            "a volunteer answered",
            "connected: picture",
            "the demo volunteer writes: I see",
            "call ended: done",
        ):
            await run.until(line)
        await run.until("request ended: completed")


async def test_killed_outright_it_leaves_nothing_and_starts_again(tmp_path: Path) -> None:
    port = free_port()
    async with dev(tmp_path / "data", port, "--no-demo") as run:
        await run.until("Ctrl-C stops everything")
        run.process.kill()
        await run.end()
        assert await run.left_behind() == []
    async with dev(tmp_path / "data", port, "--no-demo") as run:
        await run.until("Ctrl-C stops everything")


async def test_a_directory_in_use_is_one_line(tmp_path: Path) -> None:
    async with dev(tmp_path / "data", free_port(), "--no-demo") as first:
        await first.until("Ctrl-C stops everything")
        async with dev(tmp_path / "data", free_port(), "--no-demo") as second:
            code, error = await second.end()
    assert code == 1
    (line,) = error.splitlines()
    assert "is in use by another eyeline dev" in line


@pytest.mark.parametrize("name", ["postgres", "valkey-server"])
async def test_an_engine_that_dies_is_one_line(tmp_path: Path, name: str) -> None:
    async with dev(tmp_path / "data", free_port(), "--no-demo") as run:
        await run.until("Ctrl-C stops everything")
        engine = next(process for process in psutil.Process(run.process.pid).children() if process.name() == name)
        engine.kill()
        code, error = await run.end()
        assert code == 1
        (line,) = error.splitlines()
        assert "stopped by itself" in line
        assert await run.left_behind() == []


async def test_a_node_that_dies_is_one_line(tmp_path: Path) -> None:
    async with dev(tmp_path / "data", neighbouring_ports(), "--nodes", "2", "--no-demo") as run:
        await run.until("Ctrl-C stops everything")
        node = next(process for process in run.family if "serve" in process.cmdline())
        node.kill()
        code, error = await run.end()
        assert code == 1
        (line,) = error.splitlines()
        assert "was killed by SIGKILL" in line
        assert await run.left_behind() == []
