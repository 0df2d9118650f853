"""Trying it out: a real page in a call with the server's own phone."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, Route

from tests.browser.test_client_pages import CALL, call, is_in, speaks
from tests.support.installation import Installation
from tests.support.people import Street
from tests.support.scripted_server import ScriptedServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# The browser's question about camera and microphone stays open until the person allows them.
QUESTION = """() => {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  const allowed = new Promise((resolve) => { window.allow = resolve; });
  navigator.mediaDevices.getUserMedia = async (wish) => {
    await allowed;
    window.opened = await open(wish);
    return window.opened;
  };
}"""
ALLOWED_AND_LET_GO = """async () => {
  window.allow();
  for (let i = 0; i < 250; i += 1) {
    const tracks = window.opened?.getTracks() ?? [];
    if (tracks.length && tracks.every(({ readyState }) => readyState === "ended")) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}"""


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


async def test_whoever_is_asked_for_the_camera_may_end_it_and_no_camera_stays_on(
    place: Installation, people: Street
) -> None:
    node = await place.node(EYELINE_PRACTICE_CALLS="1")
    requester = await people.requester(node.url)
    await requester.page.evaluate(QUESTION)
    await requester.press("practice")
    await requester.hears("Please allow the camera and the microphone")
    await requester.press("end")
    await requester.shows("The practice call is over.")
    await requester.is_in("rest")
    assert await requester.page.evaluate(ALLOWED_AND_LET_GO)


async def test_a_practice_call_that_comes_when_it_is_wanted_no_more_is_ended(
    page: Page, scripted: ScriptedServer
) -> None:
    asked: asyncio.Future[Route] = asyncio.get_running_loop().create_future()
    end = ("POST", f"/v1/calls/{CALL}/end")
    scripted.answers["DELETE", "/v1/calls/practice"] = (204, None)
    scripted.answers["POST", "/v1/calls/practice"] = (201, {"call": call("requester", kind="practice")})
    scripted.answers[end] = (200, {"call": call("requester", "ended", kind="practice")})

    async def hold(route: Route) -> None:
        if route.request.method == "POST":
            asked.set_result(route)
        else:
            await route.continue_()

    await page.route("**/v1/calls/practice", hold)
    await page.goto(f"{scripted.url}/requester?as=anna")
    await scripted.welcomed()
    await is_in(page, "rest")
    await page.click("#practice")
    reply = await asked
    await page.click("#end")
    await is_in(page, "rest")
    await speaks(page, "The practice call is over.")
    async with page.expect_response(f"**/v1/calls/{CALL}/end"):
        await reply.continue_()
    await is_in(page, "rest")
