"""What msgspec says is wrong with a message, in the contract's words: where, and what, never the value itself."""

from __future__ import annotations

import re

_FIELD = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]*)`")


def place_and_problem(error: str) -> tuple[str, str]:
    """The text of a `msgspec.ValidationError` as (path of the field, what was wrong there).

    The path is such as `device.id` or `languages[2]`; empty for the message as a whole.
    """
    place = _FIELD.search(error)
    path = place.group(1) if place else ""
    problem = _FIELD.sub("", error)
    if missing := _MISSING.search(problem):
        path = f"{path}.{missing.group(1)}" if path else missing.group(1)
    if problem.startswith("Invalid value"):  # of a union's tag
        problem = "not a type of this contract"
    elif problem.startswith("Invalid enum value"):
        problem = "not one of the allowed values"
    return path, problem
