"""The catalogues of push texts: how they are read, and what is wrong with them, so that nothing is shown broken."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po

from matching.waking import TextKey

LOCALE = Path(__file__).with_name("locale")
ENGLISH = "en"
PLACEHOLDER = "{language}"
"""The call's language goes here; there is no other."""

TITLE_CHARS_MAX = 50
BODY_CHARS_MAX = 120
"""With a language's name in it; phones cut what is longer."""
BUTTON_CHARS_MAX = 20
NAME_CHARS = 40
"""Room for a language's name: CLDR's longest has 37 characters, a tag at most 35 (RFC 5646, 4.4.1)."""

KEYS = (
    *(f"{key.value}_{part}" for key in TextKey for part in ("title", "body")),
    "button_answer",
    "button_not_now",
)
_PLACEHOLDERS = re.compile(r"\{\w*\}")
_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
"""Unicode categories nobody sees: controls, directions, separators of lines."""
_ALLOWED = {"\u200c", "\u200d"}
"""Joiners, which Hindi and others are written with."""


def read_catalogues(root: Path = LOCALE) -> dict[str, Catalog]:
    """Every `<language>/LC_MESSAGES/push.po` by its language. Raises OSError, or babel's PoFileError."""
    return {path.parts[-3]: _read(path) for path in sorted(root.glob("*/LC_MESSAGES/push.po"))}


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, abort_invalid=True)


def texts(catalogue: Catalog) -> dict[str, str]:
    """What may be shown, by key: one a translator has yet to look at ("fuzzy") may not, as everywhere in gettext."""
    return {
        str(message.id): str(message.string)
        for message in catalogue
        if message.id and str(message.string or "").strip() and not message.fuzzy
    }


def problems(catalogues: Mapping[str, Catalog]) -> list[str]:
    """One sentence for each defect, naming language and key; none when all is well."""
    english = texts(catalogues[ENGLISH]) if ENGLISH in catalogues else {}
    found = [f"{language}: {one}" for language, words in catalogues.items() for one in _of(language, words, english)]
    return found if english else [f"{ENGLISH}: there is no catalogue", *found]


def _of(language: str, catalogue: Catalog, english: Mapping[str, str]) -> Iterator[str]:
    if catalogue.locale_identifier != language:
        yield f"the header says {catalogue.locale_identifier}"
    if catalogue.fuzzy:
        yield "the header is fuzzy"
    yield from (f"{key} is missing" for key in KEYS if catalogue.get(key) is None)
    for message in catalogue:
        if not message.id:
            continue
        if message.id not in KEYS or message.context:
            yield f"{message.id} is no key"
            continue
        if message.fuzzy:
            yield f"{message.id} is fuzzy"
        key, text = str(message.id), str(message.string or "")
        yield from (f"{key} {defect}" for defect in _defects(key, text, english.get(key)))


def _defects(key: str, text: str, english: str | None) -> Iterator[str]:
    if not text.strip():
        yield "is empty"
        return
    found = _PLACEHOLDERS.findall(text)
    if unknown := sorted(set(found) - {PLACEHOLDER}):
        yield f"has the unknown placeholder {', '.join(unknown)}"
    if english is not None and found.count(PLACEHOLDER) != (wanted := english.count(PLACEHOLDER)):
        yield f"has {PLACEHOLDER} {found.count(PLACEHOLDER)} times, English {wanted}"
    if re.search(r"[{}]", _PLACEHOLDERS.sub("", text)):
        yield "has a brace that belongs to no placeholder"
    if text != text.strip():
        yield "begins or ends with a space"
    if any(unicodedata.category(char) in _INVISIBLE and char not in _ALLOWED for char in text):
        yield "has a character that nobody sees"
    shown = len(_PLACEHOLDERS.sub("x" * NAME_CHARS, text))
    if shown > (longest := _longest(key)):
        yield f"is {shown} characters long, more than {longest}"


def _longest(key: str) -> int:
    if key.startswith("button_"):
        return BUTTON_CHARS_MAX
    return TITLE_CHARS_MAX if key.endswith("_title") else BODY_CHARS_MAX
