"""The stand-in refuses everything push services refuse: a check that cannot fail is no check."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import http_ece
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from infra.standins.webpush import MOZILLA, WebPushStandIn
from infra.standins.webpush_browser import Browser, CannotRead, Subscription
from infra.standins.webpush_plan import STATUS, Act
from infra.webpush import base64url
from infra.webpush.encryption import encrypt
from infra.webpush.keys import VapidKeys, load, make_keys
from infra.webpush.payload import payload
from matching.waking import WakeType
from tests.support.fakes.push_words import FakeWords
from tests.support.pushes import wake

HOUR_S = 3600


class World:
    """A push in order, and ways to send another."""

    def __init__(self, standin: WebPushStandIn, session: aiohttp.ClientSession, lines: list[str]) -> None:
        self.standin = standin
        self.session = session
        self.lines = lines
        self.keys = load(make_keys()[0])
        self.subscription = standin.subscribe(self.keys.public)
        self.body = encrypt(b'{"type":"ring"}', self.subscription.keys)

    def token(self, keys: VapidKeys | None = None, algorithm: str = "ES256", **claims: Any) -> str:
        """With one claim changed, or left out when it is None."""
        all_claims = {
            "aud": f"https://{MOZILLA}",
            "exp": int(time.time()) + HOUR_S,
            "sub": "mailto:push@eyeline.example",
            **claims,
        }
        said = {name: value for name, value in all_claims.items() if value is not None}
        key: Any = (keys or self.keys).private if algorithm == "ES256" else ""
        return jwt.encode(said, key, algorithm=algorithm)

    def vapid(self, token: str | None = None, k: str | None = None) -> str:
        return f"vapid t={token or self.token()}, k={k or self.keys.public}"

    async def post(
        self, body: bytes | None = None, endpoint: str | None = None, **changed: str | None
    ) -> tuple[int, str | None]:
        """The status, and what the stand-in says was wrong. A header of None is left out."""
        headers = {
            "Authorization": self.vapid(),
            "TTL": "30",
            "Urgency": "high",
            "Content-Encoding": "aes128gcm",
            **{name.replace("_", "-"): value for name, value in changed.items()},
        }
        address = (endpoint or self.subscription.endpoint).removeprefix("https:/")
        async with self.session.post(
            self.standin.url + address,
            data=self.body if body is None else body,
            headers={name: value for name, value in headers.items() if value is not None},
            allow_redirects=False,
        ) as response:
            return response.status, self.standin.seen[-1].wrong


@pytest.fixture
async def world() -> AsyncIterator[World]:
    lines: list[str] = []
    async with WebPushStandIn(on_push=lines.append) as standin, aiohttp.ClientSession() as session:
        yield World(standin, session, lines)


class TestWhatIsInOrder:
    async def test_is_taken_and_read(self, world: World) -> None:
        assert await world.post() == (201, None)
        received = await world.standin.nth(1)
        assert received.data == {"type": "ring"}
        assert received.status == 201
        assert received.endpoint == world.subscription.endpoint
        assert received.headers["ttl"] == "30"
        assert world.standin.answers == {"201": 1}

    async def test_needs_no_urgency(self, world: World) -> None:
        assert await world.post(Urgency=None) == (201, None)

    @pytest.mark.parametrize("header", ["vapid t={t},k={k}", 'vapid k={k}, t="{t}"', "Vapid t={t} , k={k}"])
    async def test_may_write_its_header_in_other_ways(self, world: World, header: str) -> None:
        header = header.format(t=world.token(), k=world.keys.public)
        assert await world.post(Authorization=header) == (201, None)

    async def test_may_be_an_https_contact(self, world: World) -> None:
        said = world.vapid(world.token(sub="https://eyeline.example"))
        assert await world.post(Authorization=said) == (201, None)


class TestVapid:
    @pytest.mark.parametrize(
        "header",
        [None, "Bearer token", "vapid", "vapid t=x", "vapid k=x", "WebPush token", "vapid t=a.b.c, k=A"],
    )
    async def test_no_signature_is_unauthorized(self, world: World, header: str | None) -> None:
        status, wrong = await world.post(Authorization=header)
        assert status == 401
        assert wrong

    @pytest.mark.parametrize("audience", [None, "https://web.push.apple.com", f"https://{MOZILLA}/", MOZILLA])
    async def test_another_audience_is_forbidden(self, world: World, audience: str | None) -> None:
        status, wrong = await world.post(Authorization=world.vapid(world.token(aud=audience)))
        assert (status, wrong) == (403, "aud is not the origin of the push service")

    @pytest.mark.parametrize("in_s", [None, -1, 24 * HOUR_S + 60])
    async def test_an_end_in_the_past_or_far_future_is_forbidden(self, world: World, in_s: int | None) -> None:
        exp = None if in_s is None else int(time.time()) + in_s
        status, wrong = await world.post(Authorization=world.vapid(world.token(exp=exp)))
        assert (status, wrong) == (403, "exp is not within the next 24 hours")

    @pytest.mark.parametrize("subject", [None, "", "push@eyeline.example", "http://eyeline.example"])
    async def test_no_contact_is_forbidden(self, world: World, subject: str | None) -> None:
        status, wrong = await world.post(Authorization=world.vapid(world.token(sub=subject)))
        assert (status, wrong) == (403, "sub is no mailto: or https: address")

    async def test_a_signature_by_another_key_is_forbidden(self, world: World) -> None:
        other = load(make_keys()[0])
        status, wrong = await world.post(Authorization=world.vapid(world.token(other)))
        assert (status, wrong) == (403, "the token is not signed by k")

    async def test_no_algorithm_is_no_signature(self, world: World) -> None:
        status, wrong = await world.post(Authorization=world.vapid(world.token(algorithm="none")))
        assert (status, wrong) == (403, "the token is not signed by k")

    async def test_a_key_that_is_no_point_is_forbidden(self, world: World) -> None:
        status, wrong = await world.post(Authorization=world.vapid(k=base64url.encode(bytes(65))))
        assert (status, wrong) == (403, "the token is not signed by k")

    async def test_another_key_than_the_subscriptions_is_forbidden(self, world: World) -> None:
        other = load(make_keys()[0])
        status, wrong = await world.post(Authorization=world.vapid(world.token(other), other.public))
        assert (status, wrong) == (403, "the subscription is for another key")


class TestHeadersAndBody:
    @pytest.mark.parametrize("ttl", [None, "", "soon", "1.5", "-1"])
    async def test_no_time_to_live_is_refused(self, world: World, ttl: str | None) -> None:
        assert await world.post(TTL=ttl) == (400, "TTL is missing or no number of seconds")

    @pytest.mark.parametrize("urgency", ["", "urgent", "HIGH"])
    async def test_an_unknown_urgency_is_refused(self, world: World, urgency: str) -> None:
        assert await world.post(Urgency=urgency) == (400, "Urgency is none of the four")

    @pytest.mark.parametrize("encoding", [None, "aesgcm", "identity"])
    async def test_another_encryption_is_refused(self, world: World, encoding: str | None) -> None:
        assert await world.post(Content_Encoding=encoding) == (400, "Content-Encoding is not aes128gcm")

    async def test_4096_bytes_are_taken_and_one_more_refused(self, world: World) -> None:
        text = json.dumps({"type": "x" * (3993 - len('{"type": ""}'))}).encode()
        body = encrypt(text, world.subscription.keys)
        assert len(body) == 4096
        assert await world.post(body) == (201, None)
        assert await world.post(body + b"x") == (413, "more than 4,096 bytes")

    @pytest.mark.parametrize("body", [b"", b"hello", bytes(200)])
    async def test_what_is_not_encrypted_is_refused(self, world: World, body: bytes) -> None:
        assert await world.post(body) == (400, "the browser cannot read it")

    async def test_what_is_encrypted_for_another_browser_is_refused(self, world: World) -> None:
        other = world.standin.subscribe(world.keys.public)
        body = encrypt(b'{"type":"ring"}', other.keys)
        assert await world.post(body) == (400, "the browser cannot read it")

    async def test_a_changed_bit_is_refused(self, world: World) -> None:
        body = world.body[:-1] + bytes([world.body[-1] ^ 1])
        assert await world.post(body) == (400, "the browser cannot read it")

    @pytest.mark.parametrize("text", [b"ring", b"[]", b'"ring"'])
    async def test_what_is_no_object_is_refused(self, world: World, text: bytes) -> None:
        status, _ = await world.post(encrypt(text, world.subscription.keys))
        assert status == 400


class TestUnknownSubscriptions:
    async def test_are_not_found_and_the_line_says_so(self, world: World) -> None:
        status, _ = await world.post(endpoint=f"https://{MOZILLA}/wpush/v2/somebody-elses")
        assert status == 404
        assert world.lines == ["browser: a push was refused (404): cannot be read: its browser did not subscribe here"]

    async def test_their_signature_is_checked_all_the_same(self, world: World) -> None:
        status, _ = await world.post(endpoint="https://web.push.apple.com/somebody-elses")
        assert status == 403


class TestSubscriptions:
    def test_have_an_address_at_the_push_service_that_was_asked_for(self) -> None:
        made = WebPushStandIn().subscribe(make_keys()[1], "web.push.apple.com")
        assert made.endpoint.startswith("https://web.push.apple.com/")
        assert len(base64url.decode(made.keys["p256dh"])) == 65
        assert len(base64url.decode(made.keys["auth"])) == 16
        assert made.endpoint not in repr(made)

    def test_need_a_key(self) -> None:
        with pytest.raises(ValueError, match="public VAPID key"):
            WebPushStandIn().subscribe("key")

    async def test_can_be_made_by_a_page(self, world: World) -> None:
        url = f"{world.standin.url}/subscriptions"
        async with world.session.options(url) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["Access-Control-Allow-Headers"] == "Content-Type"
        async with world.session.post(url, json={"applicationServerKey": world.keys.public}) as response:
            assert response.status == 201
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            made: Mapping[str, Any] = await response.json()
        assert made.keys() == {"endpoint", "expirationTime", "keys"}
        world.subscription = Subscription(made["endpoint"], made["keys"])
        assert await world.post(encrypt(b"{}", made["keys"])) == (201, None)

    @pytest.mark.parametrize("body", ["", "{}", "[]", '{"applicationServerKey": 5}', '{"applicationServerKey": "x"}'])
    async def test_are_not_made_of_anything_else(self, world: World, body: str) -> None:
        async with world.session.post(f"{world.standin.url}/subscriptions", data=body) as response:
            assert response.status == 400


class TestReading:
    def test_reads_what_another_library_wrote_and_only_that(self) -> None:
        browser = Browser.subscribe(make_keys()[1], MOZILLA)
        point = base64url.decode(browser.subscription.keys["p256dh"])
        auth = base64url.decode(browser.subscription.keys["auth"])
        sender = ec.generate_private_key(ec.SECP256R1())
        body = http_ece.encrypt(b"woken", private_key=sender, dh=point, auth_secret=auth)
        assert browser.read(body) == b"woken"
        for wrong in (body[:50], body[:86], body[:20] + b"\x40" + body[21:], body[:16] + bytes(4) + body[20:]):
            with pytest.raises(CannotRead):
                browser.read(wrong)

    def test_reads_the_example_of_rfc_8291(self) -> None:
        """Appendix A."""
        text = (
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
            "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        )
        private = base64url.decode("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")
        key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
        p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
        auth = "BTBZMqHH6r4Tts7J_aSIgg"
        subscription = Subscription("https://push.example.net/x", {"p256dh": p256dh, "auth": auth})
        browser = Browser(subscription, b"", key, base64url.decode(auth))
        assert browser.read(base64url.decode(text)) == b"When I grow up, I want to be a watermelon"


class TestPlan:
    @pytest.mark.parametrize("act", list(STATUS))
    async def test_answers_as_told(self, world: World, act: Act) -> None:
        world.standin.plan.answer_target(world.subscription.endpoint, act)
        assert await world.post() == (STATUS[act], None)
        world.standin.plan.clear()
        assert await world.post() == (201, None)

    async def test_the_next_come_first(self, world: World) -> None:
        world.standin.plan.answer_all(Act.GONE)
        world.standin.plan.answer_next(2, Act.TOO_MANY, "90")
        assert [(await world.post())[0] for _ in range(3)] == [429, 429, 410]
        assert world.standin.answers == {"429": 2, "410": 1}

    async def test_a_reset_is_no_answer(self, world: World) -> None:
        world.standin.plan.answer_all(Act.RESET)
        with pytest.raises(aiohttp.ClientError):
            await world.post()
        assert world.standin.seen[0].status is None
        assert world.standin.answers == {}

    async def test_hanging_ends_with_the_connection(self, world: World) -> None:
        world.standin.plan.answer_all(Act.HANG)
        posting = asyncio.create_task(world.post())
        assert (await world.standin.nth(1)).status is None
        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting


class TestLines:
    async def test_say_what_a_browser_was_told(self, world: World) -> None:
        one = wake(sent_at=datetime.now(UTC), life_s=29.9)
        await world.post(encrypt(payload(one, ("en",), FakeWords()), world.subscription.keys))
        assert world.lines == ['browser: ring "ring title" for request ..a1b2c3, 29 s left']

    async def test_say_that_it_is_over(self, world: World) -> None:
        await world.post(encrypt(payload(wake(WakeType.MISSED), ("en",), FakeWords()), world.subscription.keys))
        assert world.lines == ['browser: missed "missed title" for request ..a1b2c3, 0 s left']

    async def test_are_said_of_anything(self, world: World) -> None:
        await world.post(encrypt(b'{"expires_at": "2026-11-23T12:00:00"}', world.subscription.keys))
        await world.post(TTL="no")
        assert len(world.lines) == 2

    async def test_are_not_said_of_what_did_not_arrive(self, world: World) -> None:
        world.standin.plan.answer_all(Act.UNAVAILABLE)
        await world.post()
        assert world.lines == []
