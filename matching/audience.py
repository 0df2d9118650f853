"""Whom a waiting request may be offered to at a moment, widening with the wait. Pure rules."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from matching.languages import index_language
from matching.model import Offer, Request, RequestState
from matching.request_rules import Case


@dataclass(frozen=True, slots=True)
class AudienceLimits:
    """How fast the circle of those who may be asked grows; settings of the deployment."""

    next_language: timedelta = timedelta(seconds=20)
    """How long the most wanted language is asked alone; each further one opens so much later. Long enough for a wave to
    answer, short enough that all languages were asked well before the deadline."""
    public_after_group: timedelta = timedelta(seconds=30)
    """When a request for a group opens to everyone, should its requester not have said."""
    first_person: timedelta = timedelta(seconds=12)
    """How long whoever helped a moment ago is asked alone: an answer takes 8 s, half the time."""


def tags_to_ask(request: Request) -> tuple[str, ...]:
    """The request's languages, most wanted first: of those whose speakers understand each other the first only."""
    by_index: dict[str, str] = {}
    for tag in request.languages:
        by_index.setdefault(index_language(tag), tag)
    return tuple(by_index.values())


def tags_open(request: Request, now: datetime, limits: AudienceLimits) -> int:
    """How many of `tags_to_ask` are open by the wait alone; at least one. Going back to waiting closes none again."""
    if limits.next_language <= timedelta(0):
        return len(tags_to_ask(request))
    return min(len(tags_to_ask(request)), 1 + (now - request.created_at) // limits.next_language)


def next_opening(request: Request, now: datetime, limits: AudienceLimits) -> datetime | None:
    """When more people may be asked only because time passed; None: never again."""
    moments = [request.public_at, request.first_until]
    if tags_open(request, now, limits) < len(tags_to_ask(request)):
        moments.append(request.created_at + tags_open(request, now, limits) * limits.next_language)
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


def first_person_offer(case: Case) -> Offer | None:
    """What became of asking the one who helped a moment ago: their latest offer."""
    made = [offer for offer in case.offers if offer.person_id == case.request.first_person]
    return max(made, key=lambda offer: offer.wave, default=None)


def is_first_persons_turn(case: Case, now: datetime) -> bool:
    """Whether nobody but the one who helped a moment ago is to be asked, as far as the wait is concerned."""
    request = case.request
    if request.state is not RequestState.WAITING or request.first_person is None or request.first_until is None:
        return False
    if now >= request.first_until or request.epoch > 1:
        return False
    offer = first_person_offer(case)
    return offer is None or offer.outcome is None


def call_tag(request: Request, spoken: Collection[str]) -> str:
    """The language of a call with somebody who speaks these (index) languages: the most wanted they share.

    People who know each other may share none that either has named: then the most wanted.
    """
    shared = (tag for tag in request.languages if index_language(tag) in spoken)
    return next(shared, request.languages[0])
