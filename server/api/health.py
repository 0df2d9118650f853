"""For whoever runs the nodes: is this process alive, may it be given work, what does it count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from server.errors import ApiError
from server.routing import NO_STORE, Exchange, Reply, Route

CHECK_WITHIN_S = 2.0

Check = Callable[[], Awaitable[str | None]]
"""None when all is well, else a few words on what is not. An exception is reported by its kind."""


class Alive(msgspec.Struct, frozen=True):
    alive: bool


class Ready(msgspec.Struct, frozen=True):
    """Every check passed; `checks` names them."""

    ready: bool
    checks: list[str]


class HealthApi:
    """`checks` by name, run side by side for each question: what a node needs before people may be sent to it."""

    def __init__(self, checks: Mapping[str, Check], registry: CollectorRegistry = REGISTRY) -> None:
        self._checks = checks
        self._registry = registry

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/livez", self.alive, reply=Alive, auth="none", limit="none", summary="The process answers"),
            Route(
                "GET",
                "/readyz",
                self.ready,
                reply=Ready,
                auth="none",
                limit="none",
                errors=("unavailable",),
                no_store=True,
                summary="May be given work; 503 names what is not ready",
            ),
            Route("GET", "/metrics", self.metrics, auth="none", limit="none", summary="Prometheus text format"),
        ]

    async def alive(self, exchange: Exchange[None]) -> Alive:
        return Alive(True)

    async def ready(self, exchange: Exchange[None]) -> Ready:
        problems = await asyncio.gather(*map(_problem, self._checks.values()))
        not_ready = {name: problem for name, problem in zip(self._checks, problems, strict=True) if problem}
        if not_ready:
            raise ApiError(
                503,
                "unavailable",
                "this node is not ready",
                retryable=True,
                details={"not_ready": not_ready},
                retry_after_s=1,
            )
        return Ready(True, list(self._checks))

    async def metrics(self, exchange: Exchange[None]) -> Reply:
        return Reply(generate_latest(self._registry), headers=NO_STORE, content_type=CONTENT_TYPE_PLAIN_0_0_4)


async def _problem(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            return await check()
    except TimeoutError:
        return "no answer in time"
    except Exception as error:
        return type(error).__name__
