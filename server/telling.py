"""Tells people what was decided: the herald of `matching` and `signaling` over mailboxes.

There is one path for the first telling and for any repetition: read what is decided and not told, send it, remember it
was told. Every message carries the version of what it speaks of, so a repetition or a late old state changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

import msgspec
import structlog

from matching.languages import PROBE_LANGUAGE
from matching.model import Offer, Request, RequestState
from matching.ports import NewsBook, OfferNews, RequestNews
from matching.request_rules import Progress as SearchProgress
from server.call_metrics import pictures
from server.ice import IceServers
from server.presenting import call_view, offer_view, request_view
from server.socket import messages as wire
from server.socket.envelope import encode
from server.views import timestamp
from signaling.model import Call, Side
from signaling.ports import CallNews, CarrierUnavailable, Sender, Version

log = structlog.get_logger()

TELL_WITHIN_S = 10.0
"""Also how old what is told may be: less than mailboxes remember versions for, so that a node that was frozen between
reading and sending brings back nothing."""

Outages = tuple[type[BaseException], ...]


class Telling:
    """Sends news to the sessions concerned. Nothing here raises: what is not told now, a look tells later."""

    def __init__(
        self,
        requests: NewsBook,
        calls: CallNews,
        sender: Sender,
        ice: IceServers,
        outages: Outages,
        wake: Callable[[UUID], object],
    ) -> None:
        """`outages`: what the books raise when Postgres is away. `wake`: see to a request's pushes; must not wait."""
        self._requests = requests
        self._calls = calls
        self._sender = sender
        self._ice = ice
        self._wake = wake
        self._failures: Outages = (CarrierUnavailable, TimeoutError, *outages)

    async def tell(self, request_id: UUID) -> None:
        """Everything decided about this request and not told yet: calls first, then the request, then offers."""
        try:
            async with asyncio.timeout(TELL_WITHIN_S):
                await self._tell(request_id)
        except self._failures as error:
            log.warning("telling waits", request=str(request_id), error=type(error).__name__)

    async def _tell(self, request_id: UUID) -> None:
        news = await self._requests.request_news(request_id)
        if news is None:
            return
        if news.of_wakes:
            self._wake(request_id)
        for call in await self._calls.call_news(request_id) if news.of_calls else ():
            await self.call(call, news.now)
            self._calls.told_call(call)
        if news.untold:
            await self._tell_request(news)
        if news.free_until is not None:
            await self._tell_free(news, news.free_until)
        offers = await self._requests.offer_news(request_id) if news.of_offers else []
        await asyncio.gather(*(self._tell_offer(offer, news) for offer in offers))

    async def call(self, call: Call, now: datetime) -> None:
        """The call as it is, to both sides. Raises `CarrierUnavailable`."""
        for side in Side:
            view = call_view(call, side, self._ice, now)
            frame = wire.CallFrame(data=wire.CallChanged(call=view), call=call.id, attempt=call.attempt)
            await self._sender.send(call.end(side).session_id, encode(frame), version=_call_version(call))
        log.info("call", call=str(call.id), request=str(call.request_id), state=call.state, reason=call.end_reason)

    async def _tell_request(self, news: RequestNews) -> None:
        request = news.request
        frame = encode(wire.RequestChangedFrame(data=wire.RequestChanged(request=request_view(request))))
        for session_id in news.sessions:
            await self._sender.send(session_id, frame, version=Version(f"request:{request.id}", request.version))
        self._requests.told_request(request.id, request.version)
        _log_request(request)

    async def _tell_free(self, news: RequestNews, until: datetime) -> None:
        """Somebody is free, to whoever nobody came to."""
        request_id = news.request.id
        frame = encode(wire.SomeoneFreeFrame(data=wire.SomeoneFree(request_id=request_id, until=timestamp(until))))
        version = Version(f"free:{request_id}", int(until.timestamp() * 1000))
        for session_id in news.sessions:
            await self._sender.send(session_id, frame, version=version)
        self._requests.told_free(request_id)
        log.info("someone is free", request=str(request_id))

    async def _tell_offer(self, news: OfferNews, about: RequestNews) -> None:
        offer = news.open.offer
        if not news.over:
            if offer.expires_at > about.now:
                await self._ring(news, about)
        else:
            await self._withdraw(news)
        self._requests.told_offer(offer)

    async def _ring(self, news: OfferNews, about: RequestNews) -> None:
        frame = encode(wire.OfferFrame(data=wire.Offered(offer=offer_view(news.open, about.now))))
        for session_id in news.sessions:
            await self._sender.send(session_id, frame, version=_version(news.open.offer))

    async def _withdraw(self, news: OfferNews) -> None:
        """To every session of theirs but the one that has the call: that one knows better."""
        offer = news.open.offer
        assert offer.reason is not None
        data = wire.OfferWithdrawn(request_id=offer.request_id, epoch=offer.epoch, reason=offer.reason.value)
        frame = encode(wire.OfferWithdrawnFrame(data=data))
        for session_id in news.sessions:
            if session_id != offer.session_id:
                await self._sender.send(session_id, frame, version=_version(offer))

    async def progress(self, request: Request, progress: SearchProgress) -> None:
        """How the search goes, to whoever listens now."""
        try:
            news = await self._requests.request_news(request.id)
            params = {"language": progress.language} if progress.language is not None else {}
            note = wire.Note(code=cast(Any, progress.note), params=params)
            data = wire.Progress(request_id=request.id, asked=progress.asked, note=note)
            for session_id in news.sessions if news else ():
                await self._sender.send_unnumbered(session_id, encode(wire.ProgressFrame(data=data)))
        except self._failures as error:
            log.warning("progress not told", request=str(request.id), error=type(error).__name__)

    async def standing_by(self, session_id: UUID, until: datetime) -> None:
        """Somebody else was faster by a moment, and may still fail."""
        await self._send_or_log(session_id, encode(wire.StandByFrame(data=wire.StandBy(until=timestamp(until)))))

    async def moved(self, call: Call, side: Side, old_session: UUID) -> None:
        """The session a side was moved away from hears that the call is over there."""
        view = call_view(call, side, self._ice, call.created_at)
        over = msgspec.structs.replace(
            view, state="ended", end_reason="moved", end_by="me", ice_servers=[], ice_expires_at=None
        )
        frame = wire.CallFrame(data=wire.CallChanged(call=over), call=call.id, attempt=call.attempt - 1)
        # With the version it had, so that an older telling still on its way does not bring the call back to life there.
        await self._send_or_log(old_session, encode(frame), _call_version(call))

    async def peer(self, call: Call, side: Side, state: Literal["away", "back", "paused"], cause: str | None) -> None:
        """The other side hears how this side is."""
        frame = wire.PeerFrame(data=wire.Peer(state=state, cause=cause), call=call.id, attempt=call.attempt)
        await self._send_or_log(call.end(side.other).session_id, encode(frame))

    async def picture(self, call: Call) -> None:
        """Both sides hear what the volunteer sees of the requester's picture; so does whoever has a new socket."""
        if call.picture is None:
            return
        frame = encode(
            wire.PictureFrame(data=wire.PictureSeen(state=call.picture.value), call=call.id, attempt=call.attempt)
        )
        try:
            for side in Side:
                await self._sender.send_unnumbered(call.end(side).session_id, frame)
            if call.language != PROBE_LANGUAGE:
                pictures.labels(call.picture.value).inc()
        except CarrierUnavailable as error:
            log.warning("picture not told", call=str(call.id), error=type(error).__name__)

    async def _send_or_log(self, session_id: UUID, frame: bytes, version: Version | None = None) -> None:
        try:
            await self._sender.send(session_id, frame, version=version)
        except CarrierUnavailable as error:
            log.warning("not told", session=str(session_id), error=type(error).__name__)


def _call_version(call: Call) -> Version:
    return Version(f"call:{call.id}", call.version)


def _version(offer: Offer) -> Version:
    subject = f"offer:{offer.request_id}:{offer.epoch}:{offer.wave}"
    return Version(subject, 1 if offer.outcome is None else 2)


def _log_request(request: Request) -> None:
    known = {"request": str(request.id), "state": request.state, "epoch": request.epoch, "asked": request.asked}
    if request.state is RequestState.ENDED:
        log.info("request", **known, outcome=request.outcome)
    else:
        log.info("request", **known)
