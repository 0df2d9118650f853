"""Words for pushes without catalogues: two languages, and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matching.waking import PushText, TextKey

NAMES: Mapping[str, Mapping[str, str]] = {
    "en": {"da": "Danish", "en": "English", "ar": "Arabic"},
    "da": {"da": "dansk", "en": "engelsk", "ar": "arabisk"},
}


class FakeWords:
    """`asked` counts the texts rendered."""

    def __init__(self) -> None:
        self.asked = 0

    def text(self, key: TextKey, call_language: str, languages: Sequence[str]) -> PushText:
        self.asked += 1
        language = next((one for one in languages if one in NAMES), "en")
        name = NAMES[language].get(call_language, call_language)
        return PushText(f"{key.value} title", f"{key.value} body", language, "ltr", name)

    def answers(self, languages: Sequence[str]) -> tuple[str, str]:
        return "Answer", "Not now"
