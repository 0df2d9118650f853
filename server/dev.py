"""`eyeline dev`: everything on one machine: engines, schema, nodes, demo people, then one line per event."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import aiohttp

from server.dev_events import Narrator, clock
from server.dev_nodes import NodeFailed, NodeProcess, port_in_use
from server.lan import Certificate, NoNetwork, lan_address, make_certificate, qr_code
from server.settings import PREFIX, Settings, SettingsError

LOOPBACK = "127.0.0.1"
ADMIN_NAME = "admin"
"""The demo account with all admin roles."""
_ENGINE_WATCH_S = 0.5


class DevError(Exception):
    """`eyeline dev` cannot start or go on; the message is one line for a person."""


class Engines(Protocol):
    """The embedded engines, as the composition root hands them over."""

    @property
    def database_url(self) -> str: ...

    @property
    def valkey_url(self) -> str: ...

    def start(self, *, fresh: bool) -> None: ...

    def stop(self) -> None: ...

    def fallen(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Workshop:
    """What `eyeline dev` needs from outside the process; built by `server/commands.py`."""

    engines: Callable[[Path], Engines]
    migrate: Callable[[str], Awaitable[None]]
    """Given a database URL."""
    stand_ins: Callable[[Path, Callable[[str], None]], AbstractAsyncContextManager[Mapping[str, str]]]
    """Given the data directory and where to say what devices are sent: push providers played on this machine, and the
    settings (without their prefix) that lead a node to them."""
    demo_admin: Callable[[str, str, ssl.SSLContext | None], Awaitable[None]]
    """Given a node's URL and the database URL: see that `ADMIN_NAME` exists with all admin roles."""
    demo_phones: Callable[[str, ssl.SSLContext | None], Awaitable[None]]
    """Given a node's URL: see that there are volunteers whose app is closed."""
    demo_volunteer: Callable[[str, ssl.SSLContext | None, Callable[[str], None]], Awaitable[None]]
    """Given a node's URL and where to say what it does: answer calls until cancelled."""
    leash: Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True, slots=True)
class DevOptions:
    """The command's options, as given."""

    port: int
    nodes: int
    data: Path
    fresh: bool
    demo: bool
    lan: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the nodes listen and by what address people reach them."""

    listen: str
    address: str
    certificate: Certificate | None

    @property
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=self.certificate.certificate) if self.certificate else None

    def url(self, port: int) -> str:
        return f"http{'s' if self.certificate else ''}://{self.address}:{port}"


async def run_dev(options: DevOptions, workshop: Workshop, say: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM. Raises `DevError`; whichever way it ends, no process is left behind."""
    _check_ports(options)
    with _Signals() as stop:
        running = asyncio.create_task(_run(options, workshop, say))
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait([running, asked], return_when=asyncio.FIRST_COMPLETED)
        if asked.done() and not running.done():
            say("Stopping.")
        for task in (running, asked):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _run(options: DevOptions, workshop: Workshop, say: Callable[[str], None]) -> None:
    """Start everything, then watch it until cancelled; raises `DevError` when a part fails."""
    place = _place(options)
    async with AsyncExitStack() as stack:
        engines = workshop.engines(options.data)
        stack.callback(engines.stop)
        engines.start(fresh=options.fresh)
        pushed = workshop.stand_ins(options.data, lambda words: say(f"{clock()}  push            {words}"))
        settings = _node_settings(options, place, engines, await stack.enter_async_context(pushed))
        await _migrate(options, workshop, engines)
        nodes = await stack.enter_async_context(_nodes(options, place, settings, workshop, say))
        if options.demo:
            await workshop.demo_admin(nodes[0].url, engines.database_url, place.tls)
            await workshop.demo_phones(nodes[0].url, place.tls)
            await stack.enter_async_context(_demo_volunteer(nodes[0].url, place, workshop, say))
        say(_welcome(options, place))
        await _watch(nodes, engines)


def _welcome(options: DevOptions, place: _Place) -> str:
    """Where to look, printed once everything is ready."""
    url = place.url(options.port)
    lines = [
        "",
        "Eyeline is running. Open these in a browser:",
        f"  requester  {url}/requester",
        f"  volunteer  {url}/volunteer",
        f"  admin      {url}/admin" + (f"   (sign in as {ADMIN_NAME})" if options.demo else ""),
    ]
    if options.nodes > 1:
        others = ", ".join(place.url(options.port + number) for number in range(1, options.nodes))
        lines.append(f"The same pages are served by {others}.")
    if options.demo:
        lines.append("A demo volunteer answers whoever asks in English or Danish, so one browser tab is enough.")
        lines.append("Two more have the app closed: what their phones would be sent is shown here as it is pushed.")
    if options.lan:
        lines += ["", qr_code(f"{url}/requester"), "A phone on this network opens the requester page with this code;"]
        lines.append("its browser warns once, because this machine made the certificate itself.")
    return "\n".join([*lines, "Ctrl-C stops everything.", ""])


def _check_ports(options: DevOptions) -> None:
    last = options.port + options.nodes - 1
    if last > 65535:
        raise DevError(f"there is no port {last}; choose a lower one with --port")
    host = "0.0.0.0" if options.lan else LOOPBACK
    taken = [port for port in range(options.port, last + 1) if port_in_use(host, port)]
    if taken:
        raise DevError(f"port {taken[0]} is in use; stop what listens there or choose another with --port")


async def _migrate(options: DevOptions, workshop: Workshop, engines: Engines) -> None:
    try:
        await workshop.migrate(engines.database_url)
    except Exception as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise DevError(
            f"the schema of {options.data} cannot be brought up to date ({words[0]}); try --fresh"
        ) from error


def _place(options: DevOptions) -> _Place:
    if not options.lan:
        return _Place(LOOPBACK, LOOPBACK, None)
    try:
        address = lan_address()
    except NoNetwork as error:
        raise DevError(str(error)) from error
    return _Place("0.0.0.0", address, make_certificate(options.data / "lan", address))


def _node_settings(
    options: DevOptions, place: _Place, engines: Engines, stand_ins: Mapping[str, str]
) -> dict[str, str]:
    """The environment of every node but for its port: the user's own, with what this command decides."""
    decided = {
        "DATABASE_URL": engines.database_url,
        "VALKEY_URL": engines.valkey_url,
        "HOST": place.listen,
        "TOKEN_SECRET": kept_secret(options.data / "token_secret", lambda: secrets.token_urlsafe(48)),
        "ENVIRONMENT": "development",
        "DEV_SIGN_IN": "true",
        "LOG_FORMAT": "json",
        **stand_ins,
    }
    if place.certificate:
        decided["TLS_CERTIFICATE"] = str(place.certificate.certificate)
        decided["TLS_KEY"] = str(place.certificate.key)
    environ = {**os.environ, **{PREFIX + name: value for name, value in decided.items()}}
    try:
        Settings.from_env({**environ, f"{PREFIX}PORT": str(options.port)})
    except SettingsError as error:
        raise DevError(str(error)) from error
    return environ


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """Kept with the data, so that a restart signs nobody out and silences no browser."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(make())
    return path.read_text().strip()


@asynccontextmanager
async def _nodes(
    options: DevOptions, place: _Place, settings: Mapping[str, str], workshop: Workshop, say: Callable[[str], None]
) -> AsyncIterator[list[NodeProcess]]:
    """All nodes, ready; stopped at the end, all at once."""
    nodes: list[NodeProcess] = []
    narrator = Narrator()
    try:
        for number in range(1, options.nodes + 1):
            port = options.port + number - 1
            environ = {**settings, f"{PREFIX}PORT": str(port)}
            on_line = _printer(number, narrator, say)
            nodes.append(await NodeProcess.start(number, place.url(port), environ, on_line, workshop.leash))
        await _all_ready(nodes, place)
        yield nodes
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))


def _printer(number: int, narrator: Narrator, say: Callable[[str], None]) -> Callable[[str], None]:
    def on_line(raw: str) -> None:
        line = narrator.line(number, raw)
        if line is not None:
            say(line)

    return on_line


@asynccontextmanager
async def _demo_volunteer(
    url: str, place: _Place, workshop: Workshop, say: Callable[[str], None]
) -> AsyncIterator[None]:
    async def volunteer() -> None:
        try:
            await workshop.demo_volunteer(url, place.tls, lambda words: say(f"{clock()}  {words}"))
        except Exception as error:
            # The demo is an extra: without it everything else still works.
            say(f"The demo volunteer has gone: {type(error).__name__}: {error}")

    task = asyncio.create_task(volunteer(), name="demo volunteer")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _all_ready(nodes: list[NodeProcess], place: _Place) -> None:
    """Wait for all nodes at once; the first that fails ends the wait. Raises `DevError`."""
    async with aiohttp.ClientSession() as http:
        waits = [asyncio.create_task(node.until_ready(http, place.tls)) for node in nodes]
        try:
            await asyncio.gather(*waits)
        except NodeFailed as failure:
            raise DevError(str(failure)) from failure
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


async def _watch(nodes: list[NodeProcess], engines: Engines) -> None:
    """Raises `DevError` when a node or an engine ends by itself."""
    ends = [asyncio.create_task(node.until_it_ends()) for node in nodes]
    try:
        while True:
            ended, _ = await asyncio.wait(ends, timeout=_ENGINE_WATCH_S, return_when=asyncio.FIRST_COMPLETED)
            # Nodes outlive their engines, so a fallen engine is the cause and an ended node beside it the effect.
            if fallen := engines.fallen():
                raise DevError(f"{fallen} stopped by itself; its log is in the data directory")
            for end in ended:
                raise DevError(str(end.result()))
    finally:
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


class _Signals:
    """Inside it, SIGINT, SIGTERM and SIGHUP set an event instead of interrupting whatever runs."""

    _NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __enter__(self) -> asyncio.Event:
        stop = asyncio.Event()
        for number in self._NUMBERS:
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return stop

    def __exit__(self, *_: object) -> None:
        for number in self._NUMBERS:
            asyncio.get_running_loop().remove_signal_handler(number)
