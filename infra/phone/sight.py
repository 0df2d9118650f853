"""What the phone sees or reads, in words: size and light of the other side's picture, or its text. Pure."""

from __future__ import annotations

from dataclasses import dataclass

TEXT_MAX = 1000
"""Characters of what was read; the contract's texts are longer."""
EDGE = 8.0
"""The light must pass a boundary by so much (of 255) before it counts as changed."""


@dataclass(frozen=True, slots=True)
class Light:
    """One step of brightness and what it is called."""

    above: float
    """Mean luma, 0 to 255."""
    words: dict[str, str]


LIGHTS = (
    Light(0, {"en": "almost black", "da": "næsten sort"}),
    Light(35, {"en": "rather dark", "da": "ret mørkt"}),
    Light(90, {"en": "well lit", "da": "godt belyst"}),
    Light(200, {"en": "very bright", "da": "meget lyst"}),
)
_SEEN = {
    "en": "I see your picture, {width} by {height}, {light}.",
    "da": "Jeg ser dit billede, {width} gange {height}, {light}.",
}
_READ = {"en": "You wrote: {text}", "da": "Du skrev: {text}"}
_GONE = {"en": "I no longer see your picture.", "da": "Jeg kan ikke længere se dit billede."}


@dataclass(frozen=True, slots=True)
class Sight:
    """A picture as it would be told to somebody; None for sizes and light of no picture."""

    width: int
    height: int
    light: int
    """Index into `LIGHTS`."""

    @classmethod
    def of(cls, width: int, height: int, brightness: float, before: Sight | None = None) -> Sight:
        """What is seen now; light near a boundary stays as it was `before`."""
        if before is not None and _around(before.light, brightness):
            return cls(width, height, before.light)
        return cls(width, height, max(i for i, light in enumerate(LIGHTS) if brightness >= light.above))

    def words(self, language: str) -> str:
        light = _in(LIGHTS[self.light].words, language)
        return _in(_SEEN, language).format(width=self.width, height=self.height, light=light)


def words_when_gone(language: str) -> str:
    return _in(_GONE, language)


def words_repeated(text: str, language: str) -> str:
    return _in(_READ, language).format(text=text[:TEXT_MAX])


def spoken(language: str) -> str:
    """The language (BCP 47) the phone answers in: the call's own if it can, else English."""
    base = language.split("-")[0].lower()
    return base if base in _SEEN else "en"


def _in(words: dict[str, str], language: str) -> str:
    return words[spoken(language)]


def _around(light: int, brightness: float) -> bool:
    above = LIGHTS[light].above - EDGE
    below = LIGHTS[light + 1].above + EDGE if light + 1 < len(LIGHTS) else 256.0
    return above <= brightness < below
