"""Language tags: canonical forms, refusals, and who is found under which language."""

from __future__ import annotations

import pytest

from matching.languages import index_language, index_languages, normal_tag


class TestNormalTag:
    @pytest.mark.parametrize(
        ("tag", "normal"),
        [
            ("PT-br", "pt-BR"),
            ("iw", "he"),
            ("in", "id"),
            ("tl", "fil"),
            ("sh", "sr-Latn"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("i-klingon", "tlh"),
            ("sgn-us", "ase"),
            ("da", "da"),
        ],
    )
    def test_gives_the_canonical_form(self, tag: str, normal: str) -> None:
        assert normal_tag(tag) == normal

    @pytest.mark.parametrize("tag", ["pt-BR", "he", "sr-Latn", "yue", "fil"])
    def test_leaves_the_canonical_form_alone(self, tag: str) -> None:
        assert normal_tag(normal_tag(tag)) == tag

    @pytest.mark.parametrize(
        "tag", ["", "e", "english", "en-", "en--US", "en_GB", " en", "dansk sprog", "æø", "en" * 20]
    )
    def test_refuses_what_is_ill_formed(self, tag: str) -> None:
        with pytest.raises(ValueError, match="not a"):
            normal_tag(tag)

    @pytest.mark.parametrize("tag", ["xx", "zzz", "x", "en-QQQQQ"])
    def test_refuses_what_is_not_registered(self, tag: str) -> None:
        with pytest.raises(ValueError, match="not a"):
            normal_tag(tag)

    @pytest.mark.parametrize("tag", ["und", "mul", "mis", "zxx", "qaa", "qtz", "x-ours", "und-DK"])
    def test_refuses_what_names_no_shared_language(self, tag: str) -> None:
        with pytest.raises(ValueError, match="share"):
            normal_tag(tag)


class TestIndexLanguage:
    @pytest.mark.parametrize(
        ("tag", "language"),
        [
            ("pt-BR", "pt"),
            ("pt-PT", "pt"),
            ("en-GB-oed", "en"),
            ("iw", "he"),
            ("cmn", "zh"),
            ("zh-Hant-TW", "zh"),
            ("yue", "yue"),
            ("zh-yue", "yue"),
            ("arb", "ar"),
            ("arz", "arz"),
            ("swh", "sw"),
            ("nb", "no"),
            ("nn-NO", "no"),
            ("no", "no"),
        ],
    )
    def test_is_what_speakers_share(self, tag: str, language: str) -> None:
        assert index_language(tag) == language

    def test_is_its_own_index_language(self) -> None:
        for tag in ("pt-BR", "cmn", "nb", "iw", "yue", "sh", "arb"):
            assert index_language(index_language(tag)) == index_language(tag)

    def test_of_several_come_once_each_in_order(self) -> None:
        assert index_languages(["pt-BR", "nb", "en-GB", "no", "en-US", "pt"]) == ("pt", "no", "en")

    def test_of_a_bad_tag_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not a"):
            index_languages(["en", "?"])
