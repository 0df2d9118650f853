"""The one adapter of aiortc: a peer connection for one attempt of a call, by the contract's rules of negotiation.

What aiortc cannot do shapes it: candidates that come before their description are kept, ICE is never restarted (both
sides build anew instead), and the list of ICE servers is always given, or it would ask a public one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcconfiguration import RTCBundlePolicy, RTCIceTransportPolicy
from aiortc.sdp import candidate_from_sdp

from infra.phone.errors import PhoneError
from infra.phone.sinks import AudioSink, VideoSink
from infra.phone.state import View
from infra.phone.tracks import Media, PacedTrack

GATHER_DEADLINE_S = 10.0
CANDIDATE_DEADLINE_S = 5.0
CLOSE_DEADLINE_S = 5.0
EARLY_CANDIDATES = 64
FLOWING_WITHIN_S = 3.0
"""A kind of media whose last frame is older does not flow."""
CLOCK_HZ = {"audio": 48_000, "video": 90_000}
"""In which aiortc counts jitter: those of Opus, VP8 and H.264."""
_UFRAG = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)
_UFRAG_IN_CANDIDATE = re.compile(r" ufrag (\S+)")

log = logging.getLogger(__name__)


class CannotApply(PhoneError):
    """A description that aiortc cannot apply to this connection: a new attempt is needed."""


@dataclass(frozen=True, slots=True)
class Way:
    """How the packets travel."""

    relayed: bool
    """Through a TURN server, of either side."""
    lost: float
    """Part of the packets sent here that never came, 0 to 1."""
    round_trip_s: float | None
    """None until the other side reported (RFC 3550, 6.4.1)."""
    packets: int = 0
    """That were sent here, as far as is known."""
    jitter_s: float | None = None
    """Of sound or picture, whichever is worse (RFC 3550, 6.4.1)."""
    candidate_type: str | None = None
    """Of its own candidate: host, srflx, prflx or relay."""


class Peer:
    """One RTCPeerConnection. `changed` is called whenever `state` may have changed; it must not block."""

    def __init__(
        self,
        call: View,
        media: Media,
        *,
        changed: Callable[[], None] = lambda: None,
        message: Callable[[View], None] = lambda message: None,
    ) -> None:
        self.offers_first = call["side"] == "requester"
        self.audio = AudioSink(media.hear)
        self.video = VideoSink()
        self.channel_open = asyncio.Event()
        """Messages can go by the data channel."""
        self.negotiation = 0
        """Number of the latest offer, of either side."""
        self.found_relay = False
        """Whether the other side named a candidate of a TURN server."""
        self._media = media
        self._message = message
        self._changed = changed
        self._early: list[View] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._gathering: asyncio.Task[None] | None = None
        self._chat: RTCDataChannel | None = None
        self._pc = RTCPeerConnection(_configuration(call, bundle_first=self.offers_first))
        self._pc.on("connectionstatechange", changed)
        self._pc.on("track", self._receive)

    @property
    def state(self) -> str:
        """new, connecting, connected, failed or closed, as RTCPeerConnection.connectionState (W3C)."""
        return self._pc.connectionState

    def sending(self) -> View:
        """The contract's `sending`: what left here within the last seconds."""
        return {"audio": _flows(self._media.audio), "video": _flows(self._media.video)}

    def receiving(self) -> View:
        """The contract's `receiving`: what was decoded within the last seconds."""
        return {kind: sink.flows(within_s=FLOWING_WITHIN_S) for kind, sink in self._sinks.items()}

    @property
    def _sinks(self) -> dict[str, AudioSink | VideoSink]:
        return {"audio": self.audio, "video": self.video}

    async def way(self) -> Way:
        """As it is now, once connected."""
        report = (await self._pc.getStats()).values()
        inbound = [one for one in report if one.type == "inbound-rtp"]
        lost = sum(max(0, one.packetsLost) for one in inbound)
        all_sent = lost + sum(one.packetsReceived for one in inbound)
        trips = [one.roundTripTime for one in report if one.type == "remote-inbound-rtp" and one.roundTripTime]
        types = self._candidate_types()
        return Way(
            relayed=any("relay" in pair for pair in types),
            lost=lost / all_sent if all_sent else 0.0,
            round_trip_s=max(trips, default=None),
            packets=all_sent,
            jitter_s=max((one.jitter / CLOCK_HZ[one.kind] for one in inbound), default=None),
            candidate_type=next((local for local, _ in types), None),
        )

    def _candidate_types(self) -> list[tuple[str, str]]:
        """Own and the other's, of each pair in use. aiortc does not tell, aioice below it knows."""
        carried = [transceiver.receiver.transport for transceiver in self._pc.getTransceivers()]
        if self._pc.sctp is not None:
            carried.append(self._pc.sctp.transport)
        transports = {one.transport for one in carried}
        pairs = [pair for transport in transports for pair in transport._connection._nominated.values()]
        return [(pair.local_candidate.type, pair.remote_candidate.type) for pair in pairs]

    # Negotiation.

    async def offer(self, *, in_writing: bool = False) -> View:
        """The requester's first description: sound both ways, picture from here, the two data channels; in a written
        call these alone."""
        if not in_writing:
            self._offer_media()
        self._open_channels()
        self.negotiation += 1
        await self._describe_here()
        return self._description()

    def _offer_media(self) -> None:
        if self._media.audio is not None:
            self._pc.addTrack(self._media.audio)
        else:
            self._pc.addTransceiver("audio", direction="recvonly")
        if self._media.video is not None:
            self._pc.addTransceiver(self._media.video, direction="sendonly")

    async def describe(self, data: View) -> View | None:
        """The other side's description; gives the answer to an offer. Stale ones are passed over.

        Raises `CannotApply` for an offer that restarts ICE, and for nonsense.
        """
        state = self._pc.signalingState
        if data["type"] == "answer":
            if state == "have-local-offer" and data["negotiation"] == self.negotiation:
                await self._describe_there(data)
            return None
        stale = data["negotiation"] <= self.negotiation
        if stale or state != "stable":
            return None  # an offer of ours stands against theirs only on the requester's side, where it wins
        if self._remote_ufrags() not in ((), ufrags_of(data["sdp"])):
            raise CannotApply("ICE restart")
        self.negotiation = data["negotiation"]
        await self._describe_there(data)
        lines = [transceiver for transceiver in self._pc.getTransceivers() if transceiver.kind == "audio"]
        if (
            self._media.audio is not None
            and lines
            and all(line.sender.track is not self._media.audio for line in lines)
        ):
            self._pc.addTrack(self._media.audio)  # in a written call there is no line for it
        if self._pc.sctp is not None and self._chat is None:
            self._open_channels()
        await self._describe_here()
        await self._release_early()
        return self._description()

    async def candidate(self, data: View) -> None:
        """The other side's candidate, also before its description; of a superseded one it is dropped."""
        self.found_relay |= " typ relay" in (data.get("candidate") or "")
        known = self._remote_ufrags()
        ufrag = data.get("usernameFragment") or _ufrag_in(data.get("candidate"))
        if known and (ufrag is None or ufrag in known):
            self._spawn(self._add_candidate(data))
        elif (not known or data["negotiation"] > self.negotiation) and len(self._early) < EARLY_CANDIDATES:
            self._early.append(data)

    async def _describe_here(self) -> None:
        """aioice loses hold of sockets when its gathering is cut off, so it never is: `close` waits for its end."""
        self._gathering = asyncio.create_task(self._pc.setLocalDescription())
        try:
            async with asyncio.timeout(GATHER_DEADLINE_S):
                await asyncio.shield(self._gathering)
        except TimeoutError as error:
            raise CannotApply("gathering took too long") from error

    async def _describe_there(self, data: View) -> None:
        self.found_relay |= " typ relay" in data["sdp"]
        try:
            async with asyncio.timeout(GATHER_DEADLINE_S):
                await self._pc.setRemoteDescription(RTCSessionDescription(data["sdp"], data["type"]))
        except Exception as error:  # aiortc raises nearly anything on an SDP it does not like
            raise CannotApply(f"description refused: {type(error).__name__}") from error
        if data["type"] == "answer":
            await self._release_early()

    async def _release_early(self) -> None:
        early, self._early = self._early, []
        for data in early:
            await self.candidate(data)

    async def _add_candidate(self, data: View) -> None:
        try:
            async with asyncio.timeout(CANDIDATE_DEADLINE_S):  # a name of mDNS has to be looked up
                await self._pc.addIceCandidate(parse_candidate(data))
        except (ValueError, AssertionError, OSError, TimeoutError) as error:
            log.debug("a candidate was not usable: %s", type(error).__name__)

    def _remote_ufrags(self) -> tuple[str, ...]:
        remote: RTCSessionDescription | None = self._pc.remoteDescription  # aiortc's types do not say None
        return ufrags_of(remote.sdp) if remote is not None else ()

    def _description(self) -> View:
        here = self._pc.localDescription
        return {"type": here.type, "sdp": here.sdp, "negotiation": self.negotiation}

    # Media and data.

    def _receive(self, track: MediaStreamTrack) -> None:
        sink = self._sinks[track.kind]
        self._spawn(self._drain(sink, track))

    async def _drain(self, sink: AudioSink | VideoSink, track: MediaStreamTrack) -> None:
        first = asyncio.create_task(sink.first.wait())
        first.add_done_callback(lambda task: None if task.cancelled() else self._changed())
        try:
            await sink.drain(track)
        finally:
            first.cancel()

    def _open_channels(self) -> None:
        """Both sides know the two channels by number: 0 for chat and control, 1 for photos."""
        self._chat = self._pc.createDataChannel("messages", negotiated=True, id=0)
        self._chat.on("open", self.channel_open.set)
        self._chat.on("message", self._heard)
        self._pc.createDataChannel("photo", negotiated=True, id=1)

    def say(self, message: View) -> bool:
        """Send a frame by the data channel; False when it is not open."""
        if self._chat is None or self._chat.readyState != "open":
            return False
        self._chat.send(json.dumps(message))
        return True

    def _heard(self, raw: str | bytes) -> None:
        with suppress(ValueError):
            message = json.loads(raw)
            if isinstance(message, dict):
                self._message(message)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Leave nothing running. May be called twice."""
        self._media.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._gathering is not None:
            await asyncio.wait([self._gathering], timeout=GATHER_DEADLINE_S)
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await self._pc.close()
                if still_connecting := _connects_of(self._pc):
                    await asyncio.wait(still_connecting)
        except TimeoutError:
            log.warning("a peer connection did not close in time")


def _connects_of(pc: RTCPeerConnection) -> list[asyncio.Task[Any]]:
    """aiortc starts connecting in tasks it keeps no hold of; closed early, they end a few moments after it."""

    def is_one(task: asyncio.Task[Any]) -> bool:
        coroutine = task.get_coro()
        if getattr(coroutine, "__qualname__", "") != "RTCPeerConnection.__connect":
            return False
        frame = getattr(coroutine, "cr_frame", None)
        return frame is not None and frame.f_locals.get("self") is pc

    return [task for task in asyncio.all_tasks() if is_one(task)]


def parse_candidate(data: View) -> RTCIceCandidate | None:
    """The contract's `candidate` (RTCIceCandidateInit, W3C) for aiortc; None ends the gathering.

    Raises ValueError or AssertionError on nonsense.
    """
    text = data.get("candidate")
    if not text:
        return None
    candidate = candidate_from_sdp(text.removeprefix("candidate:"))
    candidate.sdpMid = data.get("sdpMid")
    candidate.sdpMLineIndex = data.get("sdpMLineIndex")
    if candidate.sdpMid is None and candidate.sdpMLineIndex is None:
        candidate.sdpMLineIndex = 0
    return candidate


def ufrags_of(sdp: str) -> tuple[str, ...]:
    """The ICE user fragments of a description (RFC 8839, 5.4), each once."""
    return tuple(dict.fromkeys(_UFRAG.findall(sdp)))


def _ufrag_in(candidate: str | None) -> str | None:
    found = _UFRAG_IN_CANDIDATE.search(candidate or "")
    return found.group(1) if found else None


def _flows(track: PacedTrack | None) -> bool:
    return track is not None and track.flows(within_s=FLOWING_WITHIN_S)


def _configuration(call: View, *, bundle_first: bool) -> RTCConfiguration:
    """Never None for iceServers: aiortc would then ask a public STUN server."""
    servers: Sequence[View] = call.get("ice_servers") or []
    relay_only = call.get("ice_policy") == "relay"
    return RTCConfiguration(
        iceServers=[RTCIceServer(s["urls"], s.get("username"), s.get("credential")) for s in servers],
        iceTransportPolicy=RTCIceTransportPolicy.RELAY if relay_only else RTCIceTransportPolicy.ALL,
        # The offerer gathers once; the answerer follows the offer's own bundle.
        bundlePolicy=RTCBundlePolicy.MAX_BUNDLE if bundle_first else RTCBundlePolicy.BALANCED,
    )
