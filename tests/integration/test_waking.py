"""Closed apps are woken by a real node through strict stand-ins of the push providers, whatever these answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from infra.phone.account import Account
from infra.phone.client import PhoneClient
from infra.standins.fcm_plan import Act
from infra.standins.webpush_plan import Act as WebAct
from tests.support.closed_apps import ClosedApps, closed_apps
from tests.support.nodes import Node

ANSWERED_WITHIN_S = 20.0
OFFER_S = 30.0
COMPLETED = {
    Act.INVALID: "400",
    Act.UNAUTHENTICATED: "401",
    Act.SENDER_ID_MISMATCH: "403",
    Act.UNREGISTERED: "404",
    Act.QUOTA_EXCEEDED: "429",
    Act.INTERNAL: "500",
    Act.UNAVAILABLE: "503",
}
BROKEN = (Act.HANG, Act.RESET, Act.BAD_JSON)


@pytest.fixture
async def apps(database_url: str, valkey_url: str, tmp_path: Path) -> AsyncIterator[ClosedApps]:
    # Two at a time, so that those whom a fault hides are asked first.
    async with closed_apps(
        database_url, valkey_url, tmp_path, WAVES="fixed", WAVE_SIZE=2, WAVE_INTERVAL_S=2, OFFER_S=OFFER_S
    ) as apps:
        yield apps


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Until it is so; what stands in other processes has no event for it."""
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def answer(account: Account) -> dict[str, Any]:
    """As an app woken by a push: what is open for me, then yes."""
    (offer,) = (await account.call("GET", "/v1/offers"))["offers"]
    reply = await account.call("POST", f"/v1/requests/{offer['request_id']}/accept", {"epoch": offer["epoch"]})
    call: dict[str, Any] = reply["call"]
    return call


def kinds(apps: ClosedApps, value: str) -> list[str]:
    """What one phone was sent, in order, by the answers it got through."""
    return [one.message["data"]["type"] for one in apps.fcm.seen if one.message and one.target == value]


async def test_a_phone_in_a_pocket_is_rung_answers_and_the_others_are_thanked(apps: ClosedApps) -> None:
    phones = {name: await apps.phone(name, "ios") for name in ("one", "two")}
    requester = await apps.requester()
    request = await requester.request_help()
    first, second = await apps.fcm.nth(1), await apps.fcm.nth(2)
    assert {first.target, second.target} == {"one", "two"}
    assert first.message is not None
    offered = datetime.fromisoformat(first.message["data"]["expires_at"]) - timedelta(seconds=OFFER_S)
    assert (second.at - offered).total_seconds() < 1  # neither the next look, nor as long as an open app may take
    call = await answer(phones["one"])
    assert (call["request_id"], call["side"]) == (request["id"], "volunteer")
    third = await apps.fcm.nth(3)
    assert third.target == "two"
    assert third.message is not None
    assert third.message["data"] == {
        **{"v": "1", "type": "withdraw", "request_id": request["id"], "epoch": "1", "language": "en"},
        **{"reason": "answered"},
        **{key: third.message["data"][key] for key in ("sent_at", "expires_at")},
    }
    await apps.all_said()
    assert kinds(apps, "one") == ["ring"]  # it has the call, and knows


@pytest.mark.parametrize("act", [*COMPLETED, *BROKEN])
async def test_whoever_can_be_reached_answers_whatever_fcm_does(apps: ClosedApps, act: Act) -> None:
    for name in ("a", "b", "c"):
        await apps.phone(name)
    reached = await apps.browser("reached")
    apps.fcm.plan.answer_all(act, "60" if act is Act.QUOTA_EXCEEDED else None)
    requester = await apps.requester()
    await requester.request_help()
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        while (await apps.webpush.nth(1)).data is None:
            pass
        await answer(reached)
    apps.fcm.plan.clear()
    await apps.all_said()
    # What was completed is counted as it was; what broke as unknown, and whoever may have been rung is told.
    counted = await apps.counts("eyeline_push_answers_total", "answer", provider="fcm")
    answered = {str(status): count for status, count in apps.fcm.answers.items()}
    if act is Act.BAD_JSON:
        assert sum(counted.values()) == sum(answered.values())
    else:
        assert {k: v for k, v in counted.items() if k != "unknown"} == answered
    assert (counted.get("unknown", 0) > 0) == (act in (Act.HANG, Act.RESET)) or act is Act.BAD_JSON
    for value in ("a", "b", "c"):
        rung = "ring" in kinds(apps, value)
        assert not rung or (kinds(apps, value)[-1] == "withdraw") == (act in BROKEN)
    late = [one for one in apps.fcm.seen if one.message and one.message["data"]["type"] == "ring"]
    assert all(one.at < datetime.fromisoformat(one.message["data"]["expires_at"]) for one in late if one.message)


@pytest.mark.parametrize("act", [WebAct.UNAVAILABLE, WebAct.HANG, WebAct.RESET, WebAct.GONE])
async def test_whoever_can_be_reached_answers_whatever_push_services_do(apps: ClosedApps, act: WebAct) -> None:
    for name in ("a", "b", "c"):
        await apps.browser(name)
    reached = await apps.phone("reached")
    apps.webpush.plan.answer_all(act)
    requester = await apps.requester()
    await requester.request_help()
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        assert (await apps.fcm.nth(1)).target == "reached"
        await answer(reached)


async def test_a_ring_nobody_answers_is_replaced_by_missed(database_url: str, valkey_url: str, tmp_path: Path) -> None:
    async with closed_apps(database_url, valkey_url, tmp_path, OFFER_S=2) as apps:
        await apps.phone("one")
        requester = await apps.requester()
        await requester.request_help()
        assert (await apps.fcm.nth(1)).message
        missed = (await apps.fcm.nth(2)).message
        assert missed is not None
        assert missed["data"]["type"] == "missed"
        assert missed["android"]["priority"] == "normal"


async def test_a_cancelled_request_silences_every_phone(apps: ClosedApps) -> None:
    await apps.phone("one")
    requester = await apps.requester()
    request = await requester.request_help()
    await apps.fcm.nth(1)
    await requester.cancel_request(request["id"])
    withdrawn = (await apps.fcm.nth(2)).message
    assert withdrawn is not None
    assert (withdrawn["data"]["type"], withdrawn["data"]["reason"]) == ("withdraw", "cancelled")


async def test_a_value_that_is_gone_is_forgotten_and_its_person_asked_no_more(apps: ClosedApps) -> None:
    await apps.phone("gone")
    apps.fcm.plan.answer_all(Act.UNREGISTERED)
    requester = await apps.requester()
    await requester.request_help()
    await apps.fcm.nth(1)

    async def nobody() -> bool:
        return (await apps.counts("eyeline_push_results_total", "result")).get("unregistered") == 1

    await eventually(nobody)
    await asyncio.sleep(3)  # three more looks, none of which rings
    assert len(apps.fcm.seen) == 1


async def test_a_phone_that_comes_back_online_by_its_socket_is_not_rung_twice(apps: ClosedApps) -> None:
    """Somebody hot who acknowledges at once gets no push."""
    account = await apps.phone("open")
    phone = PhoneClient.sign_in(
        apps.node.url, "open", role="volunteer", languages=["en"], device_id=account.device_id, http=apps.http
    )
    async with phone:
        await phone.ready()
        requester = await apps.requester()
        await requester.request_help()
        offer = await phone.next_offer()
        await phone.accept(offer)
    assert apps.fcm.seen == []


async def test_who_is_hot_and_does_not_acknowledge_is_pushed_too(
    apps: ClosedApps, database_url: str, valkey_url: str
) -> None:
    account = await apps.phone("deaf")
    async with await Node.start(database_url, valkey_url) as other:
        phone = PhoneClient.sign_in(
            other.url, "deaf", role="volunteer", languages=["en"], device_id=account.device_id, http=apps.http
        )
        async with phone:
            await phone.ready()
            other.freeze()  # the offer is in the mailbox, and nobody hands it on
            requester = await apps.requester()
            began = asyncio.get_running_loop().time()
            await requester.request_help()
            assert (await apps.fcm.nth(1)).target == "deaf"
            assert 1.4 < asyncio.get_running_loop().time() - began < 4
            other.thaw()


async def test_a_requester_in_whose_pocket_the_phone_is_hears_that_someone_is_free(apps: ClosedApps) -> None:
    requester = await apps.requester()
    mine = {"platform": "ios", "push": [{"kind": "fcm", "value": "rosa"}]}
    await requester.account.call("PUT", f"/v1/me/devices/{requester.account.device_id}", mine)
    request = await requester.request_help()
    connection = await asyncpg.connect(apps.database_url, timeout=10, command_timeout=10)
    over = "UPDATE requests SET deadline = eyeline_now(), next_look_at = eyeline_now() WHERE id = $1"
    await connection.execute(over, request["id"])
    await connection.close()
    await requester.until(lambda state: state.request is not None and state.request["outcome"] == "expired")
    await requester.account.call("PUT", f"/v1/requests/{request['id']}/callback", None)
    helper = PhoneClient.sign_in(apps.node.url, "Hanna", role="volunteer", languages=["en"], http=apps.http)
    await (await apps.stack.enter_async_context(helper)).ready()
    pushed = await apps.fcm.nth(1)
    assert pushed.target == "rosa"
    assert pushed.message is not None
    data = pushed.message["data"]
    assert (data["type"], data["request_id"], data["epoch"]) == ("someone_free", request["id"], "1")
    assert set(data) == {"v", "type", "request_id", "epoch", "language", "sent_at", "expires_at"}
    assert (await requester.next("someone_free"))["data"]["request_id"] == request["id"]
    await apps.all_said()
    assert len(apps.fcm.seen) == 1
