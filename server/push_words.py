"""The words of pushes, from gettext catalogues: `server/locale/<language>/LC_MESSAGES/push.po`.

Catalogues are read as they are written: fifteen small files need no compiler. Names of languages and the direction of
writing are CLDR's, through Babel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import langcodes
from babel import Locale, UnknownLocaleError
from babel.messages.pofile import read_po

from matching.waking import PushText, TextKey

LOCALE = Path(__file__).with_name("locale")
LANGUAGES = ("en", "da", "de", "es", "fr", "it", "nl", "pl", "pt", "sv", "tr", "zh", "ar", "hi")
FALLBACK = "en"

Catalogue = Mapping[str, str]
"""Message key -> text with `{language}` where the call's language goes."""


def read_catalogue(language: str, root: Path = LOCALE) -> Catalogue:
    """A text that a translator has yet to look at ("fuzzy") is none. Raises OSError, or babel's PoFileError."""
    with (root / language / "LC_MESSAGES" / "push.po").open("rb") as file:
        catalogue = read_po(file, locale=language, abort_invalid=True)
    return {str(message.id): str(message.string) for message in catalogue if message.id and not message.fuzzy}


class CataloguePushWords:
    """Implements `matching.waking.PushWords`."""

    def __init__(self, root: Path = LOCALE) -> None:
        self._catalogues = {language: read_catalogue(language, root) for language in LANGUAGES}
        # A wave says the same to many: rendered once for each wish of languages.
        self._rendered = lru_cache(4096)(self._render)

    def text(self, key: TextKey, call_language: str, languages: Sequence[str]) -> PushText:
        return self._rendered(key, call_language, self._chosen(languages))

    def answers(self, languages: Sequence[str]) -> tuple[str, str]:
        words = self._catalogues[self._chosen(languages)]
        return words["button_answer"], words["button_not_now"]

    def _chosen(self, languages: Sequence[str]) -> str:
        """The first of the person's languages that there is a catalogue of."""
        found = (base for tag in languages if (base := _base(tag)) in self._catalogues)
        return next(found, FALLBACK)

    def _render(self, key: TextKey, call_language: str, language: str) -> PushText:
        words, name = self._catalogues[language], language_name(call_language, language)
        title, body = (words[f"{key.value}_{part}"].replace("{language}", name) for part in ("title", "body"))
        return PushText(title, body, language, direction(language), name)


def language_name(tag: str, language: str) -> str:
    """`da-DK` in `en` -> `Danish`; a language CLDR has no name for is called by its tag."""
    base = _base(tag)
    if not base:
        return tag
    return str(Locale.parse(language).languages.get(base, tag))


def direction(language: str) -> Literal["ltr", "rtl"]:
    try:
        return "rtl" if Locale.parse(language).text_direction == "rtl" else "ltr"
    except (UnknownLocaleError, ValueError):
        return "ltr"


@lru_cache(4096)
def _base(tag: str) -> str:
    """`pt-BR` -> `pt`; empty for what is no language tag."""
    try:
        return langcodes.get(tag).language or ""
    except ValueError:  # also langcodes' own error
        return ""
