"""What a browser's service worker is told: the data every app reads, and the words it shows, rendered here. Pure.

The words are rendered by the server because a service worker is woken alone, without the page's catalogues. A push
that shows nothing costs the subscription, so that a ring also carries what to show when it comes too late.
"""

from __future__ import annotations

from typing import Any

import msgspec

from infra.push_data import data
from matching.waking import PushWords, TextKey, Wake, WakeType, text_key

PLAINTEXT_BYTES = 3993
"""Push services take 4,096 bytes (RFC 8030, 7.2), of which RFC 8188 needs 86 for its header, 1 for the delimiter and
16 for the tag."""


def payload(wake: Wake, languages: tuple[str, ...], words: PushWords) -> bytes:
    """A JSON object in UTF-8: the data fields (all strings), `title`, `body`, `lang`, `dir`; of a ring also the button
    labels `answer` and `not_now`, and `over`: `title` and `body` once `expires_at` has come.

    `languages`: of the person, most wanted first. Nothing about either person. Raises ValueError when it is too long.
    """
    text = words.text(text_key(wake), wake.language, languages)
    fields: dict[str, Any] = {
        **data(wake),
        "title": text.title,
        "body": text.body,
        "lang": text.language,
        "dir": text.direction,
    }
    if wake.type is WakeType.RING:
        over = words.text(TextKey.MISSED, wake.language, languages)
        fields["answer"], fields["not_now"] = words.answers(languages)
        fields["over"] = {"title": over.title, "body": over.body}
    encoded = msgspec.json.encode(fields)
    if len(encoded) > PLAINTEXT_BYTES:
        raise ValueError(f"a web push of {len(encoded)} bytes; {PLAINTEXT_BYTES} fit")
    return encoded


class Payloads:
    """The payloads of one wake, each rendered once."""

    def __init__(self, wake: Wake, words: PushWords) -> None:
        self._wake = wake
        self._words = words
        self._made: dict[tuple[str, ...], bytes] = {}

    def payload(self, languages: tuple[str, ...]) -> bytes:
        made = self._made.get(languages)
        if made is None:
            made = self._made[languages] = payload(self._wake, languages, self._words)
        return made
