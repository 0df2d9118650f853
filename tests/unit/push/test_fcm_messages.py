"""What FCM is asked to deliver, for each type and platform."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.firebase.messages import Bodies, Platform
from infra.push_data import data
from infra.standins.fcm_rules import PAYLOAD_BYTES, payload_bytes, violation
from matching.model import WithdrawReason
from matching.waking import PushTarget, TextKey, Wake, WakeType, text_key
from tests.support.fakes.push_words import FakeWords
from tests.support.pushes import REQUEST, RING_DATA, SENT, URGENCIES, target, wake

NOW = SENT + timedelta(seconds=0.5)


def message(one: Wake, to: PushTarget, now: datetime = NOW) -> dict[str, Any]:
    body = json.loads(Bodies(one, FakeWords()).body(to, now))
    assert list(body) == ["message"]
    assert violation(body) is None
    found: dict[str, Any] = body["message"]
    return found


class TestData:
    def test_is_what_the_apps_read_and_nothing_else(self) -> None:
        assert data(wake()) == RING_DATA

    @pytest.mark.parametrize("reason", list(WithdrawReason))
    def test_of_a_withdrawal_says_why(self, reason: WithdrawReason) -> None:
        assert data(wake(WakeType.WITHDRAW, reason=reason))["reason"] == reason.value

    @pytest.mark.parametrize("type_", [WakeType.RING, WakeType.MISSED, WakeType.SOMEONE_FREE])
    def test_of_anything_else_gives_no_reason(self, type_: WakeType) -> None:
        assert "reason" not in data(wake(type_, reason=WithdrawReason.EXPIRED))

    def test_times_are_utc_whatever_zone_they_come_in(self) -> None:
        there = wake(sent_at=SENT.astimezone(ZoneInfo("Asia/Kathmandu")))
        assert data(there) == data(wake())

    @pytest.mark.parametrize("platform", ["android", "ios", "web"])
    def test_goes_to_every_platform(self, platform: Platform) -> None:
        assert message(wake(), target(platform=platform))["data"] == data(wake())


@pytest.mark.parametrize(("type_", "priority"), URGENCIES)
def test_android_gets_data_only_that_does_not_collapse(type_: WakeType, priority: str) -> None:
    assert message(wake(type_), target("phone")) == {
        "fid": "phone",
        "data": data(wake(type_)),
        "android": {"priority": priority, "ttl": "29s"},
    }


@pytest.mark.parametrize(
    ("type_", "priority", "level", "sound"),
    [
        (WakeType.RING, "10", "time-sensitive", "default"),
        (WakeType.WITHDRAW, "10", "passive", None),
        (WakeType.MISSED, "5", "passive", None),
        (WakeType.SOMEONE_FREE, "5", "active", "default"),
    ],
)
def test_an_iphone_gets_an_alert_that_takes_the_place_of_the_last(
    type_: WakeType, priority: str, level: str, sound: str | None
) -> None:
    key = text_key(wake(type_)).value
    aps: dict[str, Any] = {
        "alert": {"title-loc-key": f"{key}_title", "loc-key": f"{key}_body", "loc-args": ["Danish"]},
        "interruption-level": level,
    }
    if sound:
        aps["sound"] = sound
    assert message(wake(type_), target("iphone", "ios")) == {
        "fid": "iphone",
        "data": data(wake(type_)),
        "apns": {
            "headers": {
                "apns-push-type": "alert",
                "apns-priority": priority,
                "apns-expiration": str(int((SENT + timedelta(seconds=30)).timestamp())),
                "apns-collapse-id": str(REQUEST),
            },
            "payload": {"aps": aps},
        },
    }


@pytest.mark.parametrize(("type_", "urgency"), URGENCIES)
def test_a_browser_gets_data_with_a_life_and_an_urgency(type_: WakeType, urgency: str) -> None:
    assert message(wake(type_), target("browser", "web")) == {
        "fid": "browser",
        "data": data(wake(type_)),
        "webpush": {"headers": {"TTL": "29", "Urgency": urgency}},
    }


@pytest.mark.parametrize(
    ("reason", "key"),
    [
        (WithdrawReason.ANSWERED, TextKey.ANSWERED),
        (WithdrawReason.ANSWERED_BY_YOU, TextKey.ANSWERED_BY_YOU),
        (WithdrawReason.CANCELLED, TextKey.NO_LONGER_NEEDED),
        (WithdrawReason.UNAVAILABLE, TextKey.NOT_RINGING),
    ],
)
def test_an_iphone_reads_true_words_about_a_withdrawal(reason: WithdrawReason, key: TextKey) -> None:
    alert = message(wake(WakeType.WITHDRAW, reason=reason), target(platform="ios"))["apns"]["payload"]["aps"]["alert"]
    assert alert["title-loc-key"] == f"{key.value}_title"


class TestWhatTargetsShare:
    def test_the_call_language_is_named_in_each_persons_own(self) -> None:
        bodies = Bodies(wake(), FakeWords())
        names = [
            json.loads(bodies.body(target(platform="ios", languages=languages), NOW))["message"]["apns"]["payload"][
                "aps"
            ]["alert"]["loc-args"]
            for languages in (("en",), ("da", "en"), ("xx",))
        ]
        assert names == [["Danish"], ["dansk"], ["Danish"]]

    def test_words_are_rendered_once_for_all_who_read_the_same(self) -> None:
        words = FakeWords()
        bodies = Bodies(wake(), words)
        for number in range(20):
            bodies.body(target(f"{number}", "ios"), NOW)
            bodies.body(target(f"{number}", "android"), NOW)
        assert words.asked == 1

    def test_the_time_to_live_is_what_is_left_when_each_goes(self) -> None:
        bodies = Bodies(wake(), FakeWords())
        ttls = [
            json.loads(bodies.body(target(), SENT + timedelta(seconds=s)))["message"]["android"]["ttl"]
            for s in (0, 0.1, 12.5, 29.5, 31)
        ]
        assert ttls == ["30s", "29s", "17s", "0s", "0s"]

    def test_a_value_is_text_whatever_it_holds(self) -> None:
        value = 'a"b\\c\n}é'
        assert message(wake(), target(value))["fid"] == value


moments = st.datetimes(datetime(2025, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(
    type_=st.sampled_from(WakeType),
    reason=st.none() | st.sampled_from(WithdrawReason),
    request_id=st.uuids(),
    epoch=st.integers(1, 2**63),
    language=st.text(st.characters(codec="utf-8"), max_size=35),
    sent_at=moments,
    life_s=st.floats(0, 28 * 24 * 3600),
    later_s=st.floats(0, 3600),
    value=st.text(st.characters(codec="utf-8"), min_size=1, max_size=500),
    platform=st.sampled_from(("android", "ios", "web")),
)
def test_every_message_is_one_that_google_takes(
    type_: WakeType,
    reason: WithdrawReason | None,
    request_id: UUID,
    epoch: int,
    language: str,
    sent_at: datetime,
    life_s: float,
    later_s: float,
    value: str,
    platform: Literal["ios", "android", "web"],
) -> None:
    one = Wake(type_, request_id, epoch, language, sent_at, sent_at + timedelta(seconds=life_s), reason)
    sent: Mapping[str, Any] = json.loads(
        Bodies(one, FakeWords()).body(target(value, platform), sent_at + timedelta(seconds=later_s))
    )
    assert violation(sent) is None
    assert sent["message"]["fid"] == value
    assert payload_bytes(sent["message"]) <= PAYLOAD_BYTES
