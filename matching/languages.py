"""What a language tag means to matching: its canonical form (BCP 47), and the one language people are indexed under."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import langcodes

LONGEST_TAG = 35
"""RFC 5646, section 4.4.1: what an implementation has to support."""

PROBE_LANGUAGE = "qaa"
"""Of those who only try the service out. A tag of private use (RFC 5646, 2.2.1), which nobody can choose: who speaks it
is never asked for by, and never asks, anybody else; and it counts in no figure."""

_CHARACTERS = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
_NO_LANGUAGE = frozenset({"und", "mul", "mis", "zxx"})
_UNDERSTAND_EACH_OTHER = {"nb": "no", "nn": "no"}


@lru_cache(maxsize=4096)
def normal_tag(tag: str) -> str:
    """The canonical form of a BCP 47 tag: `PT-br` -> `pt-BR`, `iw` -> `he`, `sh` -> `sr-Latn`.

    ValueError when the tag is ill-formed, not registered, or names no language two strangers could share
    (undetermined, several, none, private use).
    """
    if len(tag) > LONGEST_TAG or not _CHARACTERS.fullmatch(tag):
        raise ValueError("not a language tag (BCP 47)")
    if not langcodes.tag_is_valid(tag):
        raise ValueError("not a registered language")
    normal = langcodes.standardize_tag(tag)
    language = normal.partition("-")[0]
    if language in _NO_LANGUAGE or language == "x" or "qaa" <= language <= "qtz":
        raise ValueError("names no language that people could share")
    return normal


@lru_cache(maxsize=4096)
def index_language(tag: str) -> str:
    """The language people are found under: the primary subtag, in which speakers understand each other.

    Region, script and variants fall away: `pt-BR` and `pt-PT` -> `pt`. A language that is the main form of a
    macrolanguage goes by the macrolanguage, as everybody writes it: `cmn` -> `zh`, `arb` -> `ar`, `swh` -> `sw`; others
    stay themselves: `yue` (Cantonese), `arz`. Both written forms of Norwegian, `nb` and `nn`, and `no` are one: `no`.
    ValueError as `normal_tag`.
    """
    if tag == PROBE_LANGUAGE:
        return tag
    language = langcodes.standardize_tag(normal_tag(tag), macro=True).partition("-")[0]
    return _UNDERSTAND_EACH_OTHER.get(language, language)


def index_languages(tags: Iterable[str]) -> tuple[str, ...]:
    """Index languages of tags, each once, in the order of preference given."""
    return tuple(dict.fromkeys(index_language(tag) for tag in tags))
