"""Signing in with Firebase ID tokens: through the HTTP API, firebase-admin asking a stand-in of Google on loopback."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import firebase_admin
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from firebase_admin import _token_gen, _user_mgt
from structlog.testing import capture_logs

from infra.firebase import sign_in
from infra.firebase.sign_in import FirebaseSignIn
from infra.firebase.unavailable import SignInUnavailable
from infra.postgres.accounts import PostgresAccounts
from infra.postgres.pool import OUTAGES
from infra.standins.firebase_auth import CERTIFICATES_PATH, FirebaseAuthStandIn, SigningKey
from server.api.sessions import SessionsApi
from server.auth import Authenticator, FirebaseProvider
from server.failures import FailureReports
from server.routing import Boundary
from tests.support.http_api import Answer, HttpApi, http_api

PROJECT = "eyeline-dev"
OTHER_KEY = SigningKey()


@pytest.fixture
async def google(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FirebaseAuthStandIn]:
    """Where firebase-admin believes Google to be."""
    async with FirebaseAuthStandIn(PROJECT) as google:
        monkeypatch.delenv(sign_in.EMULATOR_HOST, raising=False)
        monkeypatch.setattr(_token_gen, "ID_TOKEN_CERT_URI", google.url + CERTIFICATES_PATH)
        monkeypatch.setattr(_user_mgt.UserManager, "ID_TOOLKIT_URL", google.url + "/v1")
        yield google


@pytest.fixture
async def firebase(google: FirebaseAuthStandIn, tmp_path: Path) -> AsyncIterator[FirebaseSignIn]:
    google.make_account(tmp_path / "account.json")
    firebase = FirebaseSignIn(PROJECT, tmp_path / "account.json")
    yield firebase
    await firebase.close()


@asynccontextmanager
async def sessions_of(database_url: str, firebase: FirebaseSignIn) -> AsyncIterator[HttpApi]:
    """`/v1/sessions` with Firebase switched on and nothing else."""
    async with http_api(database_url, start=time.time()) as api:
        accounts = PostgresAccounts(api.pool)
        providers = {"firebase": FirebaseProvider(firebase)}
        app = web.Application(middlewares=[FailureReports((*OUTAGES, SignInUnavailable)).middleware])
        routes = SessionsApi(accounts, api.tokens, providers, api.told.session_ended).routes()
        Boundary(Authenticator(api.tokens, accounts, api.told.seen.append), api.limits).register(app, routes)
        async with TestServer(app) as server:
            api.base = str(server.make_url("")).rstrip("/")
            yield api


@pytest.fixture
async def api(database_url: str, firebase: FirebaseSignIn) -> AsyncIterator[HttpApi]:
    async with sessions_of(database_url, firebase) as api:
        yield api


async def show(api: HttpApi, token: str, device: str = "phone") -> Answer:
    body = {"provider": "firebase", "token": token, "device": {"id": device, "platform": "ios"}}
    return await api.call("POST", "/v1/sessions", body)


def in_parts(header: dict[str, Any], claims: Any, sign: Callable[[bytes], bytes] = lambda _said: b"") -> str:
    """A token as no library would make it."""
    said = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    return (said + b"." + _base64url(sign(said))).decode()


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


class TestGoodTokens:
    async def test_sign_in_by_any_method(self, api: HttpApi, google: FirebaseAuthStandIn) -> None:
        people = set()
        for method in ("anonymous", "password", "phone", "google.com", "apple.com", "custom"):
            answer = await show(api, google.id_token(google.add(method)))
            assert answer.status == 201, method
            people.add(answer.body["user"]["id"])
        assert len(people) == 6

    async def test_of_a_person_only_the_uid_is_kept(self, api: HttpApi, google: FirebaseAuthStandIn) -> None:
        user = google.add()
        answer = await show(api, google.id_token(user))
        assert answer.body["user"]["display_name"] is None
        row = await api.pool.fetchrow("SELECT provider, subject FROM identities")
        assert tuple(row) == ("firebase", user.uid)

    async def test_a_guest_who_links_an_address_stays_the_same_person(
        self, api: HttpApi, google: FirebaseAuthStandIn
    ) -> None:
        user = google.add("anonymous")
        guest = await show(api, google.id_token(user))
        user.method = "password"
        linked = await show(api, google.id_token(user), device="tablet")
        assert linked.status == 201
        assert linked.body["user"]["id"] == guest.body["user"]["id"]

    async def test_are_good_up_to_five_seconds_too_early(self, api: HttpApi, google: FirebaseAuthStandIn) -> None:
        token = google.id_token(google.add(), iat=int(time.time()) + 4)
        assert (await show(api, token)).status == 201

    async def test_certificates_are_fetched_once_while_they_may_be_kept(
        self, firebase: FirebaseSignIn, google: FirebaseAuthStandIn
    ) -> None:
        users = [google.add() for _ in range(5)]
        assert [await firebase.uid_of(google.id_token(user)) for user in users] == [user.uid for user in users]
        assert (google.certificates_asked, google.lookups) == (1, 5)

    async def test_a_new_signing_key_is_known_when_the_old_certificates_are_over(
        self, firebase: FirebaseSignIn, google: FirebaseAuthStandIn
    ) -> None:
        google.max_age_s = 0
        user = google.add()
        assert await firebase.uid_of(google.id_token(user)) == user.uid
        google.key = OTHER_KEY
        assert await firebase.uid_of(google.id_token(user)) == user.uid


def _hmac_with_public_key(google: FirebaseAuthStandIn, secret: bytes) -> str:
    """Whoever verifies with "the key" instead of "the RSA key" takes the public key for a shared secret."""
    header = {"alg": "HS256", "typ": "JWT", "kid": google.key.id}
    return in_parts(header, google.claims(google.add()), lambda said: hmac.digest(secret, said, "sha256"))


def _spoiled(token: str) -> str:
    """The same token for another user, signed by nobody."""
    header, claims, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    return f"{header}.{_base64url(json.dumps({**said, 'sub': 'somebody-else'}).encode()).decode()}.{signature}"


def _now(offset_s: int) -> int:
    return int(time.time()) + offset_s


BAD: dict[str, Callable[[FirebaseAuthStandIn], str]] = {
    "of another project": lambda g: g.id_token(g.add(), aud="another-project"),
    "by another issuer": lambda g: g.id_token(g.add(), iss="https://securetoken.google.com/another-project"),
    "of another project altogether": lambda g: g.id_token(
        g.add(), aud="another-project", iss="https://securetoken.google.com/another-project"
    ),
    "a custom token": lambda g: g.id_token(g.add(), aud=_token_gen.FIREBASE_AUDIENCE),
    "a session cookie": lambda g: g.id_token(g.add(), iss=f"https://session.firebase.google.com/{PROJECT}"),
    "signed with another key": lambda g: g.id_token(g.add(), key=OTHER_KEY, kid=g.key.id),
    "signed with a key nobody knows": lambda g: g.id_token(g.add(), key=OTHER_KEY),
    "changed after signing": lambda g: _spoiled(g.id_token(g.add())),
    "alg none": lambda g: in_parts({"alg": "none", "typ": "JWT"}, g.claims(g.add())),
    "alg none with a known key": lambda g: in_parts({"alg": "none", "kid": g.key.id}, g.claims(g.add())),
    "RS256 without a signature": lambda g: in_parts({"alg": "RS256", "kid": g.key.id}, g.claims(g.add())),
    "HS256 with the public key": lambda g: _hmac_with_public_key(g, g.key.public_pem),
    "HS256 with the certificate": lambda g: _hmac_with_public_key(g, g.key.certificate_pem.encode()),
    "without a kid": lambda g: jwt.encode(g.claims(g.add()), g.key.private, algorithm="RS256"),
    "RS512": lambda g: jwt.encode(g.claims(g.add()), g.key.private, algorithm="RS512", headers={"kid": g.key.id}),
    "expired": lambda g: g.id_token(g.add(), exp=_now(-6)),
    "not yet valid": lambda g: g.id_token(g.add(), iat=_now(30)),
    "of nobody": lambda g: g.id_token(g.add(), sub=""),
    "of a number": lambda g: in_parts({"alg": "RS256", "kid": g.key.id}, {**g.claims(g.add()), "sub": 7}),
    "of a deleted user": lambda g: g.id_token(g.users.pop(g.add().uid)),
    "a name": lambda _: "anna",
    "two parts": lambda _: "e30.e30",
    "not base64": lambda _: "a.b.c",
    "claims that are no object": lambda g: in_parts({"alg": "RS256", "kid": g.key.id}, [1]),
    "claims nested too deep": lambda _: f"e30.{_base64url(b'[' * 5000).decode()}.e30",
    "letters of another alphabet": lambda g: g.id_token(g.add()) + "ж",
    "a line break at the end": lambda g: g.id_token(g.add()) + "\n",
}


class TestBadTokens:
    @pytest.mark.parametrize("make", BAD.values(), ids=list(BAD))
    async def test_are_refused(
        self, api: HttpApi, google: FirebaseAuthStandIn, make: Callable[[FirebaseAuthStandIn], str]
    ) -> None:
        with capture_logs() as logged:
            answer = await show(api, make(google))
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert not logged
        assert await api.pool.fetchval("SELECT count(*) FROM users") == 0

    async def test_of_a_disabled_user_are_refused_until_they_are_not(
        self, api: HttpApi, google: FirebaseAuthStandIn
    ) -> None:
        user = google.add()
        user.disabled = True
        assert (await show(api, google.id_token(user))).code == "unauthorized"
        user.disabled = False
        assert (await show(api, google.id_token(user))).status == 201

    async def test_that_were_revoked_are_refused_and_later_ones_are_not(
        self, api: HttpApi, google: FirebaseAuthStandIn
    ) -> None:
        user = google.add()
        old = google.id_token(user)
        assert (await show(api, old)).status == 201
        google.revoke(user)
        assert (await show(api, old)).code == "unauthorized"
        assert (await show(api, google.id_token(user, iat=user.valid_since_unix))).status == 201

    async def test_over_8_kib_are_refused_unread(self, api: HttpApi, google: FirebaseAuthStandIn) -> None:
        answer = await show(api, google.id_token(google.add(), padding="x" * 8192))
        assert answer.field == "token"

    async def test_over_8_kib_are_refused_unread_here_too(
        self, firebase: FirebaseSignIn, google: FirebaseAuthStandIn
    ) -> None:
        assert await firebase.uid_of(google.id_token(google.add(), padding="x" * 8192)) is None
        assert google.certificates_asked == 0


def _certificates_fail(google: FirebaseAuthStandIn) -> None:
    google.certificates_status = 500


def _certificates_are_a_page(google: FirebaseAuthStandIn) -> None:
    google.certificates_body = "<html>Please sign in to this network</html>"


def _certificates_are_broken(google: FirebaseAuthStandIn) -> None:
    google.certificates_body = json.dumps({google.key.id: "-----BEGIN CERTIFICATE-----\nno"})


def _lookup_is_forbidden(google: FirebaseAuthStandIn) -> None:
    google.lookup_status = 403


def _lookup_fails(google: FirebaseAuthStandIn) -> None:
    google.lookup_status = 502


def _no_access_token(google: FirebaseAuthStandIn) -> None:
    google.tokens.refuse_with = 401


FAILURES = {
    _certificates_fail: "CertificatesUnavailable",
    _certificates_are_a_page: "CertificatesUnavailable",
    _certificates_are_broken: "CertificatesUnavailable",
    _lookup_is_forbidden: "LookupRefused",
    _lookup_fails: "LookupUnavailable",
    _no_access_token: "LookupUnavailable",
}


class TestGoogleAway:
    """Not the caller's fault: 503, told to an operator once, and never with the token."""

    @pytest.mark.parametrize(("fail", "kind"), FAILURES.items(), ids=[fail.__name__.strip("_") for fail in FAILURES])
    async def test_is_our_failure(
        self, api: HttpApi, google: FirebaseAuthStandIn, fail: Callable[[FirebaseAuthStandIn], None], kind: str
    ) -> None:
        fail(google)
        user = google.add()
        await self._unavailable(api, google.id_token(user), kind)

    async def test_unreachable_is_our_failure(
        self, api: HttpApi, google: FirebaseAuthStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_token_gen, "ID_TOKEN_CERT_URI", "http://127.0.0.1:1/certificates")
        await self._unavailable(api, google.id_token(google.add()), "CertificatesUnavailable")

    async def test_silent_is_our_failure_within_the_deadline(
        self, api: HttpApi, google: FirebaseAuthStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_in, "WITHIN_S", 0.5)
        google.open.clear()
        began = time.monotonic()
        await self._unavailable(api, google.id_token(google.add()), "LookupUnavailable")
        assert time.monotonic() - began < 1.5
        google.open.set()

    async def test_passes(self, api: HttpApi, google: FirebaseAuthStandIn) -> None:
        token = google.id_token(google.add())
        google.lookup_status = 502
        await self._unavailable(api, token, "LookupUnavailable")
        google.lookup_status = 200
        assert (await show(api, token)).status == 201

    async def test_more_than_can_wait_are_turned_away_at_once(
        self, firebase: FirebaseSignIn, google: FirebaseAuthStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_in, "WAITING_MAX", 3)
        google.open.clear()
        users = [google.add() for _ in range(4)]
        asked = [asyncio.create_task(firebase.uid_of(google.id_token(user))) for user in users[:3]]
        await asyncio.sleep(0)
        with pytest.raises(sign_in.TooManySignIns):
            await firebase.uid_of(google.id_token(users[3]))
        google.open.set()
        assert await asyncio.gather(*asked) == [user.uid for user in users[:3]]
        assert await firebase.uid_of(google.id_token(users[3])) == users[3].uid

    async def _unavailable(self, api: HttpApi, token: str, kind: str) -> None:
        with capture_logs() as logged:
            answer = await show(api, token)
        assert (answer.status, answer.code) == (503, "unavailable")
        assert answer.body["error"]["retryable"]
        (line,) = logged
        assert (line["error"], line["outage"]) == (kind, True)
        assert not any(part in json.dumps([logged, answer.body], default=str) for part in token.split("."))


class TestItself:
    async def test_errors_carry_no_token(self, firebase: FirebaseSignIn, google: FirebaseAuthStandIn) -> None:
        google.lookup_status = 502
        with pytest.raises(SignInUnavailable) as caught:
            await firebase.uid_of(google.id_token(google.add()))
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    async def test_the_event_loop_goes_on_meanwhile(
        self, firebase: FirebaseSignIn, google: FirebaseAuthStandIn
    ) -> None:
        google.open.clear()
        asked = asyncio.create_task(firebase.uid_of(google.id_token(google.add())))
        began = time.monotonic()
        while not google.lookups:
            await asyncio.sleep(0.01)
            assert time.monotonic() - began < 5
        google.open.set()
        assert await asked

    async def test_several_live_beside_each_other_and_leave_nothing(
        self, google: FirebaseAuthStandIn, tmp_path: Path
    ) -> None:
        google.make_account(tmp_path / "account.json")
        before = set(firebase_admin._apps)
        both = [FirebaseSignIn(PROJECT, tmp_path / "account.json") for _ in range(2)]
        user = google.add()
        assert [await one.uid_of(google.id_token(user)) for one in both] == [user.uid, user.uid]
        for one in both:
            await one.close()
        assert set(firebase_admin._apps) == before

    async def test_the_emulator_is_believed_only_where_it_may_be(
        self, google: FirebaseAuthStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        google.make_account(tmp_path / "account.json")
        monkeypatch.setenv(sign_in.EMULATOR_HOST, "127.0.0.1:9099")
        with pytest.raises(ValueError, match="anyone could sign in as anyone"):
            FirebaseSignIn(PROJECT, tmp_path / "account.json")
        await FirebaseSignIn(PROJECT, None, emulator=True).close()

    async def test_needs_a_key(self, google: FirebaseAuthStandIn, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="key file is needed"):
            FirebaseSignIn(PROJECT, None, emulator=True)
        (tmp_path / "account.json").write_text("{}")
        with pytest.raises(ValueError, match=r"."):
            FirebaseSignIn(PROJECT, tmp_path / "account.json")
