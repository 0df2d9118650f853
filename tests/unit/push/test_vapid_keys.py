"""The installation's VAPID keys, its contact, and the header signed with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from infra.webpush import base64url
from infra.webpush.keys import check_public, check_subject, load, make_keys
from infra.webpush.vapid import LIFE, RENEW_WITHIN, Vapid

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MOZILLA = "https://updates.push.services.mozilla.com"
SUBJECT = "mailto:push@eyeline.example"


class TestKeys:
    def test_made_ones_have_the_lengths_browsers_demand(self) -> None:
        private, public = make_keys()
        assert len(base64url.decode(private)) == 32
        assert len(check_public(public)) == 65
        assert base64url.decode(public)[0] == 4
        assert "=" not in private + public

    def test_every_pair_is_another(self) -> None:
        assert make_keys() != make_keys()

    def test_made_ones_can_be_loaded(self) -> None:
        private, public = make_keys()
        assert load(private, public).public == load(private).public == public

    def test_padding_does_no_harm(self) -> None:
        private, public = make_keys()
        assert load(f"{private}=", f"{public}=").public == public

    def test_a_small_scalar_keeps_its_length(self) -> None:
        one = base64url.encode((1).to_bytes(32, "big"))
        assert load(one).private.private_numbers().private_value == 1

    @pytest.mark.parametrize(
        ("private", "says"),
        [
            ("", "0 bytes long instead of 32"),
            ("not a key!", "not in base64url"),
            ("A", "not in base64url"),
            ("AAAA", "3 bytes long instead of 32"),
            (base64url.encode(bytes(32)), "outside the curve"),
            (base64url.encode(b"\xff" * 32), "outside the curve"),
        ],
    )
    def test_what_is_no_private_key_is_refused_in_a_sentence(self, private: str, says: str) -> None:
        with pytest.raises(ValueError, match=says) as refused:
            load(private)
        assert str(refused.value).endswith(".")

    @pytest.mark.parametrize(
        ("public", "says"),
        [
            ("", "0 bytes long instead of 65"),
            ("ü", "not in base64url"),
            (base64url.encode(bytes(65)), "no point"),
            (base64url.encode(b"\x04" + b"\x01" * 64), "no point"),
            # The public key of the scalar 1 is the curve's generator.
            (load(base64url.encode((1).to_bytes(32, "big"))).public, "does not belong"),
        ],
    )
    def test_what_is_not_its_public_key_is_refused_in_a_sentence(self, public: str, says: str) -> None:
        with pytest.raises(ValueError, match=says) as refused:
            load(make_keys()[0], public)
        assert str(refused.value).endswith(".")

    def test_the_private_key_is_never_printed(self) -> None:
        private, public = make_keys()
        assert private not in repr(load(private, public))
        with pytest.raises(ValueError, match="private") as refused:
            load(f"{private}AAAA")
        assert private not in str(refused.value)


class TestSubject:
    @pytest.mark.parametrize("subject", [SUBJECT, "https://eyeline.example", "https://eyeline.example/contact?x=1"])
    def test_an_address_to_write_to_is_taken(self, subject: str) -> None:
        assert check_subject(subject) == subject

    @pytest.mark.parametrize(
        "subject",
        [
            *("", "push@eyeline.example", "mailto:", "mailto:push", "mailto:@x", "mailto:a@", "mailto:a@b@c"),
            *("http://eyeline.example", "https://", "https:eyeline", "https://[", "https://ü.example"),
            *("mailto:a @b", "mailto:a@b\n"),
        ],
    )
    def test_anything_else_is_refused(self, subject: str) -> None:
        with pytest.raises(ValueError, match="mailto:"):
            check_subject(subject)


class World:
    def __init__(self) -> None:
        self.now = NOW
        self.keys = load(make_keys()[0])
        self.vapid = Vapid(self.keys, SUBJECT, lambda: self.now)

    def claims(self, origin: str = MOZILLA) -> dict[str, Any]:
        scheme, _, rest = self.vapid.authorization(origin).partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        assert scheme == "vapid"
        assert parts["k"] == self.keys.public
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), base64url.decode(parts["k"]))
        unjudged = jwt.decode(
            parts["t"], point, algorithms=["ES256"], options={"verify_aud": False, "verify_exp": False}
        )
        return dict(unjudged)


class TestHeader:
    def test_says_who_we_are_to_whom_and_until_when(self) -> None:
        assert World().claims() == {"aud": MOZILLA, "exp": int((NOW + LIFE).timestamp()), "sub": SUBJECT}

    def test_lives_for_half_of_what_is_allowed_at_most(self) -> None:
        assert timedelta(hours=12) >= LIFE

    def test_is_signed_once_for_each_push_service(self) -> None:
        world = World()
        first = world.vapid.authorization(MOZILLA)
        assert world.claims("https://web.push.apple.com")["aud"] == "https://web.push.apple.com"
        world.now += LIFE - RENEW_WITHIN - timedelta(seconds=1)
        assert world.vapid.authorization(MOZILLA) == first

    def test_is_renewed_well_before_it_ends(self) -> None:
        world = World()
        world.claims()
        world.now += LIFE - RENEW_WITHIN
        assert world.claims()["exp"] == int((world.now + LIFE).timestamp())

    def test_is_renewed_when_the_clock_was_set_back(self) -> None:
        world = World()
        world.claims()
        world.now -= timedelta(days=1)
        assert world.claims()["exp"] == int((world.now + LIFE).timestamp())

    def test_many_push_services_are_not_all_remembered(self) -> None:
        world = World()
        for n in range(100):
            world.vapid.authorization(f"https://{n}.notify.windows.com")
        assert len(world.vapid._headers) <= 64

    def test_takes_no_contact_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="VAPID subject"):
            Vapid(load(make_keys()[0]), "nobody", lambda: NOW)
