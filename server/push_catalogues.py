"""Checks the catalogues of push texts: nothing missing, nothing too long, nothing that would be shown broken."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from matching.waking import TextKey
from server.push_words import FALLBACK, Catalogue

TITLE_CHARS_MAX = 50
BODY_CHARS_MAX = 120
"""With a language's name in it; phones cut what is longer."""
BUTTON_CHARS_MAX = 20
NAME_CHARS = 15
"""What a language's name usually takes at most."""

KEYS = (
    *(f"{key.value}_{part}" for key in TextKey for part in ("title", "body")),
    "button_answer",
    "button_not_now",
)
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
"""Unicode categories nobody sees: controls, directions, separators of lines."""
_ALLOWED = {"\u200c", "\u200d"}
"""Joiners, which Hindi and others are written with."""


def problems(catalogues: Mapping[str, Catalogue]) -> list[str]:
    """One sentence for each defect, naming language and key; none when all is well."""
    english = catalogues[FALLBACK]
    return [
        f"{language}: {problem}" for language, words in catalogues.items() for problem in _problems_of(words, english)
    ]


def _problems_of(words: Catalogue, english: Catalogue) -> Iterator[str]:
    for key in KEYS:
        if not words.get(key, "").strip():
            yield f"{key} is missing"
        else:
            yield from (f"{key} {problem}" for problem in _defects(key, words[key], english.get(key, "")))
    yield from (f"{key} is no key" for key in words if key not in KEYS)


def _defects(key: str, text: str, english: str) -> Iterator[str]:
    wanted, found = _PLACEHOLDER.findall(english), _PLACEHOLDER.findall(text)
    if sorted(wanted) != sorted(found):
        yield f"has other placeholders ({', '.join(found) or 'none'}) than English"
    if re.search(r"[{}]", _PLACEHOLDER.sub("", text)):
        yield "has a brace too many"
    if text != text.strip():
        yield "begins or ends with a space"
    if any(unicodedata.category(char) in _INVISIBLE and char not in _ALLOWED for char in text):
        yield "has a character that nobody sees"
    shown = len(_PLACEHOLDER.sub("x" * NAME_CHARS, text))
    if shown > (longest := _longest(key)):
        yield f"is {shown} characters long, more than {longest}"


def _longest(key: str) -> int:
    if key.startswith("button_"):
        return BUTTON_CHARS_MAX
    return TITLE_CHARS_MAX if key.endswith("_title") else BODY_CHARS_MAX
