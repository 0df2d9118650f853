"""The demo volunteer: answers whoever asks, echoes what it hears or reads, and writes what it truly sees."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from infra.phone.account import TlsOption
from infra.phone.calls import PhoneCall
from infra.phone.client import PhoneClient
from infra.phone.errors import ApiError, PhoneError
from infra.phone.loopback import include_loopback as offer_loopback
from infra.phone.reconnect import Backoff
from infra.phone.sight import Sight, spoken, words_repeated, words_when_gone
from infra.phone.sinks import VideoSink
from infra.phone.state import View
from infra.phone.tracks import echo_media

NAME = "Demo volunteer"
LOOK_EVERY_S = 0.5
SETTLING_S = 0.7
SAY_AT_MOST_EVERY_S = 4.0
GONE_AFTER_S = 5.0
STOP_DEADLINE_S = 5.0

UNREAD_MAX = 20
"""Texts that wait to be written back; more are passed over."""

OnEvent = Callable[[str, Mapping[str, Any]], None]
log = logging.getLogger(__name__)


def _ignore(event: str, details: Mapping[str, Any]) -> None:
    pass


async def run_demo_volunteer(
    base_url: str,
    *,
    name: str = NAME,
    languages: Sequence[str] = ("en", "da"),
    answer_after_s: float = 4.0,
    ssl: TlsOption = True,
    include_loopback: bool = False,
    on_event: OnEvent = _ignore,
) -> None:
    """Answer calls until cancelled, through restarts of the server.

    `answer_after_s` leaves time for a person in a browser tab to be first. `on_event` gets `ready`, `offer`,
    `too_late`, `call`, what `PhoneCall` tells, `said` {text}, `repeated`, `ended` {end_reason} and `away` {why}.
    Raises `ApiError` when the server refuses the sign-in itself, for instance because `dev` is switched off.
    """
    if include_loopback:
        offer_loopback()
    backoff = Backoff()
    while True:
        try:
            async with PhoneClient.sign_in(base_url, name, role="volunteer", languages=languages, ssl=ssl) as phone:
                backoff.reset()
                await _answer_calls(phone, answer_after_s, on_event)
        except ApiError as error:
            if not (error.retryable or error.status >= 500 or error.status == 429):
                raise
            why: str = error.code
        except (PhoneError, TimeoutError) as error:
            why = type(error).__name__
        on_event("away", {"why": why})
        await asyncio.sleep(backoff.next_s())


async def _answer_calls(phone: PhoneClient, answer_after_s: float, on_event: OnEvent) -> None:
    """Until the phone cannot go on."""
    await phone.ready()
    on_event("ready", {})
    while True:
        offer = await phone.next_offer(timeout=None)
        on_event("offer", {"language": offer["language"]})
        call = await _answer(phone, offer, answer_after_s)
        if call is None:
            on_event("too_late", {})
            continue
        on_event("call", {"language": call["language"]})
        ended = await _be_in(phone, call, on_event)
        on_event("ended", {"end_reason": ended.get("end_reason")})
        await phone.ready()


async def _answer(phone: PhoneClient, offer: View, after_s: float) -> View | None:
    """The call, or None when somebody else was first or the offer is over."""
    request_id, epoch = offer["request_id"], offer["epoch"]
    try:
        await phone.until(lambda s: s.offers.get(request_id, {}).get("epoch") != epoch, timeout=after_s)
        return None
    except TimeoutError:
        pass
    try:
        return await phone.accept(offer)
    except ApiError as error:
        log.info("accept refused: %s", error.code)  # somebody was first, or the request is over
        return None


async def _be_in(phone: PhoneClient, call: View, on_event: OnEvent) -> View:
    in_writing = call["mode"] == "text"
    read: asyncio.Queue[str] = asyncio.Queue(UNREAD_MAX)

    def heard(event: str, details: Mapping[str, Any]) -> None:
        if in_writing and event == "chat" and isinstance(details.get("text"), str) and not read.full():
            read.put_nowait(details["text"])
        on_event(event, details)

    conversation = PhoneCall(phone, call, echo_media, heard)
    talking = _repeat(conversation, read, on_event) if in_writing else _comment(conversation, on_event)
    commentary = asyncio.create_task(talking)
    try:
        return await conversation.run()
    finally:
        commentary.cancel()
        await asyncio.gather(commentary, return_exceptions=True)


async def _repeat(conversation: PhoneCall, read: asyncio.Queue[str], on_event: OnEvent) -> None:
    """In a written call: write back what was written."""
    language = spoken(conversation.call["language"])
    while True:
        text = words_repeated(await read.get(), language)
        with suppress(PhoneError):
            await conversation.say(text, language)
            on_event("repeated", {})  # without their words, which are nobody else's


async def _comment(conversation: PhoneCall, on_event: OnEvent) -> None:
    """Write what is seen: at the first picture, when it changes notably, when it is gone and back."""
    language = spoken(conversation.call["language"])
    told: Sight | None = None
    missing = True
    while True:
        seen = await _notable(conversation, told, missing=missing)
        missing = seen is None
        told = seen or told
        text = words_when_gone(language) if seen is None else seen.words(language)
        await conversation.say(text, language)
        on_event("said", {"text": text})
        await asyncio.sleep(SAY_AT_MOST_EVERY_S)


async def _notable(conversation: PhoneCall, told: Sight | None, *, missing: bool) -> Sight | None:
    """Wait for something worth saying: a picture other than the one told, or (None) that there is none any more."""
    while True:
        video = conversation.peer.video if conversation.peer is not None else VideoSink()
        if video.flows(within_s=GONE_AFTER_S):
            seen = Sight.of(video.width, video.height, video.brightness, told)
            if missing or seen != told:
                return seen
        elif not missing and conversation.call["state"] == "connected":
            return None
        await _a_moment(video)


async def _a_moment(video: VideoSink) -> None:
    """Half a second; after the first frame the time a camera takes to get used to the light."""
    if video.frames:
        await asyncio.sleep(LOOK_EVERY_S)
        return
    try:
        async with asyncio.timeout(LOOK_EVERY_S):
            await video.first.wait()
    except TimeoutError:
        return
    await asyncio.sleep(SETTLING_S)
