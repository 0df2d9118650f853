"""`eyeline probe`: whole calls through the public address of a deployment, both people played here.

They sign in by a secret of the deployment, speak a language that nobody else can, and so meet nobody but each other.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from infra.phone.account import TlsOption
from infra.phone.calls import PhoneCall
from infra.phone.client import PhoneClient
from infra.phone.errors import PhoneError
from infra.phone.loopback import include_loopback
from infra.phone.state import View
from infra.phone.tracks import clock_media, echo_media

STEPS = ("signed_in", "asked", "offered", "accepted", "connected", "first_picture", "ended")
STEP_DEADLINE_S = 20.0
LET_GO_S = 5.0
AS_AN_APP = "as_an_app"
"""`through` of a call that uses whatever the deployment gives it."""


@dataclass(slots=True)
class ProbeCall:
    """One call, and how long each of its steps took, in seconds."""

    through: str
    steps: dict[str, float] = field(default_factory=dict)
    failed_at: str | None = None
    why: str | None = None
    turn_urls: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        steps = {name: round(seconds, 3) for name, seconds in self.steps.items()}
        return {"through": self.through, "ok": self.failed_at is None, "steps": steps} | (
            {"failed_at": self.failed_at, "why": self.why} if self.failed_at else {}
        )


class ProbeMetrics:
    """What of it Prometheus is told; labels name steps and the deployment's own TURN URLs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["through", "step"]
        self._seconds = Gauge("eyeline_probe_step_seconds", "The step's last time", labels, registry=registry)
        self._failures = Counter("eyeline_probe_failures_total", "By the step that failed", labels, registry=registry)
        self._calls = Counter("eyeline_probe_calls_total", "Calls tried", ["through"], registry=registry)
        self._ok = Gauge("eyeline_probe_ok", "Whether the last call went well", ["through"], registry=registry)

    def count(self, call: ProbeCall) -> None:
        self._calls.labels(call.through).inc()
        self._ok.labels(call.through).set(call.failed_at is None)
        for step, seconds in call.steps.items():
            self._seconds.labels(call.through, step).set(seconds)
        for step in STEPS:  # at 0 from the first call on, so that a first failure is a rise
            self._failures.labels(call.through, step).inc(step == call.failed_at)


async def run_probe(
    url: str,
    secret: str,
    *,
    every_s: float | None,
    metrics_port: int | None,
    ssl: TlsOption,
    say: Callable[[str], None],
    registry: CollectorRegistry | None = None,
) -> bool:
    """Rounds until cancelled, a line of JSON each; with `every_s` None just one. Gives whether the last went well."""
    registry = registry or CollectorRegistry()
    metrics = ProbeMetrics(registry)
    if metrics_port is not None:
        start_http_server(metrics_port, registry=registry)
    if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
        include_loopback()
    turn_urls: Sequence[str] = ()
    while True:
        began = time.monotonic()
        calls = [await probe_call(url, secret, AS_AN_APP, ssl)]
        turn_urls = calls[0].turn_urls or turn_urls
        for turn_url in turn_urls:
            calls.append(await probe_call(url, secret, turn_url, ssl))
        for call in calls:
            metrics.count(call)
        ok = all(call.failed_at is None for call in calls)
        say(json.dumps({"ok": ok, "calls": [call.as_json() for call in calls]}))
        if every_s is None:
            return ok
        await asyncio.sleep(max(0.0, began + every_s - time.monotonic()))


async def probe_call(url: str, secret: str, through: str, ssl: TlsOption) -> ProbeCall:
    """From signing in to hanging up; never raises for what the deployment does."""
    call = ProbeCall(through)
    try:
        await _Probe(call, partial(_sign_in, url, secret, through, ssl)).run()
    except (PhoneError, TimeoutError, OSError) as error:
        call.failed_at = next(step for step in (*STEPS, "left") if step not in call.steps)
        call.why = str(error) or type(error).__name__
    return call


class _Probe:
    """Both people of one call."""

    def __init__(self, call: ProbeCall, sign_in: Callable[[str], PhoneClient]) -> None:
        self._call = call
        self._sign_in = sign_in
        self._since = time.monotonic()
        self._seen = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.timeout(STEP_DEADLINE_S) as step:
            async with self._sign_in("requester") as requester, self._sign_in("volunteer") as volunteer:
                try:
                    await self._go_through(requester, volunteer, step)
                finally:
                    await _let_go(requester, volunteer)

    async def _go_through(self, requester: PhoneClient, volunteer: PhoneClient, step: asyncio.Timeout) -> None:
        await volunteer.ready()
        self._done("signed_in", step)
        await requester.request_help()
        self._done("asked", step)
        offer = await volunteer.next_offer(timeout=None)
        self._done("offered", step)
        mine = await volunteer.accept(offer)
        theirs = (await requester.until(lambda state: state.live_call is not None, timeout=None)).live_call
        assert theirs is not None
        self._done("accepted", step)
        self._call.turn_urls = _turn_urls(mine)
        sides = (
            PhoneCall(requester, theirs, clock_media, through=self._through),
            PhoneCall(volunteer, mine, echo_media, self._listen, through=self._through),
        )
        running = [asyncio.create_task(side.run()) for side in sides]
        try:
            await self._meet(requester, step)
            await sides[0].end("done")
            await asyncio.gather(*running)
            self._done("ended", step)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _meet(self, requester: PhoneClient, step: asyncio.Timeout) -> None:
        """Told apart though either may come first: the later one took no time of its own."""
        state = await requester.until(lambda state: _state_of(state.call) in ("connected", "ended"), timeout=None)
        if _state_of(state.call) == "ended":
            raise PhoneError(f"the call ended: {(state.call or {}).get('end_reason')}")
        self._done("connected", step)
        await self._seen.wait()
        self._done("first_picture", step)

    def _done(self, name: str, step: asyncio.Timeout) -> None:
        now = time.monotonic()
        self._call.steps[name] = now - self._since
        self._since = now
        step.reschedule(asyncio.get_running_loop().time() + STEP_DEADLINE_S)

    def _listen(self, event: str, details: Mapping[str, Any]) -> None:
        if event == "first_video":
            self._seen.set()

    def _through(self, call: View) -> View:
        """The call with nothing but one TURN URL to go through."""
        if self._call.through == AS_AN_APP:
            return call
        servers = [
            {**server, "urls": [self._call.through]}
            for server in call["ice_servers"]
            if self._call.through in server["urls"]
        ]
        return {**call, "ice_servers": servers, "ice_policy": "relay"}


def _sign_in(url: str, secret: str, through: str, ssl: TlsOption, role: str) -> PhoneClient:
    """Two people for each way, so that nobody rests from the call before."""
    name = f"{role}-{hashlib.sha256(through.encode()).hexdigest()[:12]}"
    signed = f"{name}.{int(time.time())}"
    token = f"{signed}.{hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()}"
    return PhoneClient.sign_in(url, token, role=role, device_id=f"probe-{name}", ssl=ssl, provider="probe")


async def _let_go(*phones: PhoneClient) -> None:
    """Nothing is left over for the next round: no request, no call, no session."""
    for phone in phones:
        with suppress(PhoneError, TimeoutError):
            async with asyncio.timeout(LET_GO_S):
                request = phone.state.request
                if request is not None and request["state"] != "ended":
                    await phone.cancel_request(request["id"])
                await phone.account.call("DELETE", "/v1/sessions/current")


def _turn_urls(call: View) -> tuple[str, ...]:
    return tuple(url for server in call["ice_servers"] for url in server["urls"] if url.startswith("turn"))


def _state_of(call: View | None) -> str | None:
    return call["state"] if call is not None else None
