"""The composition root of the commands: what each needs of `infra`, put together, but for `serve` (`server/app.py`)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import aiohttp
from redis.exceptions import RedisError

from infra.embedded.child import EngineError, leashed
from infra.phone.account import Account
from infra.postgres.accounts import PostgresAccounts
from infra.postgres.checks import DatabaseChecks
from infra.postgres.desks import PostgresDesks
from infra.postgres.pool import open_pool
from infra.postgres.suspensions import PostgresSuspensions
from infra.valkey.checks import valkey_answers
from infra.valkey.cluster import connect
from infra.valkey.library import Library
from infra.valkey.mailboxes import ValkeyMailboxes
from server.accounts import AdminRole
from server.app import CLOSE_S, ice_of
from server.dev import ADMIN_NAME, DevError, DevOptions, Workshop, kept_secret, run_dev
from server.doctor import Check, all_of, examine, turn_checks
from server.groups import Desks
from server.settings import Settings
from server.socket.hub import SESSION_SUSPENDED
from signaling.ports import CarrierUnavailable
from signaling.privacy import RelayNets


async def grant(database_url: str, who: str, role: AdminRole) -> bool:
    """Give an admin role to the person with this id or dev sign-in name; False when there is none."""
    pool = await open_pool(database_url, 1, application_name="eyeline admin")
    try:
        return await PostgresAccounts(pool).grant(who, role) is not None
    finally:
        await asyncio.wait_for(pool.close(), timeout=CLOSE_S)


async def suspend(database_url: str, valkey_url: str | None, who: str, reason: str | None) -> bool | None:
    """Suspend the person with this id or dev sign-in name; None when there is none, else whether nodes were told.

    Nodes that were not told close the sockets when they next write down whom they saw. Looks end the rest.
    """
    pool = await open_pool(database_url, 1, application_name="eyeline admin")
    try:
        user_id = await PostgresAccounts(pool).find(who)
        ended = None if user_id is None else await PostgresSuspensions(pool).suspend(user_id, None, reason)
    finally:
        await asyncio.wait_for(pool.close(), timeout=CLOSE_S)
    if ended is None:
        return None
    return valkey_url is not None and await _tell_suspended(valkey_url, ended)


async def _tell_suspended(valkey_url: str, sessions: Sequence[UUID]) -> bool:
    """Have whoever holds the sockets of these sessions close them; False when Valkey does not do it."""
    valkey = connect(valkey_url)
    mailboxes = ValkeyMailboxes(valkey, Library(valkey))
    try:
        for session_id in sessions:
            await mailboxes.send_unnumbered(session_id, SESSION_SUSPENDED)
    except (CarrierUnavailable, RedisError):  # it is committed, whatever Valkey says
        return False
    finally:
        await valkey.aclose()
    return True


async def restore(database_url: str, who: str) -> bool:
    """Lift a suspension, and what kept their devices out; False when nobody of this name or id is suspended."""
    pool = await open_pool(database_url, 1, application_name="eyeline admin")
    try:
        user_id = await PostgresAccounts(pool).find(who)
        return user_id is not None and await PostgresSuspensions(pool).restore(user_id)
    finally:
        await asyncio.wait_for(pool.close(), timeout=CLOSE_S)


@asynccontextmanager
async def open_desks(database_url: str) -> AsyncIterator[Desks]:
    """Desks of organisations, for the command line."""
    pool = await open_pool(database_url, 1, application_name="eyeline admin")
    try:
        yield PostgresDesks(pool)
    finally:
        await asyncio.wait_for(pool.close(), timeout=CLOSE_S)


async def migrate(database_url: str) -> None:
    """Bring the database to this version's schema; any number may call it at once."""
    from infra.postgres.migrate import migrate as upgrade  # Alembic is as slow to load as all the rest of a node

    await upgrade(database_url)


def make_keys() -> tuple[str, str]:
    """A new VAPID key pair (RFC 8292): private, public."""
    from infra.webpush.keys import make_keys as make

    return make()


async def doctor(settings: Settings, trusted: Path | None, deadline_s: float, say: Callable[[str], None]) -> bool:
    """Whether everything these settings name is well (`eyeline doctor`), a line for each.

    `trusted` is a certificate, or a CA's, to trust besides the machine's own.
    """
    from infra.turn import relayed_address

    tls = ssl.create_default_context()
    if trusted:
        tls.load_verify_locations(trusted)

    async def postgres() -> str:
        pool = await open_pool(settings.database_url, 1)
        try:
            checks = DatabaseChecks(pool)
            await all_of(
                (checks.answers, "does it run?"),
                (checks.migrated, "run `eyeline migrate` of this version"),
                (checks.clock, "set the clock of this machine, or of Postgres"),
            )
            return "answers, with the schema of this version"
        finally:
            pool.terminate()

    async def valkey() -> str:
        client = connect(settings.valkey_url)
        try:
            await valkey_answers(client)
            await Library(client).load()
            return "answers, and takes our functions"
        finally:
            await client.aclose()

    async def allocate(url: str, username: str, credential: str) -> str:
        return await relayed_address(url, username, credential, tls)

    checks = [
        Check("Postgres", postgres, "does it run, and is EYELINE_DATABASE_URL right?"),
        Check("Valkey", valkey, "does it run, and is EYELINE_VALKEY_URL right?"),
        *turn_checks(ice_of(settings), RelayNets(settings.turn_relay_nets), allocate, datetime.now(UTC)),
    ]
    return await examine(checks, deadline_s, say)


async def develop(options: DevOptions, say: Callable[[str], None]) -> None:
    """Everything on one machine (`eyeline dev`). Raises `DevError`."""
    from infra.embedded.engines import EmbeddedEngines

    workshop = Workshop(EmbeddedEngines, migrate, _stand_ins, _demo_admin, _demo_phones, _demo_volunteer, _leash)
    try:
        await run_dev(options, workshop, say)
    except EngineError as error:
        raise DevError(str(error)) from error


async def _demo_admin(url: str, database_url: str, tls: ssl.SSLContext | None) -> None:
    async with aiohttp.ClientSession() as http:
        await Account(http, url, ssl=tls or True).sign_in(ADMIN_NAME)
    for role in ("observer", "moderator", "owner"):
        await grant(database_url, ADMIN_NAME, role)


@asynccontextmanager
async def _stand_ins(data: Path, say: Callable[[str], None]) -> AsyncIterator[Mapping[str, str]]:
    """Play the push providers that the environment names none for; gives the settings that lead a node to them."""
    from infra.standins.fcm import FcmStandIn
    from infra.standins.webpush import WebPushStandIn

    settings: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        if not os.environ.get("EYELINE_FIREBASE_PROJECT"):
            fcm = await stack.enter_async_context(FcmStandIn(on_push=say))
            account = data / "firebase_account.json"
            fcm.make_account(account)
            settings["FIREBASE_PROJECT"], settings["FIREBASE_CREDENTIALS"] = fcm.project, str(account)
            settings["FCM_URL"], settings["FIREBASE_SIGN_IN"] = fcm.url, "false"
        if not os.environ.get("EYELINE_VAPID_PRIVATE_KEY"):
            webpush = await stack.enter_async_context(WebPushStandIn(on_push=say))
            settings["VAPID_PRIVATE_KEY"] = kept_secret(data / "vapid_private_key", lambda: make_keys()[0])
            settings["VAPID_SUBJECT"], settings["WEBPUSH_VIA"] = "mailto:nobody@localhost", webpush.url
        yield settings


async def _demo_phones(url: str, tls: ssl.SSLContext | None) -> None:
    """Two volunteers whose app is closed: their phones are rung through the stand-in, which says so."""
    weekly = [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}]
    async with aiohttp.ClientSession() as http:
        for platform, name in (("android", "Paula with the app closed"), ("ios", "Piet with the app closed")):
            phone = Account(http, url, device_id=f"demo-{platform}", ssl=tls or True)
            user = await phone.sign_in(name)
            await phone.set_up(user, role="volunteer", languages=["en", "da"], time_zone="UTC")
            await phone.call("PUT", "/v1/me/availability", {"weekly": weekly})
            push = [{"kind": "fcm", "value": f"demo-{platform}"}]
            await phone.call("PUT", f"/v1/me/devices/demo-{platform}", {"platform": platform, "push": push})


async def _demo_volunteer(url: str, tls: ssl.SSLContext | None, say: Callable[[str], None]) -> None:
    from infra.phone.volunteer import run_demo_volunteer  # with it comes all of WebRTC, which a node never needs

    def on_event(event: str, details: Mapping[str, Any]) -> None:
        if event == "said":
            say(f"the demo volunteer writes: {details['text']}")
        elif event == "repeated":
            say("the demo volunteer writes back what it read")

    await run_demo_volunteer(url, ssl=tls or True, include_loopback=True, on_event=on_event)


async def call(
    url: str,
    role: Literal["requester", "volunteer"],
    *,
    language: str,
    media: Path | None,
    wait_s: float,
    trusted: Path | None,
    say: Callable[[str], None],
) -> bool:
    """One complete call from this terminal (`eyeline call`), a line per step; False when no frame came.

    `trusted` is a certificate to trust besides the machine's own, as `eyeline dev --lan` makes one.
    """
    from infra.phone.caller import place_call_or_say_why

    tls = ssl.create_default_context(cafile=trusted) if trusted else True
    return await place_call_or_say_why(url, role, language, media, say, wait_s=wait_s, ssl=tls)


async def probe(
    url: str,
    secret: str,
    *,
    every_s: float | None,
    metrics_port: int | None,
    trusted: Path | None,
    say: Callable[[str], None],
) -> bool:
    """Whole calls through a deployment's public address (`eyeline probe`), a line of JSON per round; whether the last
    round went well. `every_s`: None for one round."""
    from infra.phone.probe import run_probe

    tls = ssl.create_default_context(cafile=trusted) if trusted else True
    return await run_probe(url, secret, every_s=every_s, metrics_port=metrics_port, ssl=tls, say=say)


def simulate(
    seed: int,
    requests: int,
    *,
    as_json: bool,
    plots: Path | None,
    say: Callable[[str], None],
    on_step: Callable[[str], None],
) -> None:
    """Compare ways of asking people by simulation (`eyeline simulate`); pictures of it into the folder `plots`."""
    from infra.simulation import report  # which no node needs
    from infra.simulation.compare import Played, compare
    from infra.simulation.contenders import FIXED_FAMILY
    from infra.simulation.world import World

    def on_played(played: Played) -> None:
        on_step(f"{played.name} at a chance of {played.chance} is simulated")

    world = World(seed, requests)
    comparison = compare(world, on_played=on_played)
    for line in [json.dumps(report.as_json(comparison), indent=2)] if as_json else report.as_table(comparison):
        say(line)
    if plots is not None:
        from infra.simulation.plots import draw

        family = compare(world, FIXED_FAMILY, on_played=on_played)
        for path in draw({**comparison, **family}, plots):
            on_step(f"{path} is drawn")


def _leash(argv: Sequence[str]) -> list[str]:
    return leashed(argv, on_owner_death=signal.SIGTERM)
