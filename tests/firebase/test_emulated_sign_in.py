"""A real node believes Google's own emulator about who signs in: sign-up, guests, linking, and their ends."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.firebase.emulator import Emulator, SignedIn
from tests.support.nodes import Node

pytestmark = pytest.mark.slow


async def show(node: Node, user: SignedIn, device: str = "phone") -> tuple[int, Any]:
    """Status and body of a sign-in with the user's ID token."""
    body = {"provider": "firebase", "token": user.id_token, "device": {"id": device, "platform": "android"}}
    async with aiohttp.ClientSession() as client, client.post(f"{node.url}/v1/sessions", json=body) as reply:
        return reply.status, await reply.json()


async def person(node: Node, user: SignedIn) -> str:
    status, body = await show(node, user)
    assert status == 201, body
    return str(body["user"]["id"])


async def is_refused(node: Node, user: SignedIn) -> bool:
    status, body = await show(node, user)
    return status == 401 and body["error"]["code"] == "unauthorized"


def an_address() -> str:
    return f"{uuid4().hex}@mail.example"


async def test_an_address_and_a_password_are_the_same_person_each_time(node: Node, emulator: Emulator) -> None:
    address = an_address()
    first = await person(node, await emulator.sign_up(address))
    assert await person(node, await emulator.sign_in(address)) == first
    assert await person(node, await emulator.sign_up(an_address())) != first


async def test_what_was_signed_in_may_call_the_api(node: Node, emulator: Emulator) -> None:
    _, body = await show(node, await emulator.sign_up(an_address()))
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    async with aiohttp.ClientSession() as client, client.get(f"{node.url}/v1/me", headers=headers) as reply:
        me = await reply.json()
    assert (me["id"], me["display_name"]) == (body["user"]["id"], None)


async def test_guests_sign_in_and_are_two_people(node: Node, emulator: Emulator) -> None:
    assert await person(node, await emulator.guest()) != await person(node, await emulator.guest())


async def test_a_guest_who_links_an_address_stays_the_same_person(node: Node, emulator: Emulator) -> None:
    address = an_address()
    guest = await emulator.guest()
    before = await person(node, guest)
    linked = await emulator.link(guest, address)
    assert linked.id_token != guest.id_token
    assert await person(node, linked) == before
    assert await person(node, await emulator.sign_in(address)) == before


async def test_a_disabled_user_is_refused(node: Node, emulator: Emulator) -> None:
    user = await emulator.sign_up(an_address())
    await person(node, user)
    await emulator.disable(user)
    assert await is_refused(node, user)


async def test_a_revoked_token_is_refused(node: Node, emulator: Emulator) -> None:
    user = await emulator.guest()
    await person(node, user)
    await emulator.revoke(user)
    assert await is_refused(node, user)


async def test_a_deleted_user_is_refused(node: Node, emulator: Emulator) -> None:
    user = await emulator.guest()
    await person(node, user)
    await emulator.delete(user)
    assert await is_refused(node, user)


async def test_the_log_says_nothing_about_anybody(node: Node, emulator: Emulator) -> None:
    address = an_address()
    user = await emulator.sign_up(address)
    await person(node, user)
    await emulator.disable(user)
    await is_refused(node, user)
    log = "\n".join(node.lines)
    assert not any(secret in log for secret in (address, user.uid, user.id_token.split(".")[1]))
