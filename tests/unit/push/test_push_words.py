"""The words of pushes: complete in every language, true to their limits, found for every person."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel import Locale
from babel.messages.pofile import PoFileError
from hypothesis import given
from hypothesis import strategies as st

from matching.waking import TextKey
from server.push_catalogues import BODY_CHARS_MAX, KEYS, TITLE_CHARS_MAX, problems
from server.push_words import LANGUAGES, LOCALE, Catalogue, CataloguePushWords, read_catalogue

WORDS = CataloguePushWords()
ASKED_FOR = ("en", "da", "de", "es", "fr", "it", "nl", "pl", "pt", "sv", "tr", "zh", "ar", "hi")
MOST_SPOKEN = re.findall(
    r"\w+", "en zh hi es fr ar bn pt ru ur id de ja mr te tr ta vi ko it pl uk fa nl ro el cs sv da he"
)
tags = st.one_of(st.sampled_from(["da-DK", "nb", "x-klingon", "", "zh-Hant-TW", "-", "de_DE"]), st.text(max_size=12))


def catalogues() -> dict[str, dict[str, str]]:
    return {language: dict(read_catalogue(language)) for language in LANGUAGES}


class TestCatalogues:
    def test_there_is_one_for_every_language_promised(self) -> None:
        assert set(ASKED_FOR) == set(LANGUAGES)
        assert {path.parts[-3] for path in LOCALE.glob("*/LC_MESSAGES/push.po")} == set(LANGUAGES)

    def test_nothing_is_missing_or_malformed(self) -> None:
        found: dict[str, Catalogue] = dict(catalogues())
        assert problems(found) == []

    def test_the_template_has_the_same_keys(self) -> None:
        text = (LOCALE / "push.pot").read_text(encoding="utf-8")
        assert all(f'msgid "{key}"' in text for key in KEYS)
        assert text.count("msgid ") == len(KEYS) + 1

    @pytest.mark.parametrize(
        ("key", "text", "problem"),
        [
            ("ring_title", "", "da: ring_title is missing"),
            ("ring_body", "Tryk", "da: ring_body has other placeholders (none) than English"),
            ("ring_body", "{sprog}", "da: ring_body has other placeholders (sprog) than English"),
            ("ring_title", "{language}", "da: ring_title has other placeholders (language) than English"),
            ("ring_body", "{language}}", "da: ring_body has a brace too many"),
            ("button_answer", "Svar ", "da: button_answer begins or ends with a space"),
            ("ring_title", "Ring\u202e", "da: ring_title has a character that nobody sees"),
            ("ring_title", "Ri\nng", "da: ring_title has a character that nobody sees"),
            ("ring_title", "x" * 51, "da: ring_title is 51 characters long, more than 50"),
            ("button_not_now", "x" * 21, "da: button_not_now is 21 characters long, more than 20"),
            ("surprise", "x", "da: surprise is no key"),
        ],
    )
    def test_every_defect_is_named(self, key: str, text: str, problem: str) -> None:
        found = catalogues()
        found["da"][key] = text
        assert problem in problems(dict(found))

    def test_a_fuzzy_string_counts_as_missing(self, tmp_path: Path) -> None:
        path = tmp_path / "da" / "LC_MESSAGES"
        path.mkdir(parents=True)
        text = (LOCALE / "da" / "LC_MESSAGES" / "push.po").read_text(encoding="utf-8")
        fuzzy = text.replace('msgid "missed_title"', '#, fuzzy\nmsgid "missed_title"')
        (path / "push.po").write_text(fuzzy, encoding="utf-8")
        assert problems({**catalogues(), "da": read_catalogue("da", tmp_path)}) == ["da: missed_title is missing"]

    def test_a_string_left_out_is_named(self) -> None:
        found = catalogues()
        del found["hi"]["missed_body"]
        assert problems(dict(found)) == ["hi: missed_body is missing"]

    def test_a_file_that_is_no_catalogue_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "da" / "LC_MESSAGES"
        path.mkdir(parents=True)
        (path / "push.po").write_text("nonsense\n")
        with pytest.raises(PoFileError):
            read_catalogue("da", tmp_path)


class TestTexts:
    @pytest.mark.parametrize(
        ("languages", "chosen"),
        [
            (("da-DK", "en"), "da"),
            (("nb", "sv"), "sv"),
            (("fo",), "en"),
            ((), "en"),
            (("pt-BR",), "pt"),
            (("zh-Hant-TW",), "zh"),
            (("not a tag", "tr"), "tr"),
        ],
    )
    def test_are_in_the_first_language_there_is(self, languages: tuple[str, ...], chosen: str) -> None:
        assert WORDS.text(TextKey.RING, "en", languages).language == chosen

    def test_name_the_language_of_the_call_in_the_readers(self) -> None:
        assert WORDS.text(TextKey.RING, "da-DK", ["en"]).body == "In Danish. Tap to answer."
        assert WORDS.text(TextKey.RING, "da", ["de"]).call_language == "Dänisch"
        assert WORDS.text(TextKey.RING, "qaa-x-none", ["en"]).call_language == "qaa-x-none"

    def test_arabic_is_written_from_the_right(self) -> None:
        directions = {language: WORDS.text(TextKey.RING, "en", [language]).direction for language in LANGUAGES}
        assert {language for language, written in directions.items() if written == "rtl"} == {"ar"}

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_fit_a_lock_screen_whatever_the_call_speaks(self, language: str) -> None:
        for call in MOST_SPOKEN:
            for key in TextKey:
                text = WORDS.text(key, call, [language])
                assert len(text.title) <= TITLE_CHARS_MAX
                assert len(text.body) <= BODY_CHARS_MAX
                assert "{" not in text.title + text.body

    @given(st.sampled_from(TextKey), tags, st.lists(tags, max_size=4))
    def test_there_are_always_some(self, key: TextKey, call: str, languages: list[str]) -> None:
        text = WORDS.text(key, call, languages)
        assert text.title
        assert text.body
        assert all(WORDS.answers(languages))

    def test_every_language_is_known_to_cldr(self) -> None:
        assert all(Locale.parse(language).get_language_name("en") for language in LANGUAGES)
