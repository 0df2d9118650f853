"""A client of the contract with the apps: HTTP and the socket `eyeline.v1`, without media.

    async with PhoneClient.sign_in(url, "Ada", role="volunteer", languages=["en"]) as phone:
        await phone.ready()
        offer = await phone.next_offer()
        call = await phone.accept(offer)

Also the scripted person of tests and benchmarks, so it is light: two tasks, no aiortc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp

from infra.phone.account import Account, TlsOption
from infra.phone.errors import ServerUnreachable
from infra.phone.line import Line
from infra.phone.state import View


@dataclass(frozen=True, slots=True)
class Person:
    """Who signs in, and what their account should say; None leaves it as it is."""

    name: str
    role: str | None = None
    languages: Sequence[str] | None = None
    time_zone: str | None = None


class PhoneClient(Line):
    """One signed-in person on one device. Use as an async context manager, which owns its tasks."""

    def __init__(self, account: Account, person: Person, *, owns_http: bool) -> None:
        super().__init__(account, owns_http=owns_http)
        self._person = person

    @classmethod
    def sign_in(
        cls,
        base_url: str,
        name: str,
        *,
        role: str | None = None,
        languages: Sequence[str] | None = None,
        time_zone: str | None = None,
        device_id: str | None = None,
        ssl: TlsOption = True,
        provider: str = "dev",
        http: aiohttp.ClientSession | None = None,
    ) -> PhoneClient:
        """A phone that signs in (of the provider `dev` any name does) and connects when entered with `async with`.

        Pass one `http` session to many phones to share its pool; it is then not closed here.
        """
        account = Account(http or aiohttp.ClientSession(), base_url, device_id=device_id, ssl=ssl)
        account.provider = provider
        return cls(account, Person(name, role, languages, time_zone), owns_http=http is None)

    async def begin(self) -> View:
        person = self._person
        user = await self.account.sign_in(person.name)
        return await self.account.set_up(user, role=person.role, languages=person.languages, time_zone=person.time_zone)

    async def ready(self, ready: bool = True) -> None:
        """Whether this session may be rung; said again after every reconnect."""
        self._wants_ready = ready
        await self.send("ready", {"ready": ready}, replaces="ready")

    async def request_help(self, *, idempotency_key: str | None = None, **wishes: Any) -> View:
        """`POST /v1/requests`; gives the request. A lost reply is asked for again under the same key."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        for tries_left in (2, 1, 0):
            try:
                return self._know_request(await self.account.call("POST", "/v1/requests", wishes, headers))
            except ServerUnreachable:
                if tries_left == 0:
                    raise
        raise AssertionError("unreachable")

    async def cancel_request(self, request_id: str) -> View:
        return self._know_request(await self.account.call("POST", f"/v1/requests/{request_id}/cancel", {}))

    async def accept(self, offer: View) -> View:
        """Answer by HTTP; gives the call. Raises `ApiError` 409 when someone else was first."""
        path = f"/v1/requests/{offer['request_id']}/accept"
        reply = await self.account.call("POST", path, {"epoch": offer["epoch"]})
        return self._know_call(reply["call"])

    async def decline(self, offer: View, reason: str | None = None) -> None:
        body = {"epoch": offer["epoch"]} | ({"reason": reason} if reason else {})
        await self.account.call("POST", f"/v1/requests/{offer['request_id']}/decline", body)

    async def practise(self) -> View | int:
        """`POST /v1/calls/practice`: the call, or the place in the queue. Raises `ApiError` when it is full."""
        reply = await self.account.call("POST", "/v1/calls/practice", {})
        return self._know_call(reply["call"]) if "call" in reply else int(reply["position"])

    async def rejoin(self, call: View) -> View:
        """This side lost its connection for good: both build anew. Gives the call with its next attempt."""
        body = {"attempt": call["attempt"]}
        reply = await self.account.call("POST", f"/v1/calls/{call['id']}/rejoin", body)
        return self._know_call(reply["call"])

    async def end_call(self, call: View, reason: str = "done") -> View:
        """`reason`: done, left or technical. Repeating it changes nothing."""
        reply = await self.account.call("POST", f"/v1/calls/{call['id']}/end", {"reason": reason})
        return self._know_call(reply["call"])

    def _know_call(self, call: View) -> View:
        """A reply may come after messages that followed it: of a known attempt it tells only the end."""
        known = self.state.call or {}
        same = (known.get("id"), known.get("attempt")) == (call["id"], call["attempt"])
        if same and call["state"] != "ended":
            return call
        self._apply({"type": "call", "data": {"call": call}})
        return call

    def _know_request(self, reply: View) -> View:
        request: View = reply["request"]
        self._apply({"type": "request", "data": {"request": request}})
        return request
