"""Settings: read from a mapping, checked together, never shown in full."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import ClassVar

import pytest

from server.settings import EMULATOR_HOST, PREFIX, Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {
    "EYELINE_DATABASE_URL": "postgresql://eyeline:pa55word@127.0.0.1:5432/eyeline",
    "EYELINE_VALKEY_URL": "redis://:pa55word@127.0.0.1:6379/0",
    "EYELINE_TOKEN_SECRET": "s3cret" * 8,
}
VAPID_KEY = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
"""The example of RFC 8291, appendix A."""
DEVELOPMENT = {"ENVIRONMENT": "development"}


def read(**given: str) -> Settings:
    return Settings.from_env({**NEEDED, **{PREFIX + name: value for name, value in given.items()}})


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """The key file of a service account."""
    names = ("project_id", "private_key", "client_email", "token_uri")
    path = tmp_path / "account.json"
    path.write_text(json.dumps({"type": "service_account", **dict.fromkeys(names, "...")}))
    return path


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

    def test_every_field_is_read_from_its_variable(self, tmp_path: Path, account: Path) -> None:
        pem = tmp_path / "some.pem"
        pem.touch()
        given = {
            "HOST": "::1",
            "PORT": "1234",
            "ENVIRONMENT": "development",
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
            "FIREBASE_PROJECT": "eyeline-1a2b3",
            "FIREBASE_CREDENTIALS": str(account),
            "FIREBASE_SIGN_IN": "true",
            "FCM_URL": "http://127.0.0.1:9000",
            "VAPID_PRIVATE_KEY": VAPID_KEY,
            "VAPID_SUBJECT": "mailto:push@help.example",
            "WEBPUSH_VIA": "http://127.0.0.1:9001",
        }
        seconds = [field.name for field in dataclasses.fields(Settings) if field.name.endswith("_s")]
        given |= {name.upper(): "4.75" for name in seconds if name != "delivery_s"}
        settings = read(**given)
        assert {getattr(settings, name) for name in seconds} == {4.75, 0.5}
        assert settings.origins == ("https://help.example", "http://10.0.0.1:8080")
        assert settings.turn_urls == ("turn:turn.example:3478?transport=udp", "turns:turn.example")
        assert (settings.tls_key, settings.firebase_credentials) == (pem, account)
        for name in given:
            assert getattr(settings, name.lower()) != getattr(read(), name.lower()) or name == "ICE_POLICY"

    def test_strangers_meet_over_a_relay_as_soon_as_there_is_one(self) -> None:
        assert read().ice_policy == "all"
        relays = {"TURN_URLS": "turn:turn.example", "TURN_SECRET": "shared", "TURN_RELAY_NETS": "203.0.113.0/24"}
        assert read(**relays).ice_policy == "relay"

    def test_an_empty_variable_is_not_set(self) -> None:
        assert read(PORT="", TURN_URLS="").port == 8080

    def test_the_waits_that_may_be_none_may_be_none(self) -> None:
        assert read(COOLDOWN_S="0", WRAP_UP_S="0").cooldown_s == 0

    def test_secrets_are_not_shown(self) -> None:
        settings = read(
            TURN_URLS="turn:turn.example",
            TURN_SECRET="turn-s3cret",
            TURN_RELAY_NETS="203.0.113.0/24,2001:db8::/32",
            VAPID_PRIVATE_KEY=VAPID_KEY,
            VAPID_SUBJECT="mailto:push@help.example",
        )
        assert not re.search(f"s3cret|pa55word|{VAPID_KEY}", repr(settings))

    def test_firebase_signs_in_as_soon_as_its_credentials_are_there(self, account: Path) -> None:
        firebase = {"FIREBASE_PROJECT": "eyeline-1a2b3", "FIREBASE_CREDENTIALS": str(account)}
        assert read(**firebase).firebase_sign_in
        assert not read(**firebase, FIREBASE_SIGN_IN="false").firebase_sign_in
        assert not read(FIREBASE_PROJECT="eyeline-1a2b3").firebase_sign_in

    def test_the_emulator_needs_no_credentials(self) -> None:
        given = {**DEVELOPMENT, "FIREBASE_PROJECT": "demo-eyeline", "FIREBASE_SIGN_IN": "true"}
        environ = {**NEEDED, **{PREFIX + name: value for name, value in given.items()}, EMULATOR_HOST: "127.0.0.1:9099"}
        assert Settings.from_env(environ).firebase_sign_in

    @pytest.mark.parametrize("subject", ["mailto:push@help.example", "https://help.example", "https://help.example/us"])
    def test_push_services_are_given_a_contact(self, subject: str) -> None:
        assert read(VAPID_PRIVATE_KEY=VAPID_KEY, VAPID_SUBJECT=subject).vapid_subject == subject


class TestBadSettings:
    def test_all_are_reported_together_by_name(self) -> None:
        found = problems({"EYELINE_PORT": "http", "EYELINE_SHARDS": "0", "EYELINE_VALKEY_URL": "localhost"})
        assert found == {
            "EYELINE_DATABASE_URL": "not set",
            "EYELINE_VALKEY_URL": "must begin with redis: or rediss: or unix: or redis+cluster: or rediss+cluster:",
            "EYELINE_TOKEN_SECRET": "not set",
            "EYELINE_PORT": "not a valid integer",
            "EYELINE_SHARDS": "must be from 1 to 4096",
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
            ("TURN_RELAY_NETS", "203.0.113.7/24"),
            ("TURN_RELAY_NETS", "turn.example"),
            ("ICE_POLICY", "none"),
            ("ICE_POLICY", "relay"),
            ("DELIVERY_S", "30"),
            ("LOG_FORMAT", "xml"),
            ("DATABASE_POOL", "1"),
            ("TLS_KEY", "/nowhere/key.pem"),
            ("ENVIRONMENT", "staging"),
            ("FIREBASE_PROJECT", "Eyeline"),
            ("FIREBASE_PROJECT", "eye"),
            ("FIREBASE_PROJECT", "eyeline-"),
            ("FIREBASE_CREDENTIALS", "/nowhere/account.json"),
            ("FIREBASE_SIGN_IN", "perhaps"),
            ("FCM_URL", "fcm.googleapis.com"),
            ("FCM_URL", "https://fcm.googleapis.com/v1"),
            ("FCM_URL", "https://["),
            ("VAPID_PRIVATE_KEY", VAPID_KEY[1:]),
            ("VAPID_PRIVATE_KEY", VAPID_KEY + "="),
            ("VAPID_PRIVATE_KEY", "+" + VAPID_KEY[1:]),
            ("VAPID_PRIVATE_KEY", "A" * 43),
            ("VAPID_PRIVATE_KEY", "_" * 43),
            ("VAPID_SUBJECT", "push@help.example"),
            ("VAPID_SUBJECT", "mailto:push"),
            ("VAPID_SUBJECT", "mailto:a b@help.example"),
            ("VAPID_SUBJECT", "http://help.example"),
            ("WEBPUSH_VIA", "127.0.0.1:9001"),
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
        assert found == {
            "EYELINE_TURN_SECRET": "needed with EYELINE_TURN_URLS",
            "EYELINE_TURN_RELAY_NETS": "needed with EYELINE_ICE_POLICY=relay",
        }

    @pytest.mark.parametrize(
        ("given", "value", "missing"),
        [
            ("VAPID_PRIVATE_KEY", VAPID_KEY, "VAPID_SUBJECT"),
            ("VAPID_SUBJECT", "mailto:push@help.example", "VAPID_PRIVATE_KEY"),
        ],
    )
    def test_push_settings_that_need_each_other(self, given: str, value: str, missing: str) -> None:
        assert problems({**NEEDED, PREFIX + given: value}) == {PREFIX + missing: f"needed with {PREFIX + given}"}

    def test_credentials_without_their_project(self, account: Path) -> None:
        found = problems({**NEEDED, "EYELINE_FIREBASE_CREDENTIALS": str(account)})
        assert found == {"EYELINE_FIREBASE_PROJECT": "needed with EYELINE_FIREBASE_CREDENTIALS"}

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"type": "authorized_user"}', '{"type": "service_account"}'])
    def test_credentials_that_are_no_service_account(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "account.json").write_text(content)
        given = {"FIREBASE_PROJECT": "eyeline-1a2b3", "FIREBASE_CREDENTIALS": str(tmp_path / "account.json")}
        found = problems({**NEEDED, **{PREFIX + name: value for name, value in given.items()}})
        assert found == {"EYELINE_FIREBASE_CREDENTIALS": "must be the key file (JSON) of a service account"}

    def test_firebase_sign_in_without_its_project_and_credentials(self) -> None:
        needed = "needed with EYELINE_FIREBASE_SIGN_IN"
        found = problems({**NEEDED, "EYELINE_FIREBASE_SIGN_IN": "true"})
        assert found == {"EYELINE_FIREBASE_PROJECT": needed, "EYELINE_FIREBASE_CREDENTIALS": needed}

    def test_an_emulator_is_a_host_and_a_port(self) -> None:
        environ = {**NEEDED, "EYELINE_ENVIRONMENT": "development", EMULATOR_HOST: "http://127.0.0.1:9099"}
        assert problems(environ) == {EMULATOR_HOST: "must be host:port"}

    def test_values_are_not_repeated(self) -> None:
        with pytest.raises(SettingsError) as caught:
            Settings.from_env({**NEEDED, "EYELINE_TOKEN_SECRET": "tiny-s3cret", "EYELINE_DATABASE_URL": "x:pa55word"})
        assert not re.search("s3cret|pa55word", str(caught.value))


class TestProduction:
    """What lets strangers in, or sends pushes astray, is refused unless the node is said to be for development."""

    REFUSED: ClassVar = {
        "EYELINE_DEV_SIGN_IN": ("true", "anyone signs in by any name"),
        "EYELINE_FCM_URL": ("http://127.0.0.1:9000", "https only"),
        "EYELINE_WEBPUSH_VIA": ("http://127.0.0.1:9001", "pushes would reach no browser"),
        EMULATOR_HOST: ("127.0.0.1:9099", "unsigned tokens are accepted"),
    }

    @pytest.mark.parametrize("name", REFUSED)
    @pytest.mark.parametrize("environment", [{}, {"EYELINE_ENVIRONMENT": "production"}], ids=["by default", "said"])
    def test_refuses(self, name: str, environment: dict[str, str]) -> None:
        value, why = self.REFUSED[name]
        found = problems({**NEEDED, **environment, name: value})
        assert list(found) == [name]
        assert why in found[name]

    def test_refuses_all_of_them_together(self) -> None:
        found = problems({**NEEDED, **{name: value for name, (value, _) in self.REFUSED.items()}})
        assert set(found) == set(self.REFUSED)

    def test_development_allows_them(self) -> None:
        given = {name: value for name, (value, _) in self.REFUSED.items()}
        assert Settings.from_env({**NEEDED, "EYELINE_ENVIRONMENT": "development", **given}).dev_sign_in

    def test_what_is_set_to_nothing_or_false_is_not_refused(self) -> None:
        empty = {name: "" for name in self.REFUSED}
        assert Settings.from_env({**NEEDED, **empty, "EYELINE_DEV_SIGN_IN": "false"}).environment == "production"


def test_the_operations_page_lists_every_setting_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(EYELINE_[A-Z_]+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert set(rows) == {PREFIX + field.name.upper() for field in dataclasses.fields(Settings)}
    for field in dataclasses.fields(Settings):
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            assert rows[PREFIX + field.name.upper()].strip() == f"{field.default:g}", field.name
