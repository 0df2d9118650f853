"""What the demo volunteer says of a picture."""

from __future__ import annotations

import pytest

from infra.phone.sight import LIGHTS, Sight, spoken, words_when_gone


@pytest.mark.parametrize(
    ("brightness", "words"),
    [(0, "almost black"), (34, "almost black"), (60, "rather dark"), (120, "well lit"), (255, "very bright")],
)
def test_light_in_words(brightness: float, words: str) -> None:
    assert Sight.of(640, 480, brightness).words("en") == f"I see your picture, 640 by 480, {words}."


def test_in_the_language_of_the_call_else_english() -> None:
    sight = Sight.of(640, 480, 60)
    assert sight.words("da-DK") == "Jeg ser dit billede, 640 gange 480, ret mørkt."
    assert sight.words("fr") == sight.words("en")
    assert (spoken("da"), spoken("pt-BR")) == ("da", "en")
    assert words_when_gone("da") != words_when_gone("en")


def test_light_around_a_boundary_does_not_flicker() -> None:
    dark = Sight.of(640, 480, 80)
    assert Sight.of(640, 480, 95, dark) == dark
    bright = Sight.of(640, 480, 99, dark)
    assert bright != dark
    assert Sight.of(640, 480, 85, bright) == bright


def test_a_big_change_and_another_size_are_notable() -> None:
    dark = Sight.of(640, 480, 10)
    assert Sight.of(640, 480, 250, dark).light == len(LIGHTS) - 1
    assert Sight.of(320, 240, 10, dark) != dark
