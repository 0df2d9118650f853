"""The composition root of a node: knows which adapter serves which port. `server/commands.py` is that of the commands;
nothing else imports `infra`.

`open_node` builds one node; `serve` runs it until SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from aiohttp import web
from redis.exceptions import RedisError

from infra.firebase.unavailable import SignInUnavailable
from infra.postgres.accounts import PostgresAccounts
from infra.postgres.call_book import PostgresCallBook
from infra.postgres.chances import PostgresChances
from infra.postgres.checks import DatabaseChecks
from infra.postgres.clock import DatabaseClock
from infra.postgres.desks import PostgresDesks
from infra.postgres.figures import PostgresFigures
from infra.postgres.groups import PostgresGroups
from infra.postgres.listings import PostgresListings
from infra.postgres.news import PostgresNews
from infra.postgres.pool import OUTAGES, open_pool
from infra.postgres.practice_book import AllCalls, PostgresPracticeBook
from infra.postgres.presence import PostgresPresence
from infra.postgres.probes import PostgresProbes
from infra.postgres.quality import PostgresQuality
from infra.postgres.request_book import BookLimits, PostgresRequestBook
from infra.postgres.suspensions import PostgresSuspensions
from infra.postgres.wakes import PostgresWakes
from infra.valkey.answers import ValkeyAnswers
from infra.valkey.checks import valkey_answers
from infra.valkey.cluster import Valkey, connect
from infra.valkey.generation import Generation
from infra.valkey.index import ValkeyIndex
from infra.valkey.keys import Shards
from infra.valkey.library import Library
from infra.valkey.limits import ValkeyLimits
from infra.valkey.mailboxes import ValkeyMailboxes
from infra.valkey.negotiations import ValkeyNegotiations
from infra.valkey.push_budget import ValkeyPushBudget
from matching.chances import Chances
from matching.help_desk import HelpDesk
from matching.pace import Pace
from matching.ports import IndexUnavailable
from matching.waking import Pusher
from server.admin_feed import AdminFeed
from server.api.accounts import AccountsApi
from server.api.admin import AdminApi, AdminSockets
from server.api.admin_desks import AdminDesksApi
from server.api.calls import CallsApi
from server.api.groups import GroupsApi
from server.api.health import HealthApi
from server.api.help import HelpApi
from server.api.moderation import ModerationApi
from server.api.pages import Pages
from server.api.practice import PracticeApi
from server.api.push import PushApi
from server.api.reference import Reference
from server.api.sessions import SessionsApi
from server.auth import AccessTokens, Authenticator, DevSignIn, FirebaseProvider, ProbeSignIn, SignIn
from server.call_reports import COUNT_EVERY_S, CallReports
from server.consequences import request_follows_call
from server.desk import Desk
from server.failures import FailureReports
from server.ice import IceServers
from server.learning import LEARN_EVERY_S, Learning
from server.limits import Limits
from server.logs import configure_logging
from server.memory import look_for_garbage_rarely
from server.practice import CallHerald, Practice
from server.practice_line import PhoneLine
from server.push_services import is_push_endpoint
from server.push_words import CataloguePushWords
from server.rebirth import Rebirth
from server.rounds import Rounds
from server.routing import BODY_BYTES_MAX, Boundary, Route
from server.settings import Settings
from server.socket.endpoint import PATH, SocketEndpoint
from server.socket.frames import Frames
from server.socket.hub import SESSION_ENDED, SESSION_SILENT, SESSION_SUSPENDED, Hub
from server.socket.reading import Services
from server.socket.rules import SocketRules
from server.tasks import Errands, ended, every, lasting
from server.telling import Telling
from server.waking import Waking
from signaling.model import Call
from signaling.ports import CarrierUnavailable
from signaling.privacy import RelayNets
from signaling.switchboard import Switchboard

log = structlog.get_logger()

Loop = Callable[[], Coroutine[Any, Any, None]]

CLOSE_S = 5.0
FAILURES = (*OUTAGES, asyncpg.PostgresError, RedisError)
"""What commands raise when an engine or the port cannot be had: nobody's bug, told in one line."""
FRESH = timedelta(seconds=15)
"""A ready session counts as hot while it was seen within this time: three heartbeats."""
REPORTS_EVERY_S = 2.0
FORGET_EVERY_S = 60.0
BURST_S = 4
"""So many seconds' worth of frames may come at once on a socket."""


@dataclass(frozen=True, slots=True)
class Push:
    """How closed apps are woken, as far as the settings say how."""

    pushers: Mapping[str, Pusher]
    vapid_key: str | None
    loops: tuple[Loop, ...]


@asynccontextmanager
async def _open_push(settings: Settings, library: Library, clock: DatabaseClock) -> AsyncIterator[Push]:
    words = cache(CataloguePushWords)  # reading them takes long
    pushers: dict[str, Pusher] = {}
    loops: list[Loop] = []
    vapid_key: str | None = None
    async with AsyncExitStack() as stack:
        if settings.firebase_project is not None and settings.firebase_credentials is not None:
            from infra.firebase.credentials import AccessTokens as FcmTokens  # Google's SDK is slow to load
            from infra.firebase.push import FcmPusher
            from infra.firebase.transport import Transport as FcmTransport

            tokens = FcmTokens(settings.firebase_credentials)
            transport = FcmTransport(settings.firebase_project, settings.fcm_url)
            pushers["fcm"] = fcm = FcmPusher(transport, tokens, ValkeyPushBudget(library), words(), clock)
            stack.push_async_callback(tokens.close)
            stack.push_async_callback(fcm.close)
            loops.append(lambda: lasting("fcm tokens", tokens.run))
        if settings.vapid_private_key is not None and settings.vapid_subject is not None:
            from infra.webpush.keys import load as load_vapid_keys
            from infra.webpush.push import WebPushPusher
            from infra.webpush.vapid import Vapid

            keys = load_vapid_keys(settings.vapid_private_key)
            vapid = Vapid(keys, settings.vapid_subject, clock)
            pushers["webpush"] = browsers = WebPushPusher(vapid, words(), is_push_endpoint, clock, settings.webpush_via)
            vapid_key = keys.public
            stack.push_async_callback(browsers.close)
        yield Push(pushers, vapid_key, tuple(loops))


@asynccontextmanager
async def _open_providers(settings: Settings) -> AsyncIterator[Mapping[str, SignIn]]:
    """The sign-in providers that are switched on, by the contract's name."""
    providers: dict[str, SignIn] = {"dev": DevSignIn()} if settings.dev_sign_in else {}
    if settings.probe_secret is not None:
        providers["probe"] = ProbeSignIn(settings.probe_secret)
    async with AsyncExitStack() as stack:
        if settings.firebase_sign_in and settings.firebase_project is not None:
            from infra.firebase.sign_in import FirebaseSignIn

            emulator = settings.environment == "development"
            firebase = FirebaseSignIn(settings.firebase_project, settings.firebase_credentials, emulator=emulator)
            stack.push_async_callback(firebase.close)
            providers["firebase"] = FirebaseProvider(firebase)
        yield providers


class Node:
    """One node's objects, each built once, from the engines outwards."""

    def __init__(
        self,
        settings: Settings,
        pool: asyncpg.Pool,
        valkey: Valkey,
        clock: DatabaseClock,
        push: Push,
        providers: Mapping[str, SignIn],
    ) -> None:
        limits = Limits.of(settings)
        book_limits = BookLimits(limits.request, limits.call.connecting, FRESH)
        library, shards = Library(valkey), Shards(settings.shards)
        self.errands = Errands()
        self.clock = clock
        self._push = push
        self._providers = providers
        self.news = PostgresNews(pool)
        self.presence = PostgresPresence(pool, FRESH)
        self.generation = Generation(library, shards)
        self.mailboxes = ValkeyMailboxes(valkey, library, lambda delivery: self.hub.deliver(delivery))
        self.index = ValkeyIndex(library, shards)
        self.accounts = PostgresAccounts(pool)
        self.suspensions = PostgresSuspensions(pool)
        self.groups = PostgresGroups(pool)
        self.desks = PostgresDesks(pool)
        self._https = settings.tls_certificate is not None
        half_life = timedelta(days=settings.chance_half_life_days)
        learned = PostgresChances(pool, limits.delay, limits.priors, half_life)
        self.learning = Learning(learned, Chances(priors=limits.priors))
        self._audience = limits.asking.audience
        self.limiter = ValkeyLimits(library)
        book = PostgresRequestBook(pool, book_limits)
        listings = PostgresListings(pool, FRESH)
        ice = ice_of(settings)
        telling = Telling(self.news, self.news, self.mailboxes, ice, OUTAGES, self._wake_soon)
        pace = Pace(limits.waves, lambda: self.learning.chances, limits.request)
        self.help_desk = HelpDesk(book, self.index, listings, telling, pace, limits.asking)

        async def on_call_ended(call: Call, now: datetime) -> None:
            if call.practice is not None:
                await self.practice.changed(call)
            else:
                await self.desk.on_call_ended(call, now)

        async def tell_practice(call_id: UUID) -> None:
            await self.practice.tell(call_id)

        self.quality = PostgresQuality(pool)
        self.probes = PostgresProbes(pool)
        follow, wrap_up = request_follows_call(limits.request), limits.asking.wrap_up
        practices = PostgresPracticeBook(pool, limits.call.connecting)
        calls = AllCalls(PostgresCallBook(pool, follow, limits.call, wrap_up, self.quality), practices)
        negotiations = ValkeyNegotiations(valkey, library)
        herald = CallHerald(telling, tell_practice)
        switchboard = Switchboard(calls, self.mailboxes, negotiations, herald, on_call_ended, limits.call)
        self.desk = Desk(self.help_desk, switchboard, book, telling, ice, self.errands, self.clock)
        self.waking = Waking(
            PostgresWakes(pool), push.pushers, self.clock, self.desk.look_soon, self.desk.person_changed
        )
        self.tokens = AccessTokens(settings.token_secret, settings.access_token_s)
        self.authenticator = Authenticator(self.tokens, self.accounts, self.presence.seen)
        relays = RelayNets(settings.turn_relay_nets) if settings.ice_policy == "relay" else None
        self.reports = CallReports(self.quality)
        frames = Frames(self.desk, self.presence, telling, OUTAGES, self.reports, relays)
        self.practice = Practice(
            practices,
            self.desk,
            telling,
            self.mailboxes,
            frames,
            partial(_practice_phone, settings.environment == "development"),
            OUTAGES,
            at_once=settings.practice_calls,
        )
        rules = SocketRules(
            heartbeat_s=settings.heartbeat_s,
            frames_per_s=settings.frame_rate,
            frames_burst=BURST_S * settings.frame_rate,
        )
        self.hub = Hub(self.mailboxes, frames, self.clock, rules)
        services = Services(frames, ValkeyAnswers(valkey, library), self.authenticator, self.limiter, self.clock, rules)
        self.sockets = SocketEndpoint(self.hub, services, settings.origins)
        close_silent = partial(self._close_socket, SESSION_SILENT)
        self.rounds = Rounds(self.desk, self.presence, listings, close_silent, self._close_ended)
        self.rebirth = Rebirth(self.generation, self.hub, book, self.index, listings)
        self.feed = AdminFeed(PostgresFigures(pool), self.index)
        self.admin_sockets = AdminSockets(self.feed, self.authenticator, settings.origins)
        checks = DatabaseChecks(pool)
        self._health = HealthApi(
            {
                "postgres": checks.answers,
                "migrations": checks.migrated,
                "clock": checks.clock,
                "valkey": partial(valkey_answers, valkey),
            }
        )

    def routes(self) -> list[Route]:
        """Every call of the HTTP API."""
        return [
            *self._health.routes(),
            *SessionsApi(self.accounts, self.tokens, self._providers, self._session_ended).routes(),
            *AccountsApi(self.accounts, self.desk.person_changed).routes(),
            *HelpApi(self.desk, self.help_desk, self.groups, self._audience, self.clock).routes(),
            *CallsApi(self.desk).routes(),
            *PracticeApi(self.practice).routes(),
            *PushApi(self._push.vapid_key).routes(),
            *GroupsApi(self.groups, self.desks, self.limiter, https=self._https).routes(),
            *AdminApi(self.feed).routes(),
            *AdminDesksApi(self.desks, https=self._https).routes(),
            *ModerationApi(self.suspensions, self._suspended).routes(),
        ]

    def _wake_soon(self, request_id: UUID) -> None:
        """Ring, or replace rings; should the errand be dropped, the next look at the request comes back to it."""
        self.errands.start("waking", self.waking.wake(request_id))

    async def _session_ended(self, session_id: UUID) -> None:
        self._close_socket(SESSION_ENDED, session_id)

    async def _suspended(self, person_id: UUID, sessions: Sequence[UUID]) -> None:
        for session_id in sessions:
            self._close_socket(SESSION_SUSPENDED, session_id)
        await self.desk.suspended(person_id)

    def _close_ended(self, session_id: UUID, suspended: bool) -> None:
        self._close_socket(SESSION_SUSPENDED if suspended else SESSION_ENDED, session_id)

    def _close_socket(self, why: bytes, session_id: UUID) -> None:
        """Whoever holds the session's socket closes it; soon, because why is committed, with Valkey or without."""
        self.errands.start("closing a socket elsewhere", self.mailboxes.send_unnumbered(session_id, why))

    def loops(self) -> list[Loop]:
        """What runs as long as the node does."""
        return [
            *self.rounds.loops(self.clock.measure),
            *self.rebirth.loops(),
            *self._push.loops,
            lambda: every(LEARN_EVERY_S, "chances", self.learning.learn),
            lambda: every(REPORTS_EVERY_S, "reports", self.quality.flush),
            lambda: every(FORGET_EVERY_S, "reports of the past", self.quality.forget),
            lambda: every(FORGET_EVERY_S, "probes of the past", self.probes.forget),
            lambda: every(COUNT_EVERY_S, "sides of calls", self.reports.count),
            lambda: lasting("marks", self.news.run),
            lambda: lasting("sockets", self.hub.run),
            self.practice.run,
        ]


@asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[web.Application]:
    """One node as an aiohttp application, its engines open; the application's life runs its loops."""
    pool = await open_pool(settings.database_url, settings.database_pool)
    valkey = connect(settings.valkey_url)
    clock = DatabaseClock(pool)
    try:
        await clock.measure()
        async with _open_push(settings, Library(valkey), clock) as push, _open_providers(settings) as providers:
            yield _application(Node(settings, pool, valkey, clock, push, providers))
    finally:
        await valkey.aclose()
        try:
            await asyncio.wait_for(pool.close(), timeout=CLOSE_S)
        except TimeoutError:
            pool.terminate()


def _application(node: Node) -> web.Application:
    reports = FailureReports((*OUTAGES, CarrierUnavailable, IndexUnavailable, SignInUnavailable))
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[reports.middleware])
    routes = node.routes()
    Boundary(node.authenticator, node.limiter).register(app, routes)
    Reference(routes).register(app)
    Pages().register(app)
    node.admin_sockets.register(app)
    app.router.add_get(PATH, node.sockets.handle)

    async def run_loops(_app: web.Application) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop()) for loop in node.loops()]
            yield
            await node.errands.finish(within_s=CLOSE_S)
            await ended(tasks)
        try:
            await node.presence.flush()
            await node.news.flush()
        except OUTAGES as error:
            log.warning("last marks lost", error=type(error).__name__)

    async def drain(_app: web.Application) -> None:
        await asyncio.gather(node.hub.drain(), node.admin_sockets.close())

    app.cleanup_ctx.append(run_loops)
    app.on_shutdown.append(drain)
    return app


async def _practice_phone(on_this_machine: bool, view: dict[str, Any], line: PhoneLine) -> None:
    # With it comes all of WebRTC, which most nodes never need and which takes long to load: everybody else goes on.
    await asyncio.to_thread(importlib.import_module, "infra.phone.practice")
    from infra.phone.loopback import include_loopback
    from infra.phone.practice import practise

    if on_this_machine:
        include_loopback()
    await practise(view, line)


def ice_of(settings: Settings) -> IceServers:
    life = timedelta(seconds=settings.ice_lifetime_s)
    return IceServers(settings.stun_urls, settings.turn_urls, settings.turn_secret, life, settings.ice_policy)


async def serve(settings: Settings) -> None:
    """Run one node until it is told to stop."""
    configure_logging(settings.log_format)
    async with open_node(settings) as app:
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=CLOSE_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.host, settings.port, ssl_context=_tls(settings)).start()
            look_for_garbage_rarely()
            await _told_to_stop()
        finally:
            await runner.cleanup()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


async def _told_to_stop() -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
