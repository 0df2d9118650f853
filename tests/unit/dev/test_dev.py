"""`eyeline dev` with stand-ins for all outside it: engines that only count, nodes that only say they are ready."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from infra.webpush.keys import make_keys
from server import dev
from server.dev import DevError, DevOptions, Workshop, run_dev
from server.lan import NoNetwork
from tests.support.ports import neighbouring_ports

NODE = """
import http.server, json, os, signal, ssl, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = http.server.HTTPServer((os.environ["EYELINE_HOST"], int(os.environ["EYELINE_PORT"])), Ready)
if "EYELINE_TLS_KEY" in os.environ:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(os.environ["EYELINE_TLS_CERTIFICATE"], os.environ["EYELINE_TLS_KEY"])
    server.socket = tls.wrap_socket(server.socket, server_side=True)
print(json.dumps({"event": "request", "request": os.environ["EYELINE_PORT"], "state": "connecting"}), flush=True)
server.serve_forever()
"""
DIES_AT_ONCE = "print('first words'); print('eyeline: last words'); raise SystemExit(3)"
DIES_LATER = NODE.replace("server.serve_forever()", "server.handle_request(); raise SystemExit(4)")


@dataclass
class CountingEngines:
    """Stands in for Postgres and Valkey."""

    running: bool = False
    started_fresh: bool = False
    fell: str | None = None
    database_url: str = "postgresql://eyeline@127.0.0.1/postgres"
    valkey_url: str = "redis://127.0.0.1/0"

    def start(self, *, fresh: bool) -> None:
        self.running, self.started_fresh = True, fresh

    def stop(self) -> None:
        self.running = False

    def fallen(self) -> str | None:
        return self.fell


@dataclass
class Stage:
    """One run of `eyeline dev`, what it said and what became of it."""

    options: DevOptions
    engines: CountingEngines = field(default_factory=CountingEngines)
    programs: list[str] = field(default_factory=lambda: [NODE])
    said: list[str] = field(default_factory=list)
    spoke: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Event = field(default_factory=asyncio.Event)
    migrated: list[str] = field(default_factory=list)
    demo: list[str] = field(default_factory=list)
    volunteer_fails: bool = False
    migration_fails: bool = False

    async def run(self) -> None:
        workshop = Workshop(
            engines=lambda _: self.engines,
            migrate=self._migrate,
            stand_ins=self._stand_ins,
            demo_admin=self._demo_admin,
            demo_phones=self._demo_phones,
            demo_volunteer=self._demo_volunteer,
            leash=self._leash,
        )
        self.options.data.mkdir(exist_ok=True)
        async with asyncio.timeout(30):
            await run_dev(self.options, workshop, self._say)

    async def run_until_running_then(self, number: signal.Signals) -> None:
        run = asyncio.create_task(self.run())
        running = asyncio.create_task(self.running.wait())
        await asyncio.wait([run, running], return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        os.kill(os.getpid(), number)
        await run

    def _say(self, line: str) -> None:
        self.said.append(line)
        self.spoke.set()
        if "Eyeline is running" in line:
            self.running.set()

    def _leash(self, argv: Sequence[str]) -> list[str]:
        assert list(argv[-3:]) == ["-m", "server.cli", "serve"]
        return [sys.executable, "-c", self.programs.pop(0) if len(self.programs) > 1 else self.programs[0]]

    async def _migrate(self, database_url: str) -> None:
        if self.migration_fails:
            raise ValueError("no such revision\nand more")
        self.migrated.append(database_url)

    @asynccontextmanager
    async def _stand_ins(self, data: Path, say: Callable[[str], None]) -> AsyncIterator[Mapping[str, str]]:
        yield {"VAPID_SUBJECT": "mailto:ops@help.example", "VAPID_PRIVATE_KEY": make_keys()[0]}

    async def _demo_phones(self, url: str, _: ssl.SSLContext | None) -> None:
        self.demo.append(f"phones at {url}")

    async def _demo_admin(self, url: str, _: str, __: ssl.SSLContext | None) -> None:
        self.demo.append(f"admin at {url}")

    async def _demo_volunteer(self, url: str, _: ssl.SSLContext | None, say: Callable[[str], None]) -> None:
        self.demo.append(f"volunteer at {url}")
        say("the demo volunteer writes: hello")
        if self.volunteer_fails:
            raise ValueError("no voice")
        await asyncio.Event().wait()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for name in [name for name in os.environ if name.startswith("EYELINE_")]:
        monkeypatch.delenv(name)
    return Stage(
        DevOptions(port=neighbouring_ports(), nodes=1, data=tmp_path / "data", fresh=False, demo=True, lan=False)
    )


def nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class TestARun:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    async def test_says_where_to_look_and_stops_cleanly(self, stage: Stage, number: signal.Signals) -> None:
        await stage.run_until_running_then(number)
        url = f"http://127.0.0.1:{stage.options.port}"
        (welcome,) = [line for line in stage.said if "Eyeline is running" in line]
        for page in ("requester", "volunteer", "admin"):
            assert f"{url}/{page}" in welcome
        assert stage.said[-1] == "Stopping."
        assert stage.migrated == [stage.engines.database_url]
        assert stage.demo == [f"admin at {url}", f"phones at {url}", f"volunteer at {url}"]
        assert any(re.fullmatch(r"\d\d:\d\d:\d\d  the demo volunteer writes: hello", line) for line in stage.said)
        assert not stage.engines.running
        assert nobody_listens(stage.options.port)

    async def test_shows_what_happens_on_every_node(self, stage: Stage) -> None:
        stage.options = replace(stage.options, nodes=2, demo=False, fresh=True)
        await stage.run_until_running_then(signal.SIGINT)
        for number, port in ((1, stage.options.port), (2, stage.options.port + 1)):
            (line,) = [line for line in stage.said if f"node {number}" in line]
            assert re.search(rf"{port} +a volunteer answered$", line)
        assert stage.engines.started_fresh
        assert stage.demo == []
        assert f"served by http://127.0.0.1:{stage.options.port + 1}" in "\n".join(stage.said)

    async def test_on_the_lan_speaks_https_and_shows_a_code(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dev, "lan_address", lambda: "127.0.0.1")
        stage.options = replace(stage.options, lan=True)
        await stage.run_until_running_then(signal.SIGINT)
        said = "\n".join(stage.said)
        assert f"https://127.0.0.1:{stage.options.port}/requester" in said
        assert "█" in said

    async def test_the_secret_outlives_it(self, stage: Stage) -> None:
        await stage.run_until_running_then(signal.SIGINT)
        secret = (stage.options.data / "token_secret").read_text()
        assert len(secret) >= 32
        stage.running.clear()
        await stage.run_until_running_then(signal.SIGINT)
        assert (stage.options.data / "token_secret").read_text() == secret

    async def test_goes_on_without_the_demo_volunteer(self, stage: Stage) -> None:
        stage.volunteer_fails = True
        await stage.run_until_running_then(signal.SIGINT)
        assert "The demo volunteer has gone: ValueError: no voice" in stage.said

    async def test_can_be_stopped_while_it_starts(self, stage: Stage) -> None:
        stage.programs = ["import time; print('[]', flush=True); time.sleep(60)"]
        run = asyncio.create_task(stage.run())
        async with asyncio.timeout(10):
            await stage.spoke.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await run
        assert not stage.engines.running


class TestOneClearLine:
    async def problem(self, stage: Stage) -> str:
        with pytest.raises(DevError) as caught:
            await stage.run()
        assert not stage.engines.running
        assert nobody_listens(stage.options.port)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    async def test_for_a_port_in_use(self, stage: Stage) -> None:
        stage.options = replace(stage.options, nodes=2)
        taken = stage.options.port + 1
        with socket.socket() as other:
            other.bind(("127.0.0.1", taken))
            other.listen()
            problem = await self.problem(stage)
        assert problem == f"port {taken} is in use; stop what listens there or choose another with --port"

    async def test_for_ports_that_do_not_exist(self, stage: Stage) -> None:
        stage.options = replace(stage.options, port=65535, nodes=2)
        assert await self.problem(stage) == "there is no port 65536; choose a lower one with --port"

    async def test_for_a_bad_setting(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EYELINE_OFFER_S", "soon")
        assert await self.problem(stage) == "bad settings: EYELINE_OFFER_S: not a valid number"

    async def test_for_a_schema_that_cannot_be_brought_up(self, stage: Stage) -> None:
        stage.migration_fails = True
        assert "cannot be brought up to date (no such revision); try --fresh" in await self.problem(stage)

    async def test_for_a_node_that_dies_at_once(self, stage: Stage) -> None:
        stage.programs = [DIES_AT_ONCE]
        assert (await self.problem(stage)).endswith("ended with code 3: eyeline: last words")

    async def test_for_a_node_that_dies_later(self, stage: Stage) -> None:
        stage.options = replace(stage.options, nodes=2)
        stage.programs = [NODE, DIES_LATER]
        assert (await self.problem(stage)).startswith(f"node 2 (http://127.0.0.1:{stage.options.port + 1}) ended with")

    async def test_for_an_engine_that_stops(self, stage: Stage) -> None:
        stage.engines.fell = "Valkey"
        assert await self.problem(stage) == "Valkey stopped by itself; its log is in the data directory"

    async def test_for_a_machine_without_network(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        def unreachable() -> str:
            raise NoNetwork("this machine has no network address")

        monkeypatch.setattr(dev, "lan_address", unreachable)
        stage.options = replace(stage.options, lan=True)
        assert await self.problem(stage) == "this machine has no network address"
