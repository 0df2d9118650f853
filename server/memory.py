"""How often Python looks for garbage: by default after 700 new objects, less than a page of listings."""

from __future__ import annotations

import gc

NEW_OBJECTS = 20_000
"""Some megabytes at most before the youngest are looked through."""


def look_for_garbage_rarely() -> None:
    """Once, when everything a process is made of has been loaded: that is never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 20)
