"""`eyeline call`: one complete call from a terminal, with its timeline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from infra.phone.account import TlsOption
from infra.phone.calls import PhoneCall
from infra.phone.client import PhoneClient
from infra.phone.errors import ApiError, PhoneError
from infra.phone.files import MediaFileError
from infra.phone.loopback import include_loopback as offer_loopback
from infra.phone.state import View
from infra.phone.tracks import Media, Tone, clock_media, file_media

HANG_UP_DEADLINE_S = 5.0
Side = Literal["requester", "volunteer"]


@dataclass(frozen=True, slots=True)
class Step:
    """One moment of the call."""

    name: str
    at_ms: float
    """Since the first step."""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.at_ms:9.0f} ms  {self.name}{': ' if self.detail else ''}{self.detail}"


@dataclass(slots=True)
class Timeline:
    """What happened and when; `tap` (requester) or `ready` (volunteer) is at 0."""

    side: Side
    on_event: Callable[[Step], None]
    steps: list[Step] = field(default_factory=list)
    _began: float = 0.0

    @property
    def frame_came(self) -> bool:
        """A volunteer must have seen a picture, a requester heard or seen anything."""
        return self.at("first frame") is not None

    @property
    def exit_code(self) -> int:
        return 0 if self.frame_came else 1

    def at(self, name: str) -> float | None:
        """Milliseconds of the first step of this name."""
        return next((step.at_ms for step in self.steps if step.name == name), None)

    def note(self, name: str, detail: str = "", *, once: bool = True) -> None:
        if once and self.at(name) is not None:
            return
        now = time.monotonic()
        self._began = self._began or now
        step = Step(name, (now - self._began) * 1000, detail)
        self.steps.append(step)
        self.on_event(step)


async def place_call(
    base_url: str,
    side: Side,
    language: str,
    media: Path | None,
    on_event: Callable[[Step], None],
    *,
    name: str | None = None,
    wait_s: float = 60.0,
    talk_s: float = 5.0,
    ssl: TlsOption = True,
    include_loopback: bool = False,
) -> Timeline:
    """Ask for help, or wait for somebody who does, and go through the whole call.

    `wait_s` bounds everything up to the first frame. The requester hangs up `talk_s` after it; the volunteer stays
    until the other side hangs up, `wait_s` at most. Raises `PhoneError` and `MediaFileError`.
    """
    if include_loopback:
        offer_loopback()
    make = await asyncio.to_thread(_media_factory, side, media)
    timeline = Timeline(side, on_event)
    signing_in = PhoneClient.sign_in(base_url, name or f"Terminal {side}", role=side, languages=[language], ssl=ssl)
    try:
        async with signing_in as phone:
            caller = _Caller(phone, timeline, make, wait_s, talk_s)
            await (caller.ask(language) if side == "requester" else caller.help())
    except TimeoutError:
        timeline.note("gave up", f"after {wait_s:g} s")
    return timeline


async def place_call_or_say_why(
    base_url: str,
    side: Side,
    language: str,
    media: Path | None,
    say: Callable[[str], None],
    *,
    wait_s: float,
    ssl: TlsOption = True,
) -> bool:
    """`place_call` for a terminal: one line per step, or why there was no call. True when a frame came."""
    on_this_machine = urlsplit(base_url).hostname in ("localhost", "127.0.0.1", "::1")
    try:
        timeline = await place_call(
            base_url,
            side,
            language,
            media,
            lambda step: say(str(step)),
            wait_s=wait_s,
            ssl=ssl,
            include_loopback=on_this_machine,
        )
    except (PhoneError, MediaFileError) as error:
        say(str(error))
        return False
    return timeline.frame_came


def _media_factory(side: Side, path: Path | None) -> Callable[[], Media]:
    """What is sent in each attempt; only the requester sends a picture."""
    if path is not None:
        file_media(path).stop()  # fails now, not in the middle of a call
        media = lambda: file_media(path)  # noqa: E731
        return media
    return clock_media if side == "requester" else lambda: Media(Tone())


class _Caller:
    """The call as seen from the terminal."""

    def __init__(
        self, phone: PhoneClient, timeline: Timeline, media: Callable[[], Media], wait_s: float, talk_s: float
    ) -> None:
        self._phone = phone
        self._timeline = timeline
        self._media = media
        self._wait_s = wait_s
        self._talk_s = talk_s
        self._frame = asyncio.Event()

    async def ask(self, language: str) -> None:
        """As requester, until the request has ended, however many volunteers it takes."""
        self._timeline.note("tap")
        request = await self._open(language)
        try:
            async with asyncio.timeout(self._wait_s) as waiting:
                while True:
                    call = await self._call_or_end()
                    if call is None:
                        return self._timeline.note("ended", str(self._outcome()))
                    self._timeline.note("accepted")
                    await self._be_in(call, waiting, self._talk_s)
                    if self._frame.is_set():
                        return None
        finally:
            await self._let_go(request)

    async def help(self) -> None:
        """As volunteer, one call."""
        await self._phone.ready()
        self._timeline.note("ready")
        async with asyncio.timeout(self._wait_s) as waiting:
            while True:
                offer = await self._phone.next_offer(timeout=None)
                if offer["mode"] != "video":  # a terminal tells of pictures
                    with suppress(ApiError):
                        await self._phone.decline(offer)
                    continue
                self._timeline.note("asked", f"in {offer['language']}")
                try:
                    call = await self._phone.accept(offer)
                except ApiError as error:
                    if error.status != 409:
                        raise
                    self._timeline.note("too late", error.code, once=False)
                    continue
                self._timeline.note("accepted")
                return await self._be_in(call, waiting, self._wait_s)

    async def _open(self, language: str) -> View:
        """A request, after letting go of one that an earlier run of ours left open."""
        try:
            return await self._phone.request_help(languages=[language])
        except ApiError as error:
            if error.code != "request_open":
                raise
        await self._let_go(self._phone.state.request or (await self._current()))
        return await self._phone.request_help(languages=[language])

    async def _current(self) -> View:
        request: View = (await self._phone.account.call("GET", "/v1/requests/current"))["request"]
        return request

    async def _call_or_end(self) -> View | None:
        """The next live call; None when the request has ended without one."""
        while True:
            state = self._phone.state
            if state.request is not None and state.request["asked"]:
                self._timeline.note("asked", f"{state.request['asked']} so far")
            if state.live_call is not None:
                return state.live_call
            if state.request is not None and state.request["state"] == "ended":
                return None
            frame = await self._phone.next("request", "progress", "call", timeout=None)
            if frame["type"] == "progress" and frame["data"]["asked"]:
                self._timeline.note("asked", f"{frame['data']['asked']} so far")

    def _outcome(self) -> str | None:
        return (self._phone.state.request or {}).get("outcome")

    async def _be_in(self, call: View, waiting: asyncio.Timeout, talk_s: float) -> None:
        """Through the call; the deadline no longer counts once a frame came."""
        conversation = PhoneCall(self._phone, call, self._media, self._listen)
        hanging_up = asyncio.create_task(self._hang_up(conversation, waiting, talk_s))
        try:
            ended = await conversation.run()
            self._timeline.note("ended", str(ended.get("end_reason")), once=False)
        finally:
            hanging_up.cancel()
            await asyncio.gather(hanging_up, return_exceptions=True)
            if conversation.call["state"] != "ended":
                with suppress(PhoneError, TimeoutError):
                    async with asyncio.timeout(HANG_UP_DEADLINE_S):
                        await conversation.end("done")

    async def _hang_up(self, conversation: PhoneCall, waiting: asyncio.Timeout, talk_s: float) -> None:
        await self._frame.wait()
        waiting.reschedule(None)
        await asyncio.sleep(talk_s)
        while True:
            with suppress(PhoneError):
                return await conversation.end("done")
            await asyncio.sleep(1)  # the server is away; the end of the call ends this too

    def _listen(self, event: str, details: Mapping[str, Any]) -> None:
        wanted = ("first_video",) if self._timeline.side == "volunteer" else ("first_audio", "first_video")
        match event:
            case "state" if details["state"] == "connected":
                self._timeline.note("connected")
            case "state" if details["state"] == "reconnecting":
                self._timeline.note("reconnecting", once=False)
            case "attempt" if details["attempt"] > 1:
                self._timeline.note("attempt", str(details["attempt"]), once=False)
            case "chat":
                self._timeline.note("chat", str(details.get("text") or details.get("phrase") or ""), once=False)
            case _ if event in wanted:
                self._timeline.note("first frame", "picture" if event == "first_video" else "sound")
                self._frame.set()

    async def _let_go(self, request: View) -> None:
        known = self._phone.state.request
        if known is not None and known["id"] == request["id"] and known["state"] == "ended":
            return
        with suppress(PhoneError, TimeoutError):
            async with asyncio.timeout(HANG_UP_DEADLINE_S):
                await self._phone.cancel_request(request["id"])
