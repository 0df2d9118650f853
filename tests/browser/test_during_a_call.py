"""What two people can do in a call besides talking: light, zoom, a photo, a pause; nobody's yes is assumed."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.support.installation import Installation
from tests.support.people import Person, Street, answered, media_run

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# The camera's own photo: large enough to be sent in many pieces, with a word in it about where it was taken.
CAMERA = """() => {
  window.photosTaken = 0;
  ImageCapture.prototype.takePhoto = async () => {
    window.photosTaken += 1;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [1200, 900];
    const context = canvas.getContext("2d");
    const noise = context.createImageData(1200, 900);
    for (let i = 0; i < noise.data.length; i += 1) noise.data[i] = i % 4 === 3 ? 255 : Math.random() * 256;
    context.putImageData(noise, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const exif = new TextEncoder().encode("Exif\\0\\0Quokka Street 7");
    const segment = new Uint8Array([0xff, 0xe1, 0, exif.length + 2, ...exif]);
    return new Blob([bytes.subarray(0, 2), segment, bytes.subarray(2)], { type: "image/jpeg" });
  };
}"""
# How often this page opened a camera or a microphone.
COUNT_OPENED = """() => {
  window.opened = 0;
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (wish) => {
    window.opened += 1;
    return open(wish);
  };
}"""
# The photo that arrived: its size in pixels and in bytes, and whether it tells anything but the picture.
ARRIVED = """async (image) => {
  await image.decode();
  const bytes = new TextDecoder("latin1").decode(await window.photos.at(-1).arrayBuffer());
  const { naturalWidth: width, naturalHeight: height } = image;
  return { width, height, bytes: bytes.length, tells: /Exif|Quokka/.test(bytes) };
}"""
KEEP_PHOTOS = """() => {
  window.photos = [];
  window.revoked = 0;
  const [make, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
  URL.createObjectURL = (blob) => { window.photos.push(blob); return make.call(URL, blob); };
  URL.revokeObjectURL = (url) => { window.revoked += 1; revoke.call(URL, url); };
}"""
# Nothing more leaves this side until `window.stuck` is false again.
STUCK = """() => {
  window.stuck = true;
  const { get } = Object.getOwnPropertyDescriptor(RTCDataChannel.prototype, "bufferedAmount");
  Object.defineProperty(RTCDataChannel.prototype, "bufferedAmount", {
    get() { return window.stuck && this.id === 1 ? 1e9 : get.call(this); },
  });
}"""
# A camera that counts its zoom in percent and comes no nearer than twice.
ZOOMS = """() => {
  const range = { min: 100, max: 200, step: 10 };
  let zoom = 100;
  const track = window.eyeline.pc.getSenders().find((sender) => sender.track?.kind === "video").track;
  track.getCapabilities = () => ({ zoom: range });
  track.getSettings = () => ({ zoom });
  track.applyConstraints = async ({ advanced: [wish] }) => { zoom = wish.zoom; };
}"""
TAKEN_BY_THE_SYSTEM = """(taken) => {
  const track = window.eyeline.pc.getSenders().find((sender) => sender.track?.kind === "audio").track;
  Object.defineProperty(track, "muted", { configurable: true, get: () => taken });
  track.dispatchEvent(new Event(taken ? "mute" : "unmute"));
}"""


async def in_a_call(place: Installation, people: Street) -> tuple[Person, Person]:
    node = await place.node()
    requester = await people.requester(node.url)
    volunteer = await people.volunteer(node.url)
    await requester.page.evaluate(CAMERA)
    await volunteer.page.evaluate(KEEP_PHOTOS)
    await answered(requester, volunteer)
    await media_run(requester, volunteer)
    return requester, volunteer


class TestPhoto:
    async def test_is_taken_after_a_yes_only_and_arrives_whole_and_says_nothing_else(
        self, place: Installation, people: Street
    ) -> None:
        requester, volunteer = await in_a_call(place, people)
        await volunteer.press("photo")
        question = requester.page.locator("#photo-question")
        await expect(question).to_be_focused()
        await expect(question).to_contain_text("The volunteer asks to take one sharp photo")
        assert not any("one sharp photo" in words for words in await requester.heard()), "the focus says it"
        await requester.is_in("in-call")
        await requester.press("photo-no")
        await volunteer.hears("There will be no photo.")
        assert await requester.page.evaluate("window.photosTaken") == 0
        await volunteer.press("photo")
        await requester.press("photo-yes")
        await volunteer.hears("The photo is here.")
        await requester.hears("The photo was sent.")
        await expect(requester.page.get_by_role("heading", name="In a call")).to_be_focused()
        arrived = await volunteer.page.locator("#photo-image").evaluate(ARRIVED)
        assert (arrived["width"], arrived["height"], arrived["tells"]) == (1200, 900, False)
        assert arrived["bytes"] > 300_000
        await volunteer.is_in("in-call")
        await requester.press("end")
        await volunteer.is_in("ended")
        assert await volunteer.page.evaluate("window.revoked") == 1
        assert await volunteer.page.locator("#photo-image").get_attribute("src") is None

    async def test_either_may_cancel_and_a_new_connection_begins_it_again(
        self, place: Installation, people: Street
    ) -> None:
        requester, volunteer = await in_a_call(place, people)
        await requester.page.evaluate(STUCK)
        for person, told in ((volunteer, requester), (requester, volunteer)):
            await volunteer.press("photo")
            await requester.press("photo-yes")
            await expect(volunteer.page.locator("#photo-progress progress")).to_have_attribute("value", "0")
            await volunteer.page.locator("#photo-said", has_text="The photo is coming.").wait_for()
            await person.press("photo-cancel")
            await expect(told.page.locator("#photo-progress")).to_be_hidden()
        await requester.hears("The photo was cancelled.")
        await volunteer.hears("The other person cancelled the photo.")
        await volunteer.press("photo")
        await requester.press("photo-yes")
        await volunteer.page.locator("#photo-said", has_text="The photo is coming.").wait_for()
        before = await volunteer.attempt()
        await requester.page.evaluate("() => { window.eyeline.call.rejoin(); window.stuck = false; }")
        await volunteer.hears("The photo is here.")
        assert await volunteer.attempt() == before + 1


class TestPausing:
    async def test_a_pause_is_told_and_ends_nothing(self, place: Installation, people: Street) -> None:
        requester, volunteer = await in_a_call(place, people)
        negotiated = await volunteer.ice_credentials()
        await requester.press("pause-video")
        await requester.hears("Your camera is paused.")
        await requester.shows("Your camera is paused. The volunteer sees no picture.")
        await volunteer.hears("The other person paused their camera.")
        await requester.press("pause-video")
        await volunteer.hears("The other person is back.")
        await volunteer.sees()
        await requester.page.evaluate(TAKEN_BY_THE_SYSTEM, True)
        await volunteer.hears("The other person is held up, perhaps by a phone call.")
        await requester.page.evaluate(TAKEN_BY_THE_SYSTEM, False)
        await requester.hears("You are back.")
        await volunteer.shows("You are connected.")
        await volunteer.page.evaluate(TAKEN_BY_THE_SYSTEM, True)
        await requester.shows("The volunteer is held up, perhaps by a phone call.")
        await volunteer.page.evaluate(TAKEN_BY_THE_SYSTEM, False)
        await requester.shows("You are connected. The volunteer sees your camera.")
        assert await volunteer.ice_credentials() == negotiated


class TestCamera:
    async def test_what_the_camera_can_and_cannot_is_heard_by_whoever_asked(
        self, place: Installation, people: Street
    ) -> None:
        requester, volunteer = await in_a_call(place, people)
        await volunteer.press("zoom-in")
        await requester.hears("The volunteer asks to come closer.")
        await volunteer.hears("Their camera cannot zoom in any further.")
        await volunteer.press("zoom-out")
        await requester.hears("The volunteer asks you to move back.")
        await volunteer.hears("Their camera cannot zoom out any further.")
        await requester.page.evaluate(ZOOMS)
        await volunteer.press("zoom-in")
        await requester.hears("The volunteer changed the zoom.")
        await volunteer.hears("Zoom 1.5.")
        await volunteer.press("zoom-in")
        await volunteer.hears("Zoom 2.")
        await volunteer.press("torch")
        await volunteer.hears("Their device has no light.")
        await expect(volunteer.page.locator("#torch")).to_have_attribute("aria-pressed", "false")


class TestVoiceOnly:
    async def test_whoever_asks_by_voice_is_asked_for_no_picture(self, place: Installation, people: Street) -> None:
        node = await place.node()
        requester = await people.requester(node.url)
        volunteer = await people.volunteer(node.url)
        await requester.press("by-voice")
        await volunteer.is_in("ringing")
        await volunteer.press("answer")
        await requester.hears("You are connected by voice")
        await requester.hears_the_other()
        for person in (requester, volunteer):
            assert await person.page.locator("[data-picture]:visible").count() == 0
            assert not await person.page.evaluate(
                "window.eyeline.pc.getTransceivers().some((t) => t.sender.track?.kind === 'video')"
            )


class TestInWriting:
    async def test_whoever_asks_in_writing_is_neither_seen_nor_heard_and_both_can_write(
        self, place: Installation, people: Street
    ) -> None:
        node = await place.node()
        requester = await people.requester(node.url)
        volunteer = await people.volunteer(node.url)
        for person in (requester, volunteer):
            await person.page.evaluate(COUNT_OPENED)
        await requester.press("in-writing")
        await volunteer.hears("Incoming call, in writing only.")
        await volunteer.press("answer")
        await requester.hears("You are connected, in writing.")
        await volunteer.hears("You are connected, in writing. There is no picture and no sound.")
        for person in (requester, volunteer):
            assert await person.page.locator("[data-picture]:visible, [data-sound]:visible").count() == 0
            assert await person.page.evaluate("window.eyeline.pc.getTransceivers().length") == 0
            assert await person.page.evaluate("window.opened") == 0
            await person.picture("in-writing")
        await requester.page.reload()
        await requester.hears("You are connected, in writing.")
        await requester.write("Which carton is the milk?")
        await volunteer.chat_is(["Other person: Which carton is the milk?"])
        await volunteer.write("The left one")
        await requester.hears("Other person: The left one")
        await requester.press("end")
        await requester.is_in("ended")
        assert await place.outcomes() == ["completed"]

    async def test_it_moves_to_another_device_and_can_be_written_on_there(
        self, place: Installation, people: Street
    ) -> None:
        node = await place.node()
        phone = await people.requester(node.url)
        volunteer = await people.volunteer(node.url)
        await phone.press("in-writing")
        await volunteer.is_in("ringing")
        await volunteer.press("answer")
        await phone.hears("You are connected, in writing.")
        tablet = await people.arriving_requester(node.url)
        await tablet.page.evaluate(COUNT_OPENED)
        await tablet.shows("You are in a call on another of your devices.")
        await tablet.press("move-here")
        await tablet.hears("You are connected, in writing.")
        await phone.shows("The call moved to another of your devices.")
        await tablet.write("Which carton is the milk?")
        await volunteer.chat_is(["Other person: Which carton is the milk?"])
        await volunteer.write("The left one")
        await tablet.hears("Other person: The left one")
        assert await tablet.page.evaluate("window.opened") == 0
