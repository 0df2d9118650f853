"""What the one who waits is told of the search. Pure; the words are the app's."""

from __future__ import annotations

from matching.audience import first_person_offer, is_first_persons_turn
from matching.request_rules import Case
from matching.waves import WaveView


def progress_note(case: Case, view: WaveView, newly_asked: int, newly_asked_in: str | None = None) -> str:
    """The contract's `progress.note` code that is true now.

    `case` and `view` are as they were before this look asked; `newly_asked_in` is the language (tag) of those it asked.
    """
    request = case.request
    if is_first_persons_turn(case, view.now) and (newly_asked or first_person_offer(case) is not None):
        return "same_person_first"
    if view.open + newly_asked == 0:
        return "going_back" if request.returns and not view.asked else "nobody_awake"
    if request.returns and view.asked == 0:
        return "going_back"
    if request.is_private(view.now):
        return _more(newly_asked) if view.asked else "group_first"
    if newly_asked and _opens_now(case):
        return "opening_to_everyone"
    if view.asked == 0:
        return "asking"
    return "next_language" if newly_asked and _is_new_language(case, newly_asked_in) else _more(newly_asked)


def _opens_now(case: Case) -> bool:
    """Whether nobody outside the group or desk was asked before."""
    request = case.request
    if request.public_at is None or (request.group_id is None and request.desk_id is None):
        return False
    return not any(offer.offered_at >= request.public_at for offer in case.offers)


def _is_new_language(case: Case, tag: str | None) -> bool:
    return tag is not None and tag not in {offer.language for offer in case.offers}


def _more(newly_asked: int) -> str:
    return "asking_more" if newly_asked else "still_looking"
