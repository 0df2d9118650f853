"""A phone that remembers everything it was told, so that a test can say afterwards whether it ever heard old news."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import uuid4

from infra.phone.account import Account
from infra.phone.client import Person, PhoneClient
from infra.phone.errors import ApiError, FrameRefused, ServerUnreachable
from infra.phone.state import Frame, View

T = TypeVar("T")

STATES = ("waiting", "connecting", "in_call", "ended")
AGAIN_S = 0.1
PATIENCE_S = 20.0
"""Nothing a test waits for takes so long, on a busy machine too; what does has failed."""


class Witness(PhoneClient):
    """A scripted person. `told` has every message that meant something, welcomes included, in order of arrival."""

    def __init__(self, account: Account, person: Person, *, owns_http: bool) -> None:
        super().__init__(account, person, owns_http=owns_http)
        self.told: list[tuple[float, Frame]] = []
        self.name = person.name

    def _welcome(self, frame: Frame) -> None:
        self.told.append((time.monotonic(), frame))
        super()._welcome(frame)

    def _deliver(self, frame: Frame) -> None:
        if frame.get("type") != "welcome" and not frame.get("from_snapshot"):
            self.told.append((time.monotonic(), frame))
        super()._deliver(frame)

    @property
    def incarnation(self) -> str | None:
        """Of the mailbox, as last welcomed."""
        return self._shared.cursor.incarnation

    # -- persistence: what an app does when an answer does not come -------------------------------------------------

    async def ask_on(self, key: str | None = None, **wishes: Any) -> View:
        """Ask for help until a node says it is in the books."""
        headers = {"Idempotency-Key": key or str(uuid4())}
        reply = await persistently(lambda: self.account.call("POST", "/v1/requests", wishes, headers))
        return self._know_request(reply)

    async def accept_on(self, offer: View) -> View:
        """Accept until a node gives a verdict. Raises `ApiError` when it is a no."""
        return await persistently(lambda: self.accept(offer))

    async def end_on(self, call: View, reason: str) -> View:
        """Hang up until a node says it is done."""
        return await persistently(lambda: self.end_call(call, reason))

    async def says(self, text: str, call: View) -> None:
        """Send words until a node says they are on their way."""
        said = {"text": text, "language": "en"}
        await persistently(lambda: self.send("chat", said, call=call, timeout=PATIENCE_S))

    # -- what there is to wait for ----------------------------------------------------------------------------------

    async def offered(self, request_id: str, epoch: int = 1) -> View:
        """The open offer for this epoch of this request."""

        def here() -> View | None:
            offer = self.state.offers.get(request_id)
            return offer if offer is not None and offer["epoch"] >= epoch else None

        await self.until(lambda _: here() is not None, timeout=PATIENCE_S)
        offer = here()
        assert offer is not None
        return offer

    async def in_call(self, request_id: str, *, epoch: int = 1, state: str | None = None) -> View:
        """The live call of this epoch of this request, in this state if one is named."""

        def here() -> View | None:
            call = self.state.live_call
            mine = call is not None and (call["request_id"], call["epoch"]) == (request_id, epoch)
            return call if mine and call is not None and state in (None, call["state"]) else None

        await self.until(lambda _: here() is not None, timeout=PATIENCE_S)
        call = here()
        assert call is not None
        return call

    async def out_of_call(self, call_id: str) -> None:
        """Until this call has ended as far as this phone knows."""
        await self.until(lambda state: state.live_call is None or state.live_call["id"] != call_id, timeout=PATIENCE_S)

    async def hears(self, text: str) -> None:
        """Until the other side's words arrive."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.next("chat", timeout=None))["data"].get("text") != text:
                pass

    # -- what it was told -------------------------------------------------------------------------------------------

    def old_news(self) -> list[str]:
        """Everything told that was older than what had been told before; empty when all is well."""
        return [*self._old_requests(), *self._old_calls(), *self._old_offers()]

    def _old_requests(self) -> Iterator[str]:
        newest: dict[str, tuple[Any, ...]] = {}
        for view in _views(self.told, "request"):
            age = (view["state"] == "ended", view["epoch"], STATES.index(view["state"]), view["asked"])
            known = newest.get(view["id"], age)
            if age < known:
                yield f"{self.name}: request {age} after {known}"
            newest[view["id"]] = max(age, known)

    def _old_calls(self) -> Iterator[str]:
        newest: dict[str, tuple[Any, ...]] = {}
        for view in _views(self.told, "call"):
            age = (view["state"] == "ended", view["attempt"], view["state"] != "connecting")
            known = newest.get(view["id"], age)
            if age < known:
                yield f"{self.name}: call {age} after {known}"
            newest[view["id"]] = max(age, known)

    def _old_offers(self) -> Iterator[str]:
        over: dict[tuple[str, int], str] = {}
        latest: dict[tuple[str, int], str] = {}
        for _, frame in self.told:
            data = frame.get("data") or {}
            offers = (
                data["offers"] if frame["type"] == "welcome" else [data["offer"]] if frame["type"] == "offer" else []
            )
            for offer in offers:
                key = (offer["request_id"], offer["epoch"])
                if offer["expires_at"] <= over.get(key, ""):
                    yield f"{self.name}: an offer again after its end"
                latest[key] = offer["expires_at"]
            if frame["type"] == "offer_withdrawn":
                key = (data["request_id"], data["epoch"])
                over[key] = latest.get(key, "")


def _views(told: list[tuple[float, Frame]], kind: str) -> Iterator[View]:
    for _, frame in told:
        view = (frame.get("data") or {}).get(kind) if frame["type"] in (kind, "welcome") else None
        if view is not None:
            yield view


async def persistently(call: Callable[[], Awaitable[T]]) -> T:
    """Call until there is a verdict: what may be tried again is, as an app would, for as long as a test is patient."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await call()
            except ServerUnreachable:
                pass
            except (ApiError, FrameRefused) as error:
                if not error.retryable:
                    raise
            await asyncio.sleep(AGAIN_S)


async def first_offered(people: Sequence[Witness], request_id: str, epoch: int = 1) -> tuple[Witness, View]:
    """Whoever of these has the offer first, and the offer."""
    waiting = {asyncio.create_task(person.offered(request_id, epoch)): person for person in people}
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        first = next(iter(done))
        return waiting[first], first.result()
    finally:
        for task in waiting:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*waiting, return_exceptions=True)
