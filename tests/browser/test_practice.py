"""Trying it out: a real page in a call with the server's own phone."""

from __future__ import annotations

import pytest

from tests.support.installation import Installation
from tests.support.people import Street

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_each_side_hears_what_works_once_and_goes_back(place: Installation, people: Street) -> None:
    node = await place.node(EYELINE_PRACTICE_CALLS="1")
    requester = await people.requester(node.url)
    volunteer = await people.volunteer(node.url, ready=False)
    await requester.press("practice")
    await requester.is_in("practice")
    await requester.hears("Connected. Point the camera somewhere light")
    await volunteer.press("practice")
    await volunteer.hears("You are number 1 in line.")
    await requester.hears_the_other()
    found = "Your camera works. Your microphone works. Your connection is good."
    await requester.hears(found)
    await requester.press("end")
    await requester.shows("The practice call is over.")
    await requester.is_in("rest")
    assert (await requester.heard()).count(found) == 1
    await volunteer.hears("You see a square on its way across the picture.")
    await volunteer.is_in("practice")
    await volunteer.sees()
    await volunteer.hears("Your microphone works. Your connection is good.")
    await volunteer.press("end")
    await volunteer.is_in("rest")
