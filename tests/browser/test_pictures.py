"""What a camera does to the volunteer's picture: it stands still, it is covered, and it is well again."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import asyncpg
import msgspec
import pytest

from tests.support.installation import Installation
from tests.support.people import Person, Street, answered, media_run

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# The requester's camera, as the connection sends it: gone, all black, and itself again.
STOP = """
() => {
  window.sender = window.eyeline.pc.getSenders().find(({ track }) => track?.kind === "video");
  window.camera = window.sender.track;
  return window.sender.replaceTrack(null);
}
"""
COVER = """
() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 240 });
  const context = canvas.getContext("2d");
  setInterval(() => context.fillRect(0, 0, 320, 240), 50);
  return window.sender.replaceTrack(canvas.captureStream(20).getVideoTracks()[0]);
}
"""
RESTORE = "() => window.sender.replaceTrack(window.camera)"


async def both_hear(requester: Person, of_requester: str, volunteer: Person, of_volunteer: str) -> None:
    await asyncio.gather(requester.hears(of_requester), volunteer.hears(of_volunteer))


async def test_a_frozen_and_a_dark_picture_are_told_repaired_and_summed_up(
    place: Installation, people: Street, database_url: str
) -> None:
    node = await place.node()
    requester, volunteer = await people.requester(node.url), await people.volunteer(node.url)
    await answered(requester, volunteer)
    await media_run(requester, volunteer)
    before = await requester.ice_credentials()
    await requester.page.evaluate(STOP)
    await both_hear(requester, "does not get your picture any more", volunteer, "The picture stands still.")
    await volunteer.picture("frozen")
    await requester.page.evaluate(COVER)
    await both_hear(requester, "The volunteer sees only black.", volunteer, "The picture is all dark.")
    assert not set(before) & set(await requester.ice_credentials()), "ICE was restarted"
    await volunteer.picture("dark")
    await volunteer.press("picture-covered")
    await requester.chat_is(["Other person: The camera is covered"])
    await requester.page.evaluate(RESTORE)
    await both_hear(requester, "The volunteer sees your picture again.", volunteer, "The picture is back.")
    told = [words for words in await volunteer.heard() if "picture" in words.lower()]
    assert all(one != next for one, next in pairwise(told)), "each change is spoken once"
    await requester.press("end")
    await volunteer.is_in("ended")
    await summed_up(database_url)


async def summed_up(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        [row] = await connection.fetch("SELECT requester, volunteer FROM call_quality")
    finally:
        await connection.close()
    for side in ("requester", "volunteer"):
        quality = msgspec.json.decode(row[side])
        assert quality["samples"] >= 1
        assert 0 <= quality["round_trip"]["mean"] <= quality["round_trip"]["worst"] < 60
        assert quality["candidate_type"] in ("host", "prflx")
        assert 0 < quality["time_to_media_s"] < 30
    assert quality["frames_per_second"]["mean"] > 0
    assert quality["freezes"] is not None
