"""What a service worker is told, for each type; and how waiting and answers of push services are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.retry_after import LONGEST, retry_after
from infra.standins.webpush_browser import Browser
from infra.standins.webpush_rules import BODY_BYTES
from infra.webpush.answers import outcome
from infra.webpush.encryption import encrypt
from infra.webpush.keys import make_keys
from infra.webpush.payload import PLAINTEXT_BYTES, Payloads, payload
from matching.model import WithdrawReason
from matching.waking import PushOutcome, PushResult, PushText, TextKey, Wake, WakeType, text_key
from tests.support.fakes.push_words import FakeWords
from tests.support.pushes import RING_DATA, wake

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
_DATA = set(RING_DATA)
_WORDS = {"title", "body", "lang", "dir"}


class LongWords:
    """As many characters as it is told, each of four bytes."""

    def __init__(self, characters: int) -> None:
        self._text = "🦮" * characters

    def text(self, key: TextKey, call_language: str, languages: Sequence[str]) -> PushText:
        return PushText(self._text, self._text, "ar", "rtl", self._text)

    def answers(self, languages: Sequence[str]) -> tuple[str, str]:
        return self._text, self._text


def told(one: Wake, languages: tuple[str, ...] = ("da", "en")) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(payload(one, languages, FakeWords()))
    return found


class TestPayload:
    def test_of_a_ring_is_this_and_nothing_else(self) -> None:
        assert told(wake()) == {
            **RING_DATA,
            "title": "ring title",
            "body": "ring body",
            "lang": "da",
            "dir": "ltr",
            "answer": "Answer",
            "not_now": "Not now",
            "over": {"title": "missed title", "body": "missed body"},
        }

    @pytest.mark.parametrize("type_", [WakeType.MISSED, WakeType.SOMEONE_FREE])
    def test_of_a_quiet_line_has_no_buttons(self, type_: WakeType) -> None:
        found = told(wake(type_, reason=WithdrawReason.EXPIRED))
        assert found.keys() == _DATA | _WORDS
        assert found["title"] == f"{type_.value} title"

    @pytest.mark.parametrize("reason", list(WithdrawReason))
    def test_of_a_withdrawal_says_why_in_true_words(self, reason: WithdrawReason) -> None:
        one = wake(WakeType.WITHDRAW, reason=reason)
        found = told(one)
        assert found.keys() == _DATA | _WORDS | {"reason"}
        assert found["reason"] == reason.value
        assert found["title"] == f"{text_key(one).value} title"

    @pytest.mark.parametrize("type_", list(WakeType))
    def test_is_in_strings(self, type_: WakeType) -> None:
        found = told(wake(type_))
        assert all(isinstance(value, str) for key, value in found.items() if key != "over")

    def test_is_in_the_persons_language_and_says_its_direction(self) -> None:
        found = json.loads(payload(wake(), ("ar",), LongWords(1)))
        assert (found["lang"], found["dir"], found["title"]) == ("ar", "rtl", "🦮")

    def test_fits_with_words_longer_than_any(self) -> None:
        assert len(payload(wake(), (), LongWords(145))) <= PLAINTEXT_BYTES

    def test_that_does_not_fit_is_refused(self) -> None:
        with pytest.raises(ValueError, match="3993 fit"):
            payload(wake(), (), LongWords(155))

    def test_as_long_as_allowed_is_as_long_encrypted_as_push_services_take(self) -> None:
        keys = Browser.subscribe(make_keys()[1], "push.example").subscription.keys
        assert len(encrypt(bytes(PLAINTEXT_BYTES), keys)) == BODY_BYTES

    def test_is_rendered_once_for_all_who_read_the_same_languages(self) -> None:
        words = FakeWords()
        payloads = Payloads(wake(), words)
        assert payloads.payload(("da",)) is payloads.payload(("da",))
        assert payloads.payload(("en",)) != payloads.payload(("da",))
        assert words.asked == 4


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "result"),
        [
            *[(status, PushResult.DELIVERED) for status in (200, 201, 202)],
            *[(status, PushResult.UNREGISTERED) for status in (404, 410)],
            *[(status, PushResult.QUARANTINED) for status in (401, 403)],
            *[(status, PushResult.FAILED) for status in (400, 405, 406, 413, 418, 301, 302, 304, 307, 308)],
            *[(status, PushResult.RETRY_LATER) for status in (500, 502, 503, 504, 599)],
            *[(status, PushResult.UNKNOWN) for status in (203, 204, 206)],
        ],
    )
    def test_each_status_has_its_outcome(self, status: int, result: PushResult) -> None:
        assert outcome(status, None, NOW) == PushOutcome(result)

    @pytest.mark.parametrize(
        ("header", "wait_s"), [(None, 60), ("", 60), ("0", 60), ("59", 60), ("90", 90), ("soon", 60), ("-9", 60)]
    )
    def test_too_many_is_throttled_for_a_minute_at_least(self, header: str | None, wait_s: int) -> None:
        assert outcome(429, header, NOW) == PushOutcome(PushResult.THROTTLED, timedelta(seconds=wait_s))

    def test_trouble_may_say_how_long(self) -> None:
        assert outcome(503, "7", NOW) == PushOutcome(PushResult.RETRY_LATER, timedelta(seconds=7))


class TestRetryAfter:
    def test_may_be_a_date(self) -> None:
        date = format_datetime(NOW + timedelta(seconds=300), usegmt=True)
        assert retry_after(date, NOW) == timedelta(seconds=300)

    def test_of_a_date_that_is_past_is_nothing(self) -> None:
        assert retry_after(format_datetime(NOW - timedelta(days=1), usegmt=True), NOW) == timedelta(0)

    @pytest.mark.parametrize("header", ["9" * 400, "86401", "Fri, 31 Dec 9999 23:59:59 GMT"])
    def test_is_a_day_at_most(self, header: str) -> None:
        assert retry_after(header, NOW) == LONGEST

    @pytest.mark.parametrize("header", ["", "soon", "1.5", "-1", "²", "Mon, 99 Foo 2026 12:00:00 GMT"])
    def test_that_says_nothing_is_none(self, header: str) -> None:
        assert retry_after(header, NOW) is None

    @given(st.text())
    def test_never_fails(self, header: str) -> None:
        found = retry_after(header, NOW)
        assert found is None or timedelta(0) <= found <= LONGEST

    @given(st.integers(min_value=0, max_value=10**30))
    def test_never_fails_for_any_year(self, year: int) -> None:
        retry_after(f"Mon, 23 Nov {year} 12:00:00 GMT", NOW)
