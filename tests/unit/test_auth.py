"""Access tokens, the rule of refresh tokens, and what an admin role covers."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
import pytest

from infra.postgres.accounts import Verdict, judge
from server.auth import (
    AccessTokens,
    Caller,
    DevSignIn,
    Forged,
    ProbeSignIn,
    Unauthorized,
    new_refresh_token,
    refresh_hash,
)

SECRET = "a secret for tests of thirty-two characters"
USER = UUID("0190f5e8-0000-7000-8000-000000000001")
SESSION = UUID("0190f5e8-0000-7000-8000-000000000002")
NOW = 1_800_000_000.25
GOOD = {"iss": "eyeline", "aud": "eyeline", "sub": str(USER), "sid": str(SESSION), "iat": 1, "exp": int(NOW) + 9}


def tokens(now: float = NOW) -> AccessTokens:
    return AccessTokens(SECRET, 900, clock=lambda: now)


class TestAccessTokens:
    def test_what_was_issued_is_read(self) -> None:
        issued = tokens().issue(USER, SESSION)
        assert tokens().read(issued.token) == (USER, SESSION, issued.expires_at)
        assert issued.expires_at == datetime.fromtimestamp(1_800_000_901, UTC)

    def test_lives_as_long_as_promised_and_no_longer(self) -> None:
        issued = tokens().issue(USER, SESSION)
        assert tokens(NOW + 900).read(issued.token)
        with pytest.raises(Unauthorized) as caught:
            tokens(1_800_000_901).read(issued.token)
        assert not isinstance(caught.value, Forged)

    @pytest.mark.parametrize("name", GOOD)
    def test_every_claim_is_needed(self, name: str) -> None:
        claims = {claim: value for claim, value in GOOD.items() if claim != name}
        with pytest.raises(Unauthorized):
            tokens().read(jwt.encode(claims, SECRET, algorithm="HS256"))

    @pytest.mark.parametrize(
        "changes",
        [{"iss": "x"}, {"aud": "x"}, {"sub": "x"}, {"sid": "x"}, {"exp": 10**30}, {"exp": "x"}, {"exp": 1}],
    )
    def test_claims_that_are_wrong(self, changes: dict[str, object]) -> None:
        with pytest.raises(Unauthorized):
            tokens().read(jwt.encode(GOOD | changes, SECRET, algorithm="HS256"))

    def test_the_good_one_is_good(self) -> None:
        assert tokens().read(jwt.encode(GOOD, SECRET, algorithm="HS256"))[:2] == (USER, SESSION)

    def test_other_algorithms_and_secrets(self) -> None:
        unsigned = jwt.encode(GOOD, "", algorithm="none")
        longer = jwt.encode(GOOD, SECRET * 2, algorithm="HS512")
        other = jwt.encode(GOOD, SECRET[::-1], algorithm="HS256")
        for token in (unsigned, longer, other, "", "x", "a.b.c", "é" * 10, "x" * 10_000):
            with pytest.raises(Forged):
                tokens().read(token)


class TestRefreshRule:
    AT = datetime(2030, 1, 1, tzinfo=UTC)

    def verdict(
        self, *, rotated_s: float | None, now_s: float = 0, retired: bool = False, successor_used: bool = False
    ) -> Verdict:
        rotated_at = None if rotated_s is None else self.AT + timedelta(seconds=rotated_s)
        retired_at = self.AT if retired else None
        now = self.AT + timedelta(seconds=now_s)
        return judge(rotated_at=rotated_at, retired_at=retired_at, successor_used=successor_used, now=now)

    def test_first_use_rotates(self) -> None:
        assert self.verdict(rotated_s=None, now_s=10**6) is Verdict.ROTATE

    @pytest.mark.parametrize(
        ("now_s", "verdict"), [(0, Verdict.REPLACE_LOST), (60, Verdict.REPLACE_LOST), (60.1, Verdict.END)]
    )
    def test_again_within_60_s_of_the_first_use(self, now_s: float, verdict: Verdict) -> None:
        assert self.verdict(rotated_s=0, now_s=now_s) is verdict

    def test_not_when_its_successor_was_used(self) -> None:
        assert self.verdict(rotated_s=0, now_s=1, successor_used=True) is Verdict.END

    def test_a_retired_one_ends_the_chain(self) -> None:
        assert self.verdict(rotated_s=None, retired=True) is Verdict.END

    def test_tokens_are_long_and_hashed(self) -> None:
        token = new_refresh_token()
        assert len(token) >= 43
        assert token != new_refresh_token()
        assert len(refresh_hash(token)) == 32


class TestDevSignIn:
    async def test_believes_any_name(self) -> None:
        identity = await DevSignIn().identify("  Anna   Bæk ")
        assert (identity.provider, identity.subject, identity.display_name) == ("dev", "Anna Bæk", "Anna Bæk")

    @pytest.mark.parametrize("name", ["", " \n", "x" * 81, "a\x1bb", "a\u202eb"])
    async def test_but_not_what_is_no_name(self, name: str) -> None:
        with pytest.raises(Unauthorized):
            await DevSignIn().identify(name)


class TestProbeSignIn:
    def token(self, signed: str) -> str:
        return f"{signed}.{hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()}"

    @pytest.mark.parametrize("age_s", [-60, 0, 60])
    async def test_a_fresh_token_is_good(self, age_s: int) -> None:
        probes = ProbeSignIn(SECRET, clock=lambda: NOW // 1)
        identity = await probes.identify(self.token(f"a.b.{int(NOW) - age_s}"))
        assert (identity.provider, identity.subject, identity.languages) == ("probe", "a.b", ("qaa",))

    @pytest.mark.parametrize("signed", [f"a.{int(NOW) - 61}", f"a.{int(NOW) + 62}", "a", "a.", "a.x", "", f"a.-{NOW}"])
    async def test_no_other_is(self, signed: str) -> None:
        with pytest.raises(Unauthorized):
            await ProbeSignIn(SECRET, clock=lambda: NOW).identify(self.token(signed))

    async def test_nor_one_by_another_secret(self) -> None:
        with pytest.raises(Unauthorized):
            await ProbeSignIn(SECRET[::-1], clock=lambda: NOW).identify(self.token(f"a.{int(NOW)}"))


@pytest.mark.parametrize(
    ("held", "may"),
    [
        ((), ()),
        (("observer",), ("observer",)),
        (("moderator",), ("observer", "moderator")),
        (("owner",), ("observer", "moderator", "owner")),
    ],
)
def test_a_higher_admin_role_covers_the_lower(held: tuple[str, ...], may: tuple[str, ...]) -> None:
    caller = Caller(
        user_id=USER,
        session_id=SESSION,
        device_id="phone",
        role=None,
        status="active",
        admin_roles=held,
        languages=(),
        time_zone="UTC",
        display_name=None,
        token_expires_at=datetime.now(UTC),
    )
    assert tuple(role for role in ("observer", "moderator", "owner") if caller.may(role)) == may
