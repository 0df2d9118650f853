"""Settings: read from a mapping, checked together, never shown in full."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from server.settings import PREFIX, Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {
    "EYELINE_DATABASE_URL": "postgresql://eyeline:pa55word@127.0.0.1:5432/eyeline",
    "EYELINE_VALKEY_URL": "redis://:pa55word@127.0.0.1:6379/0",
    "EYELINE_TOKEN_SECRET": "s3cret" * 8,
}


def read(**given: str) -> Settings:
    return Settings.from_env({**NEEDED, **{PREFIX + name: value for name, value in given.items()}})


def problems(environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environ)
    return caught.value.problems


class TestGoodSettings:
    def test_only_three_are_needed(self) -> None:
        settings = read()
        assert (settings.host, settings.port, settings.dev_sign_in) == ("127.0.0.1", 8080, False)
        assert settings.request_deadline_s == 180

    def test_what_is_read_without_a_setting_is_what_the_dataclass_says(self) -> None:
        settings = read()
        for field in dataclasses.fields(Settings):
            if field.default is not dataclasses.MISSING:
                assert getattr(settings, field.name) == field.default, field.name

    def test_every_field_is_read_from_its_variable(self, tmp_path: Path) -> None:
        pem = tmp_path / "some.pem"
        pem.touch()
        given = {
            "HOST": "::1",
            "PORT": "1234",
            "DEV_SIGN_IN": "true",
            "ORIGINS": "https://help.example, http://10.0.0.1:8080",
            "STUN_URLS": "stun:stun.example:3478",
            "TURN_URLS": "turn:turn.example:3478?transport=udp,turns:turn.example",
            "TURN_SECRET": "shared",
            "ICE_POLICY": "all",
            "FRAME_RATE": "20",
            "WAVE_SIZE": "50",
            "DATABASE_POOL": "20",
            "LOG_FORMAT": "console",
            "TLS_CERTIFICATE": str(pem),
            "TLS_KEY": str(pem),
            "DELIVERY_S": "0.5",
        }
        seconds = [field.name for field in dataclasses.fields(Settings) if field.name.endswith("_s")]
        given |= {name.upper(): "4.75" for name in seconds if name != "delivery_s"}
        settings = read(**given)
        assert {getattr(settings, name) for name in seconds} == {4.75, 0.5}
        assert settings.origins == ("https://help.example", "http://10.0.0.1:8080")
        assert settings.turn_urls == ("turn:turn.example:3478?transport=udp", "turns:turn.example")
        assert settings.tls_key == pem
        for name in given:
            assert getattr(settings, name.lower()) != getattr(read(), name.lower()) or name == "ICE_POLICY"

    def test_strangers_meet_over_a_relay_as_soon_as_there_is_one(self) -> None:
        assert read().ice_policy == "all"
        assert read(TURN_URLS="turn:turn.example", TURN_SECRET="shared").ice_policy == "relay"

    def test_an_empty_variable_is_not_set(self) -> None:
        assert read(PORT="", TURN_URLS="").port == 8080

    def test_the_waits_that_may_be_none_may_be_none(self) -> None:
        assert read(COOLDOWN_S="0", WRAP_UP_S="0").cooldown_s == 0

    def test_secrets_are_not_shown(self) -> None:
        settings = read(TURN_URLS="turn:turn.example", TURN_SECRET="turn-s3cret")
        assert not re.search("s3cret|pa55word", repr(settings))


class TestBadSettings:
    def test_all_are_reported_together_by_name(self) -> None:
        found = problems({"EYELINE_PORT": "http", "EYELINE_SHARDS": "2", "EYELINE_VALKEY_URL": "localhost"})
        assert found == {
            "EYELINE_DATABASE_URL": "not set",
            "EYELINE_VALKEY_URL": "must begin with redis: or rediss: or unix:",
            "EYELINE_TOKEN_SECRET": "not set",
            "EYELINE_PORT": "not a valid integer",
            "EYELINE_SHARDS": "only 1 is possible for now",
        }

    def test_the_error_is_one_line(self) -> None:
        with pytest.raises(SettingsError, match=r"^bad settings: EYELINE_DATABASE_URL: not set; [^\n]*$"):
            Settings.from_env({})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("DATABASE_URL", "mysql://x"),
            ("DATABASE_URL", "postgresql://"),
            ("TOKEN_SECRET", "short"),
            ("PORT", "0"),
            ("PORT", "65536"),
            ("HEARTBEAT_S", "5.5"),
            ("DEV_SIGN_IN", "perhaps"),
            ("ORIGINS", "https://help.example/path"),
            ("ORIGINS", "https://fine.example,help.example"),
            ("OFFER_S", "0"),
            ("OFFER_S", "-1"),
            ("OFFER_S", "nan"),
            ("OFFER_S", "inf"),
            ("OFFER_S", "soon"),
            ("COOLDOWN_S", "-0.1"),
            ("WAVE_SIZE", "0"),
            ("WAVE_SIZE", "1.5"),
            ("STUN_URLS", "turn:stun.example"),
            ("TURN_URLS", "turn:"),
            ("ICE_POLICY", "none"),
            ("ICE_POLICY", "relay"),
            ("DELIVERY_S", "30"),
            ("LOG_FORMAT", "xml"),
            ("DATABASE_POOL", "1"),
            ("TLS_KEY", "/nowhere/key.pem"),
        ],
    )
    def test_each_is_refused_alone(self, name: str, value: str) -> None:
        assert list(problems({**NEEDED, PREFIX + name: value})) == [PREFIX + name]

    def test_a_key_without_its_certificate_and_the_other_way_round(self, tmp_path: Path) -> None:
        pem = tmp_path / "some.pem"
        pem.touch()
        for given, missing in (("TLS_KEY", "TLS_CERTIFICATE"), ("TLS_CERTIFICATE", "TLS_KEY")):
            assert problems({**NEEDED, PREFIX + given: str(pem)}) == {PREFIX + missing: f"needed with {PREFIX + given}"}

    def test_a_relay_without_its_secret(self) -> None:
        found = problems({**NEEDED, "EYELINE_TURN_URLS": "turn:turn.example"})
        assert found == {"EYELINE_TURN_SECRET": "needed with EYELINE_TURN_URLS"}

    def test_values_are_not_repeated(self) -> None:
        with pytest.raises(SettingsError) as caught:
            Settings.from_env({**NEEDED, "EYELINE_TOKEN_SECRET": "tiny-s3cret", "EYELINE_DATABASE_URL": "x:pa55word"})
        assert not re.search("s3cret|pa55word", str(caught.value))


def test_the_operations_page_lists_every_setting_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(EYELINE_[A-Z_]+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert set(rows) == {PREFIX + field.name.upper() for field in dataclasses.fields(Settings)}
    for field in dataclasses.fields(Settings):
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert rows[PREFIX + field.name.upper()].strip() == f"{field.default:g}", field.name
