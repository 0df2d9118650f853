"""Codes of invites: short enough to be read aloud, too many to be guessed."""

from __future__ import annotations

import hashlib
import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: none of its letters is taken for a digit."""
CODE_CHARS = 10
"""50 bits."""
LONGEST_TYPED = 64

_TAKEN_FOR = str.maketrans({"O": "0", "I": "1", "L": "1", " ": None, "-": None})


def new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARS))


def normal_code(typed: str) -> str | None:
    """The code meant, however it was typed: in small letters, in groups, with O for 0. None: it can be none."""
    if len(typed) > LONGEST_TYPED or not typed.isascii():
        return None
    code = typed.upper().translate(_TAKEN_FOR)
    return code if len(code) == CODE_CHARS and set(code) <= set(ALPHABET) else None


def code_hash(code: str) -> bytes:
    """All that is kept of a code."""
    return hashlib.sha256(code.encode()).digest()
