"""Draws the state machines of docs/calls.md (Mermaid) from the tables of transitions.

python -m tests.support.diagrams    writes them into the page anew
"""

from __future__ import annotations

import re
from pathlib import Path

from matching import request_rules
from signaling import call_rules

PAGE = Path(__file__).resolve().parents[2] / "docs" / "calls.md"


def of_requests() -> str:
    """The life of a request; an arrow to its end names the outcome."""
    arrows = [
        (state.value, after.value, event.value if outcome is None else f"{event.value} ({outcome.value})")
        for (state, event), (after, outcome) in request_rules.TRANSITIONS.items()
    ]
    return _drawn("waiting", arrows)


def of_calls() -> str:
    """The life of a call."""
    arrows = [(state.value, after.value, event.value) for (state, event), after in call_rules.TRANSITIONS.items()]
    return _drawn("connecting", arrows)


def _drawn(first: str, arrows: list[tuple[str, str, str]]) -> str:
    """One line for each pair of states, with all that leads from one to the other."""
    labels: dict[tuple[str, str], list[str]] = {}
    for before, after, label in arrows:
        labels.setdefault((before, after), []).append(label)
    lines = [f"    {before} --> {after}: {', '.join(told)}" for (before, after), told in labels.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {first}", *lines, "    ended --> [*]", "```"])


DIAGRAMS = {"requests": of_requests, "calls": of_calls}


def redrawn(page: str) -> str:
    """The page with every diagram as the tables are now."""
    for name, draw in DIAGRAMS.items():
        begin, end = f"<!-- diagram of {name} -->", f"<!-- end of {name} -->"
        page, count = re.subn(f"(?s){begin}.*?{end}", lambda _, d=draw, b=begin, e=end: f"{b}\n{d()}\n{e}", page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the page has {count} places for the diagram of {name}")
    return page


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
