"""The stand-in refuses everything Google refuses: a check that cannot fail is no check."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.firebase.credentials import AccessTokens
from infra.firebase.messages import Bodies
from infra.standins.fcm import FcmStandIn
from infra.standins.fcm_plan import Act
from infra.standins.fcm_rules import violation
from infra.standins.google_oauth import GOOGLE_TOKEN_URI, SCOPE
from matching.waking import WakeType
from tests.support.fakes.push_words import FakeWords
from tests.support.pushes import SENT, target, wake

Json = dict[str, Any]


def good() -> Json:
    """A message with a block for every platform."""
    blocks = [
        json.loads(Bodies(wake(), FakeWords()).body(target("phone", platform), SENT))["message"]
        for platform in ("android", "ios", "web")
    ]
    return {"message": {**blocks[0], **blocks[1], **blocks[2]}}


def changed(path: str, value: object) -> Json:
    """The good message with one thing set; `path` in slashes."""
    body = copy.deepcopy(good())
    *way, last = path.split("/")
    at = body
    for name in way:
        at = at.setdefault(name, {})
    at[last] = value
    return body


def without(path: str) -> Json:
    body = changed(path, None)
    *way, last = path.split("/")
    at = body
    for name in way:
        at = at[name]
    del at[last]
    return body


class TestRules:
    def test_a_good_message_passes(self) -> None:
        assert violation(good()) is None

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("message/android/ttl", "3.5s"),
            ("message/android/priority", "HIGH"),
            ("message/android/collapse_key", "key"),
            ("message/android/collapseKey", "key"),
            ("message/android/notification", {"notification_count": 3, "visibility": "PRIVATE"}),
            ("message/android/notification", {"notificationCount": "3", "vibrate_timings": ["1s"]}),
            ("message/android/ttl", "2419200s"),
            ("message/apns/headers/apns-collapse-id", "x" * 64),
            ("message/data/order", "o"),
            ("validate_only", True),
        ],
    )
    def test_what_google_takes_passes(self, path: str, value: object) -> None:
        assert violation(changed(path, value)) is None

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("message/android/ttl", 30),
            ("message/android/ttl", "30"),
            ("message/android/ttl", "30 s"),
            ("message/android/ttl", "-1s"),
            ("message/android/ttl", "2419201s"),
            ("message/android/priority", "urgent"),
            ("message/android/priority", "High"),
            ("message/android/priority", 10),
            ("message/android/sound", "default"),
            ("message/android/notification", {"notification_count": 3.5}),
            ("message/android/notification", {"notification_count": 2**31}),
            ("message/android/notification", {"visibility": "private"}),
            ("message/android/notification", {"sticky": "yes"}),
            ("message/android/notification", {"event_time": "tomorrow"}),
            ("message/android/notification", {"body_loc_args": "one"}),
            ("message/android/data", {"n": 1}),
            ("message/android_v2", {}),
            ("message/data", ["v"]),
            ("message/data/epoch", 3),
            ("message/data/nested", {"a": "b"}),
            ("message/data/nothing", None),
            ("message/data/from", "x"),
            ("message/data/message_type", "x"),
            ("message/data/google.sent", "x"),
            ("message/data/gcm.notification.title", "x"),
            ("message/data/long", "x" * 4096),
            ("message/data/long", "ä" * 2000),
            ("message/ios", {}),
            ("message/priority", "high"),
            ("message/token", "a second target"),
            ("message/topic", "a second target"),
            ("message/fid", ""),
            ("message/fid", 7),
            ("message/apns/aps", {}),
            ("message/apns/headers/apns-priority", "7"),
            ("message/apns/headers/apns-priority", 10),
            ("message/apns/headers/apns-push-type", "ring"),
            ("message/apns/headers/apns-expiration", "soon"),
            ("message/apns/headers/apns-collapse-id", "x" * 65),
            ("message/apns/headers/apns-collapse-id", "ä" * 33),
            ("message/apns/payload", "aps"),
            ("message/apns/payload/long", "x" * 4096),
            ("message/webpush/ttl", "30"),
            ("message/webpush/headers/TTL", "30s"),
            ("message/webpush/headers/TTL", 30),
            ("message/webpush/headers/Urgency", "urgent"),
            ("message/webpush/data/from", "x"),
            ("message", "hello"),
            ("notification", {}),
            ("validate_only", "yes"),
        ],
    )
    def test_what_google_refuses_is_refused(self, path: str, value: object) -> None:
        assert violation(changed(path, value))

    @pytest.mark.parametrize("path", ["message", "message/fid"])
    def test_what_is_missing_is_refused(self, path: str) -> None:
        assert violation(without(path))

    @pytest.mark.parametrize("body", [None, [], "message", 3, {}])
    def test_what_is_no_request_is_refused(self, body: object) -> None:
        assert violation(body)


@pytest.fixture
async def standin() -> AsyncIterator[FcmStandIn]:
    async with FcmStandIn() as standin:
        yield standin


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def token_of(standin: FcmStandIn, tmp_path: Path) -> str:
    standin.make_account(tmp_path / "account.json")
    return await AccessTokens(tmp_path / "account.json").token()


async def send(
    http: aiohttp.ClientSession, standin: FcmStandIn, token: str, body: object, project: str = "eyeline-dev"
) -> tuple[int, Json]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with http.post(
        f"{standin.url}/v1/projects/{project}/messages:send",
        data=data,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    ) as response:
        found: Json = await response.json()
        return response.status, found


class TestServer:
    async def test_takes_a_good_message_and_keeps_it(
        self, standin: FcmStandIn, http: aiohttp.ClientSession, tmp_path: Path
    ) -> None:
        status, answer = await send(http, standin, await token_of(standin, tmp_path), good())
        assert status == 200
        assert answer["name"].startswith("projects/eyeline-dev/messages/")
        seen = await standin.nth(1)
        assert (seen.message, seen.status, seen.target) == (good()["message"], 200, "phone")
        assert standin.answers == {"200": 1}

    async def test_refuses_in_googles_shape(
        self, standin: FcmStandIn, http: aiohttp.ClientSession, tmp_path: Path
    ) -> None:
        token = await token_of(standin, tmp_path)
        # Twice, since what was found about a message is remembered.
        for _ in range(2):
            status, answer = await send(http, standin, token, changed("message/android/ttl", 30))
            assert status == 400
            error = answer["error"]
            assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
            assert error["details"] == [
                {
                    "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
                    "errorCode": "INVALID_ARGUMENT",
                }
            ]

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b'{"message":[]}', b'{"message":{"fid":""}}'])
    async def test_refuses_what_is_no_message(
        self, standin: FcmStandIn, http: aiohttp.ClientSession, tmp_path: Path, body: bytes
    ) -> None:
        status, _answer = await send(http, standin, await token_of(standin, tmp_path), body)
        assert status == 400

    async def test_what_is_remembered_of_one_target_is_not_mistaken_for_another_message(
        self, standin: FcmStandIn, http: aiohttp.ClientSession, tmp_path: Path
    ) -> None:
        token = await token_of(standin, tmp_path)
        statuses = [
            (await send(http, standin, token, body))[0]
            for body in (good(), changed("message/fid", "other"), changed("message/token", "x"), without("message/fid"))
        ]
        assert statuses == [200, 200, 400, 400]

    @pytest.mark.parametrize("token", ["", "wrong"])
    async def test_refuses_who_shows_no_token_of_its_own(
        self, standin: FcmStandIn, http: aiohttp.ClientSession, token: str
    ) -> None:
        assert (await send(http, standin, token, good()))[0] == 401

    async def test_refuses_a_token_that_is_over(
        self, standin: FcmStandIn, http: aiohttp.ClientSession, tmp_path: Path
    ) -> None:
        standin.tokens.expires_in_s = 0
        standin.make_account(tmp_path / "account.json")
        tokens = AccessTokens(tmp_path / "account.json")
        assert (await send(http, standin, await tokens.token(), good()))[0] == 401

    async def test_refuses_another_project(
        self, standin: FcmStandIn, http: aiohttp.ClientSession, tmp_path: Path
    ) -> None:
        token = await token_of(standin, tmp_path)
        assert (await send(http, standin, token, good(), "other"))[0] == 403

    @pytest.mark.parametrize(
        ("act", "status", "code"),
        [
            (Act.INVALID, 400, "INVALID_ARGUMENT"),
            (Act.UNAUTHENTICATED, 401, None),
            (Act.SENDER_ID_MISMATCH, 403, "SENDER_ID_MISMATCH"),
            (Act.UNREGISTERED, 404, "UNREGISTERED"),
            (Act.QUOTA_EXCEEDED, 429, "QUOTA_EXCEEDED"),
            (Act.INTERNAL, 500, "INTERNAL"),
            (Act.UNAVAILABLE, 503, "UNAVAILABLE"),
        ],
    )
    async def test_answers_as_told(
        self,
        standin: FcmStandIn,
        http: aiohttp.ClientSession,
        tmp_path: Path,
        act: Act,
        status: int,
        code: str | None,
    ) -> None:
        token = await token_of(standin, tmp_path)
        standin.plan.answer_next(1, act)
        found, answer = await send(http, standin, token, good())
        assert found == status
        assert [detail["errorCode"] for detail in answer["error"]["details"]] == ([code] if code else [])
        assert (await send(http, standin, token, good()))[0] == 200

    async def test_says_what_a_phone_was_sent(self, http: aiohttp.ClientSession, tmp_path: Path) -> None:
        lines: list[str] = []
        async with FcmStandIn(on_push=lines.append) as standin:
            token = await token_of(standin, tmp_path)
            for type_, platform in ((WakeType.RING, "android"), (WakeType.WITHDRAW, "ios")):
                body = Bodies(wake(type_), FakeWords()).body(target("x", platform), SENT)  # type: ignore[arg-type]
                await send(http, standin, token, body)
        assert lines[0].startswith("android phone: ring for request ..a1b2c3 (da), ")
        assert lines[0].endswith(" s left")
        assert lines[1] == 'iPhone: withdraw for request ..a1b2c3, "answered"'


class TestTokens:
    """RFC 7523: the assertion is checked as Google does."""

    @pytest.fixture
    async def account(self, standin: FcmStandIn, tmp_path: Path) -> Mapping[str, str]:
        standin.make_account(tmp_path / "account.json")
        found: Mapping[str, str] = json.loads((tmp_path / "account.json").read_text())
        return found

    async def ask(self, http: aiohttp.ClientSession, standin: FcmStandIn, assertion: str) -> int:
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        async with http.post(f"{standin.url}/token", data=form) as response:
            return response.status

    def claims(self, account: Mapping[str, str]) -> Json:
        now = int(time.time())
        return {
            "iss": account["client_email"],
            "aud": GOOGLE_TOKEN_URI,
            "scope": SCOPE,
            "iat": now,
            "exp": now + 3600,
        }

    async def test_a_good_assertion_gets_one(
        self, standin: FcmStandIn, http: aiohttp.ClientSession, account: Mapping[str, str]
    ) -> None:
        assertion = jwt.encode(self.claims(account), account["private_key"], "RS256")
        assert await self.ask(http, standin, assertion) == 200

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda claims: claims.update(aud="https://elsewhere"),
            lambda claims: claims.update(exp=claims["iat"] - 1),
            lambda claims: claims.update(exp=claims["iat"] + 7200),
            lambda claims: claims.update(iss="somebody@else"),
            lambda claims: claims.update(scope="openid"),
            lambda claims: claims.pop("exp"),
            lambda claims: claims.pop("iss"),
        ],
    )
    async def test_a_bad_claim_gets_none(
        self,
        standin: FcmStandIn,
        http: aiohttp.ClientSession,
        account: Mapping[str, str],
        spoil: Callable[[Json], object],
    ) -> None:
        claims = self.claims(account)
        spoil(claims)
        assert await self.ask(http, standin, jwt.encode(claims, account["private_key"], "RS256")) == 400

    async def test_another_key_or_algorithm_gets_none(
        self, standin: FcmStandIn, http: aiohttp.ClientSession, account: Mapping[str, str]
    ) -> None:
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        claims = self.claims(account)
        for assertion in (
            jwt.encode(claims, stranger, "RS256"),
            jwt.encode(claims, account["private_key"], "RS512"),
            jwt.encode(claims, "x" * 32, "HS256"),
            jwt.encode(claims, "", "none"),
            "nonsense",
        ):
            assert await self.ask(http, standin, assertion) == 400

    async def test_an_account_key_is_readable_by_its_owner_alone(
        self, account: Mapping[str, str], tmp_path: Path
    ) -> None:
        assert account["type"] == "service_account"
        assert (tmp_path / "account.json").stat().st_mode & 0o077 == 0


async def test_who_waits_for_a_message_is_told_when_it_comes(
    standin: FcmStandIn, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    token = await token_of(standin, tmp_path)
    waiting = asyncio.create_task(standin.nth(2))
    await send(http, standin, token, good())
    assert not waiting.done()
    await send(http, standin, token, changed("message/fid", "second"))
    async with asyncio.timeout(5):
        assert (await waiting).target == "second"
