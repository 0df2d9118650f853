"""A node whose push providers are stand-ins, and volunteers whose app is closed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import asyncpg

from infra.phone.account import Account
from infra.phone.client import PhoneClient
from infra.standins.fcm import FcmStandIn
from infra.standins.webpush import WebPushStandIn
from infra.webpush.keys import make_keys
from tests.support.nodes import Node

ALL_WEEK = [{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}]
SAID_WITHIN_S = 20.0
UNSAID = """
SELECT count(*) FROM offers
WHERE CASE WHEN outcome IS NULL THEN ring_due_at < expires_at AND expires_at > eyeline_now()
      ELSE rung <> '{}' AND quieted_at IS NULL OR ring_claimed_until > eyeline_now() END
"""
_SAMPLE = re.compile(r"^(eyeline_\w+)\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)


@dataclass
class ClosedApps:
    """Everybody signs in at `node`; the providers are told what to answer by their `plan`."""

    database_url: str
    node: Node
    fcm: FcmStandIn
    webpush: WebPushStandIn
    public_key: str
    http: aiohttp.ClientSession
    stack: AsyncExitStack

    async def volunteer(self, name: str, *languages: str) -> Account:
        """Signed in once, without a socket; within their hours at any time."""
        account = Account(self.http, self.node.url, device_id=f"device of {name}")
        user = await account.sign_in(name)
        await account.set_up(user, role="volunteer", languages=list(languages or ("en",)), time_zone="UTC")
        await account.call("PUT", "/v1/me/availability", {"weekly": ALL_WEEK})
        return account

    async def phone(self, name: str, platform: Literal["android", "ios"] = "android") -> Account:
        """A volunteer whose phone FCM reaches under their name."""
        account = await self.volunteer(name)
        push = [{"kind": "fcm", "value": name}]
        await account.call("PUT", f"/v1/me/devices/{account.device_id}", {"platform": platform, "push": push})
        return account

    async def browser(self, name: str) -> Account:
        """A volunteer whose browser a push service reaches."""
        account = await self.volunteer(name)
        made = self.webpush.subscribe(self.public_key)
        push = [{"kind": "webpush", "value": made.endpoint, "keys": dict(made.keys)}]
        await account.call("PUT", f"/v1/me/devices/{account.device_id}", {"platform": "web", "push": push})
        return account

    async def requester(self) -> PhoneClient:
        """Somebody with the app open."""
        phone = PhoneClient.sign_in(self.node.url, "Rosa", role="requester", languages=["en"], http=self.http)
        return await self.stack.enter_async_context(phone)

    async def all_said(self) -> None:
        """Until no push is under way or due: what is asked of Postgres is what nodes themselves go by."""
        connection = await asyncpg.connect(self.database_url, timeout=10, command_timeout=10)
        try:
            async with asyncio.timeout(SAID_WITHIN_S):
                while await connection.fetchval(UNSAID):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            await connection.close()

    async def counts(self, metric: str, by: str, **labels: str) -> dict[str, float]:
        """A metric of the node, by one of its labels; only what has `labels`."""
        async with self.http.get(f"{self.node.url}/metrics") as reply:
            text = await reply.text()
        found: dict[str, float] = {}
        for name, inside, value in _SAMPLE.findall(text):
            pairs = dict(re.findall(r'(\w+)="([^"]*)"', inside))
            if name == metric and labels.items() <= pairs.items():
                found[pairs[by]] = found.get(pairs[by], 0.0) + float(value)
        return found


@asynccontextmanager
async def closed_apps(
    database_url: str, valkey_url: str, directory: Path, **settings: Any
) -> AsyncIterator[ClosedApps]:
    private, public = make_keys()
    async with AsyncExitStack() as stack:
        fcm = await stack.enter_async_context(FcmStandIn())
        webpush = await stack.enter_async_context(WebPushStandIn())
        fcm.make_account(directory / "account.json")
        env = {
            "EYELINE_FIREBASE_PROJECT": fcm.project,
            "EYELINE_FIREBASE_CREDENTIALS": str(directory / "account.json"),
            "EYELINE_FIREBASE_SIGN_IN": "false",
            "EYELINE_FCM_URL": fcm.url,
            "EYELINE_VAPID_PRIVATE_KEY": private,
            "EYELINE_VAPID_SUBJECT": "mailto:ops@help.example",
            "EYELINE_WEBPUSH_VIA": webpush.url,
            **{f"EYELINE_{name}": str(value) for name, value in settings.items()},
        }
        node = await stack.enter_async_context(await Node.start(database_url, valkey_url, also=env))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield ClosedApps(database_url, node, fcm, webpush, public, http, stack)
