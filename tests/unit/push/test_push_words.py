"""The words of pushes: complete in every language, true to their limits, found for every person."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import PoFileError, read_po
from hypothesis import given
from hypothesis import strategies as st

from matching.languages import LONGEST_TAG
from matching.waking import TextKey
from server.push_catalogues import BODY_CHARS_MAX, KEYS, LOCALE, TITLE_CHARS_MAX, problems, read_catalogues, texts
from server.push_words import CataloguePushWords

LANGUAGES = ("en", "da", "de", "es", "fr", "it", "nl", "pl", "pt", "sv", "tr", "zh", "ar", "hi")
WORDS = CataloguePushWords()
MOST_SPOKEN = (
    "en zh hi es ar fr bn pt id ur ru de ja mr vi te ha tr sw fil ta fa ko th jv it gu am kn pl".split()  # noqa: SIM905
)
TAGS = st.one_of(
    st.sampled_from(
        ["da-DK", "nb", "x-klingon", "", "zh-Hant-TW", "-", "de_DE", "cmn", "i-klingon", "und", "{language}"]
    ),
    st.from_regex(r"[A-Za-z]{1,4}(-[A-Za-z0-9]{1,8}){0,3}", fullmatch=True),
    st.text(max_size=12),
)


def change(key: str, **changes: object) -> Callable[[Catalog], None]:
    """Of one message of a catalogue."""

    def apply(catalogue: Catalog) -> None:
        message = catalogue.get(key)
        assert message is not None
        for name, value in changes.items():
            setattr(message, name, value)

    return apply


def says(key: str, text: str) -> Callable[[Catalog], None]:
    return change(key, string=text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of all catalogues, to be damaged."""
    shutil.copytree(LOCALE, tmp_path / "locale")
    return tmp_path / "locale"


def rewrite(folder: Path, language: str, old: str, new: str) -> None:
    path = folder / language / "LC_MESSAGES" / "push.po"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


class TestCatalogues:
    def test_there_is_one_for_every_language_promised(self) -> None:
        assert WORDS.languages == set(LANGUAGES)

    def test_nothing_is_wrong_with_any(self) -> None:
        assert problems(read_catalogues()) == []

    def test_tell_translators_what_the_template_tells(self) -> None:
        with (LOCALE / "push.pot").open("rb") as file:
            template = {str(message.id): message for message in read_po(file) if message.id}
        assert tuple(template) == KEYS
        assert not any(message.string for message in template.values())
        for language, catalogue in read_catalogues().items():
            told = {str(message.id): message.auto_comments for message in catalogue if message.id}
            assert told == {key: message.auto_comments for key, message in template.items()}, language

    @pytest.mark.parametrize(
        ("damage", "problem"),
        [
            (lambda catalogue: catalogue.delete("missed_body"), "missed_body is missing"),
            (lambda catalogue: catalogue.add("surprise", "x"), "surprise is no key"),
            (change("missed_title", flags={"fuzzy"}), "missed_title is fuzzy"),
            (change("missed_title", string=""), "missed_title is empty"),
            (says("missed_title", " "), "missed_title is empty"),
            (says("ring_title", "x" * 51), "ring_title is 51 characters long, more than 50"),
            (says("ring_body", "{language}" + "x" * 81), "ring_body is 121 characters long, more than 120"),
            (says("button_not_now", "x" * 21), "button_not_now is 21 characters long, more than 20"),
            (says("ring_body", "Tryk"), "ring_body has {language} 0 times, English 1"),
            (says("ring_title", "{language}"), "ring_title has {language} 1 times, English 0"),
            (says("ring_body", "{language}, {name}"), "ring_body has the unknown placeholder {name}"),
            (says("ring_body", "{language}, {}"), "ring_body has the unknown placeholder {}"),
            (says("ring_body", "{language}}"), "ring_body has a brace that belongs to no placeholder"),
            (says("ring_body", "{language} {"), "ring_body has a brace that belongs to no placeholder"),
            (says("ring_body", "{language} {language!r}"), "ring_body has a brace that belongs to no placeholder"),
            (says("button_answer", "Svar "), "button_answer begins or ends with a space"),
            (says("button_answer", "\u00a0Svar"), "button_answer begins or ends with a space"),
            (says("ring_title", "Ring\u202e"), "ring_title has a character that nobody sees"),
            (says("ring_title", "\u2068Ring\u2069"), "ring_title has a character that nobody sees"),
            (says("ring_title", "Ri\nng"), "ring_title has a character that nobody sees"),
            (lambda catalogue: setattr(catalogue, "fuzzy", True), "the header is fuzzy"),
            (lambda catalogue: setattr(catalogue, "locale", "sv"), "the header says sv"),
        ],
    )
    def test_every_defect_is_named(self, damage: Callable[[Catalog], None], problem: str) -> None:
        catalogues = read_catalogues()
        damage(catalogues["da"])
        assert problems(catalogues) == [f"da: {problem}"]

    def test_defects_of_english_are_named_as_its_own(self) -> None:
        catalogues = read_catalogues()
        says("ring_body", "In {tongue}.")(catalogues["en"])
        assert "en: ring_body has the unknown placeholder {tongue}" in problems(catalogues)
        del catalogues["en"]
        assert problems(catalogues) == ["en: there is no catalogue"]

    def test_a_file_that_is_no_catalogue_is_refused(self, folder: Path) -> None:
        (folder / "da" / "LC_MESSAGES" / "push.po").write_text("nonsense\n")
        with pytest.raises(PoFileError):
            CataloguePushWords(folder)

    def test_without_all_of_english_there_is_nothing_to_fall_back_on(self, folder: Path) -> None:
        rewrite(folder, "en", 'msgstr "Not now"', 'msgstr ""')
        with pytest.raises(ValueError, match="not complete"):
            CataloguePushWords(folder)
        shutil.rmtree(folder / "en")
        with pytest.raises(ValueError, match="not complete"):
            CataloguePushWords(folder)


class TestTexts:
    @pytest.mark.parametrize(
        ("languages", "chosen"),
        [
            (("da-DK", "en"), "da"),
            (("nb", "sv"), "sv"),
            (("nn-NO", "no"), "en"),
            (("fo",), "en"),
            ((), "en"),
            (("pt-BR",), "pt"),
            (("zh-Hant-TW",), "zh"),
            (("cmn", "en"), "zh"),
            (("not a tag", "tr"), "tr"),
            (("", "x-pirate", "HI-in"), "hi"),
        ],
    )
    def test_are_in_the_first_language_there_is(self, languages: tuple[str, ...], chosen: str) -> None:
        text = WORDS.text(TextKey.RING, "en", languages)
        assert text.language == chosen
        assert WORDS.answers(languages) == WORDS.answers([chosen])

    @pytest.mark.parametrize(
        ("call", "language", "name"),
        [
            ("da-DK", "en", "Danish"),
            ("da", "da", "dansk"),
            ("da", "de", "Dänisch"),
            ("da", "ar", "الدانمركية"),
            ("zh-Hant", "en", "Chinese"),
            ("arb", "da", "arabisk"),
            ("qaa-x-none", "en", "qaa-x-none"),
            ("not a tag", "en", "not a tag"),
        ],
    )
    def test_name_the_language_of_the_call_in_the_readers(self, call: str, language: str, name: str) -> None:
        text = WORDS.text(TextKey.RING, call, [language])
        assert text.call_language == name
        assert name in text.body

    def test_say_in_english_what_was_agreed(self) -> None:
        ring = WORDS.text(TextKey.RING, "da-DK", ["en"])
        assert (ring.title, ring.body) == ("Someone would like your help now", "In Danish. Tap to answer.")
        assert WORDS.answers(["en"]) == ("Answer", "Not now")

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_say_something_else_in_each_case(self, language: str) -> None:
        said = {WORDS.text(key, "da", [language]).title for key in TextKey}
        assert len(said) == len(TextKey)

    def test_arabic_is_written_from_the_right(self) -> None:
        directions = {language: WORDS.text(TextKey.RING, "en", [language]).direction for language in LANGUAGES}
        assert {language for language, written in directions.items() if written == "rtl"} == {"ar"}

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_fit_a_lock_screen_whatever_the_call_speaks(self, language: str) -> None:
        """In every language of CLDR, and in one it has no name for."""
        names = Locale.parse(language).languages
        assert set(MOST_SPOKEN) <= set(names)
        for call in (*names, "qaa-x-" + "a" * (LONGEST_TAG - 6)):
            for key in TextKey:
                text = WORDS.text(key, call, [language])
                assert len(text.title) <= TITLE_CHARS_MAX, (key, call)
                assert len(text.body) <= BODY_CHARS_MAX, (key, call)
                assert not re.search(r"[{}]", text.title + text.body), (key, call)

    @given(st.sampled_from(TextKey), TAGS, st.lists(TAGS, max_size=4))
    def test_there_are_always_some(self, key: TextKey, call: str, languages: list[str]) -> None:
        text = WORDS.text(key, call, languages)
        assert text.title
        assert text.body
        assert text.language in LANGUAGES
        assert all(WORDS.answers(languages))

    @pytest.mark.parametrize("damage", ['#, fuzzy\nmsgid "missed_title"', 'msgid "unheard_of"'])
    def test_are_english_where_a_translation_is_not_ready(self, folder: Path, damage: str) -> None:
        rewrite(folder, "ar", 'msgid "missed_title"', damage)
        words = CataloguePushWords(folder)
        assert words.text(TextKey.MISSED, "da", ["ar"]) == WORDS.text(TextKey.MISSED, "da", ["en"])
        assert words.text(TextKey.RING, "da", ["ar"]) == WORDS.text(TextKey.RING, "da", ["ar"])

    def test_buttons_are_of_one_language(self, folder: Path) -> None:
        rewrite(folder, "ar", 'msgid "button_answer"', '#, fuzzy\nmsgid "button_answer"')
        assert CataloguePushWords(folder).answers(["ar"]) == ("Answer", "Not now")

    def test_a_wave_renders_each_text_once(self) -> None:
        people = [["da-DK", "en"], ["pt-BR"], ["pt-PT"], ["ar", "fr"], ["fo"]] * 100
        said = [WORDS.text(TextKey.RING, "is", languages) for languages in people]
        assert len({id(text) for text in said}) == 4

    def test_only_what_may_be_shown_is_read(self) -> None:
        catalogue = read_catalogues()["da"]
        change("ring_title", flags={"fuzzy"})(catalogue)
        says("ring_body", " ")(catalogue)
        assert set(KEYS) - set(texts(catalogue)) == {"ring_title", "ring_body"}
