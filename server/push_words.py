"""The words of pushes, from gettext catalogues: `server/locale/<language>/LC_MESSAGES/push.po`.

Catalogues are read as they are written: a few small files need no compiler, and a new one needs no code. Names of
languages and the direction of writing are CLDR's, through Babel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import langcodes
from babel import Locale
from babel.messages.catalog import Catalog

from matching.waking import PushText, TextKey
from server.push_catalogues import ENGLISH, KEYS, LOCALE, PLACEHOLDER, read_catalogues, texts

BUTTONS = ("button_answer", "button_not_now")


@dataclass(frozen=True, slots=True)
class _Spoken:
    """What can be said in one language."""

    language: str
    texts: Mapping[str, str]
    names: Mapping[str, str]
    """Of all languages, by primary subtag."""
    direction: Literal["ltr", "rtl"]


class CataloguePushWords:
    """Implements `matching.waking.PushWords`.

    Everything is read at construction, which raises when a file is broken or not all of English is there (ValueError);
    nothing does afterwards.
    """

    def __init__(self, root: Path = LOCALE) -> None:
        catalogues = read_catalogues(root)
        self._spoken = {language: _spoken(language, catalogue) for language, catalogue in catalogues.items()}
        if ENGLISH not in self._spoken or set(KEYS) - set(self._spoken[ENGLISH].texts):
            raise ValueError(f"the fallback catalogue ({ENGLISH}) is not complete")
        # A wave says the same to many: rendered once for each language that is read.
        self._rendered = lru_cache(4096)(self._render)

    @property
    def languages(self) -> frozenset[str]:
        """There are catalogues of."""
        return frozenset(self._spoken)

    def text(self, key: TextKey, call_language: str, languages: Sequence[str]) -> PushText:
        return self._rendered(key, call_language, self._chosen(languages))

    def answers(self, languages: Sequence[str]) -> tuple[str, str]:
        words = self._with(BUTTONS, self._chosen(languages)).texts
        return words[BUTTONS[0]], words[BUTTONS[1]]

    def _chosen(self, languages: Sequence[str]) -> str:
        """The first of the person's languages that there is a catalogue of."""
        return next((base for tag in languages for base in _bases(tag) if base in self._spoken), ENGLISH)

    def _with(self, keys: Sequence[str], language: str) -> _Spoken:
        """English, when something is missing: never half a text in one language and half in another."""
        spoken = self._spoken[language]
        return spoken if all(key in spoken.texts for key in keys) else self._spoken[ENGLISH]

    def _render(self, key: TextKey, call_language: str, language: str) -> PushText:
        title, body = f"{key.value}_title", f"{key.value}_body"
        spoken = self._with((title, body), language)
        name = _name(call_language, spoken.names)
        return PushText(
            title=spoken.texts[title].replace(PLACEHOLDER, name),
            body=spoken.texts[body].replace(PLACEHOLDER, name),
            language=spoken.language,
            direction=spoken.direction,
            call_language=name,
        )


def _spoken(language: str, catalogue: Catalog) -> _Spoken:
    """Raises babel's UnknownLocaleError (of a folder that is called after no language)."""
    locale = Locale.parse(language)
    names = {code: str(name) for code, name in locale.languages.items()}
    return _Spoken(language, texts(catalogue), names, "rtl" if locale.text_direction == "rtl" else "ltr")


def _name(tag: str, names: Mapping[str, str]) -> str:
    """`da-DK` in English -> `Danish`; a language CLDR has no name for is called by its tag."""
    return next((names[base] for base in _bases(tag) if base in names), tag)


@lru_cache(4096)
def _bases(tag: str) -> tuple[str, ...]:
    """`pt-BR` -> `pt`; `cmn` -> `cmn`, `zh`, as everybody writes it; nothing for what is no language tag."""
    try:
        normal = langcodes.get(tag)
        main = langcodes.get(langcodes.standardize_tag(normal, macro=True))
    except ValueError:  # also langcodes' own error
        return ()
    return tuple(dict.fromkeys(base for base in (normal.language, main.language) if base))
