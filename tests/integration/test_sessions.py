"""Signing in, refreshing, signing out: the contract's section "Sign-in sessions and the person", on real Postgres."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from server import rate_limits
from tests.support.http_api import HttpApi, http_api


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[HttpApi]:
    async with http_api(database_url, start=time.time()) as api:
        yield api


def sign_in_body(**changes: Any) -> dict[str, Any]:
    return {"provider": "dev", "token": "anna", "device": {"id": "phone", "platform": "ios"}} | changes


async def refresh(api: HttpApi, token: str, **more: Any) -> Any:
    return await api.call("POST", "/v1/sessions/refresh", {"refresh_token": token, **more})


class TestSignIn:
    async def test_gives_tokens_and_the_person(self, api: HttpApi) -> None:
        answer = await api.call("POST", "/v1/sessions", sign_in_body())
        assert answer.status == 201
        assert answer.headers["Cache-Control"] == "no-store"
        assert set(answer.body) == {"access_token", "expires_at", "refresh_token", "session_id", "user"}
        user = answer.body["user"]
        assert UUID(user["id"]).version == 7
        assert user == {
            "id": user["id"],
            "role": None,
            "admin_roles": [],
            "display_name": "anna",
            "languages": [],
            "time_zone": "UTC",
            "status": "active",
        }
        me = await api.call("GET", "/v1/me", token=answer.body["access_token"])
        assert me.body == user

    async def test_the_same_name_is_the_same_person_in_another_session(self, api: HttpApi) -> None:
        first, second = await api.sign_in("anna"), await api.sign_in(" anna ", device="tablet")
        assert first["user"]["id"] == second["user"]["id"]
        assert first["session_id"] != second["session_id"]

    async def test_racing_first_sign_ins_make_one_person(self, api: HttpApi) -> None:
        replies = await asyncio.gather(*[api.sign_in("anna", device=f"phone {n}") for n in range(12)])
        assert len({reply["user"]["id"] for reply in replies}) == 1
        assert await api.pool.fetchval("SELECT count(*) FROM users") == 1
        assert await api.pool.fetchval("SELECT count(*) FROM sessions") == 12

    async def test_tokens_are_stored_as_hashes_only(self, api: HttpApi) -> None:
        reply = await api.sign_in("anna")
        row = await api.pool.fetchrow("SELECT * FROM refresh_tokens")
        assert reply["refresh_token"].encode() not in bytes(row["hash"])
        assert len(row["hash"]) == 32

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "provider"),
            (sign_in_body(provider="facebook"), "provider"),
            (sign_in_body(provider="firebase"), "provider"),
            (sign_in_body(provider=7), "provider"),
            (sign_in_body(token=None), "token"),
            (sign_in_body(token=""), "token"),
            (sign_in_body(token="x" * 9000), "token"),
            (sign_in_body(token="an\x00na"), "token"),
            (sign_in_body(device=None), "device"),
            (sign_in_body(device=[]), "device"),
            (sign_in_body(device={"platform": "ios"}), "device.id"),
            (sign_in_body(device={"id": "phone"}), "device.platform"),
            (sign_in_body(device={"id": "phone", "platform": "symbian"}), "device.platform"),
            (sign_in_body(device={"id": "", "platform": "ios"}), "device.id"),
            (sign_in_body(device={"id": "x" * 65, "platform": "ios"}), "device.id"),
            (sign_in_body(device={"id": "ph\nne", "platform": "ios"}), "device.id"),
        ],
    )
    async def test_wrong_bodies_are_refused_by_field(self, api: HttpApi, body: Any, field: str) -> None:
        answer = await api.call("POST", "/v1/sessions", body)
        assert answer.field == field
        assert await api.pool.fetchval("SELECT count(*) FROM users") == 0

    @pytest.mark.parametrize(
        "data",
        [b"[]", b"{", b"null", b'"x"', b'{"provider": "\xff"}', b'{"a":' * 20000, b"\xff\xfe"],
        ids=["array", "half", "null", "text", "not utf-8", "deep", "binary"],
    )
    async def test_what_is_no_object_is_refused(self, api: HttpApi, data: bytes) -> None:
        answer = await api.call("POST", "/v1/sessions", data=data[:60_000])
        assert (answer.status, answer.code) == (400, "invalid_body")

    async def test_over_64_kib_is_413(self, api: HttpApi) -> None:
        answer = await api.call("POST", "/v1/sessions", sign_in_body(more="x" * 66_000))
        assert (answer.status, answer.code) == (413, "too_large")

    async def test_unknown_fields_are_ignored(self, api: HttpApi) -> None:
        assert (await api.call("POST", "/v1/sessions", sign_in_body(colour="red"))).status == 201

    @pytest.mark.parametrize("name", [" ", "x" * 81, "an\tna\x07"])
    async def test_a_name_nobody_can_have_is_401(self, api: HttpApi, name: str) -> None:
        answer = await api.call("POST", "/v1/sessions", sign_in_body(token=name))
        assert (answer.status, answer.code) == (401, "unauthorized")

    async def test_too_fast_is_429_by_address(self, api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rate_limits, "_is_this_machine", lambda address: False)
        api.limits.answer_s = 2.2
        answer = await api.call("POST", "/v1/sessions", sign_in_body())
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "too_fast", "3")
        assert answer.body["error"]["retryable"] is True
        assert api.limits.counted == [("sign_in", "127.0.0.1")]

    async def test_who_shows_forged_tokens_is_held_back_and_who_was_away_too_long_is_not(
        self, api: HttpApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await api.person("anna")
        monkeypatch.setattr(rate_limits, "_is_this_machine", lambda address: False)
        api.limits.counted.clear()
        api.limits.answer_s = 1.5
        answer = await api.call("GET", "/v1/me", token="made up")
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "too_fast", "2")
        api.clock.now += 3600
        answer = await api.call("GET", "/v1/me", token=token)
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert api.limits.counted == [("forged", "127.0.0.1")]

    async def test_this_machine_stands_for_many(self, api: HttpApi) -> None:
        await api.sign_in("anna")
        assert api.limits.counted == []


class TestAccessToken:
    async def test_every_authenticated_call_is_being_seen(self, api: HttpApi) -> None:
        reply = await api.sign_in("anna")
        await api.call("GET", "/v1/me", token=reply["access_token"])
        assert api.told.seen == [UUID(reply["session_id"])]

    @pytest.mark.parametrize(
        "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer x.y.z", "Bearer " + "x" * 8000]
    )
    async def test_without_a_good_one_401(self, api: HttpApi, header: str | None) -> None:
        answer = await api.call("GET", "/v1/me", headers={} if header is None else {"Authorization": header})
        assert (answer.status, answer.code) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    async def test_ends_after_its_life(self, api: HttpApi) -> None:
        token = await api.person("anna")
        api.clock.now += 890
        assert (await api.call("GET", "/v1/me", token=token)).status == 200
        api.clock.now += 12
        assert (await api.call("GET", "/v1/me", token=token)).status == 401

    async def test_one_signed_elsewhere_or_of_another_person_is_refused(self, api: HttpApi) -> None:
        reply = await api.sign_in("anna")
        forged = type(api.tokens)("another secret of more than thirty-two", 900).issue(
            UUID(reply["user"]["id"]), UUID(reply["session_id"])
        )
        mixed = api.tokens.issue(uuid4(), UUID(reply["session_id"]))
        for token in (forged.token, mixed.token):
            assert (await api.call("GET", "/v1/me", token=token)).status == 401

    async def test_a_suspended_person_may_only_see_who_they_are_and_leave(self, api: HttpApi) -> None:
        token = await api.person("anna")
        await api.pool.execute("UPDATE users SET status = 'suspended'")
        assert (await api.call("GET", "/v1/me", token=token)).body["status"] == "suspended"
        answer = await api.call("GET", "/v1/sessions", token=token)
        assert (answer.status, answer.code) == (403, "suspended")
        assert (await api.call("DELETE", "/v1/sessions/current", token=token)).status == 204

    async def test_too_fast_is_429_by_session(self, api: HttpApi) -> None:
        reply = await api.sign_in("anna")
        api.limits.answer_s = 0.1
        answer = await api.call("GET", "/v1/me", token=reply["access_token"])
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "too_fast", "1")
        assert api.limits.counted[-1] == ("session", reply["session_id"])


class TestRefresh:
    async def test_gives_a_new_pair_of_the_same_session(self, api: HttpApi) -> None:
        first = await api.sign_in("anna")
        answer = await refresh(api, first["refresh_token"], device_id="phone")
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.body["session_id"] == first["session_id"]
        assert answer.body["refresh_token"] != first["refresh_token"]
        assert (await api.call("GET", "/v1/me", token=answer.body["access_token"])).status == 200

    async def test_a_lost_reply_signs_nobody_out(self, api: HttpApi) -> None:
        first = (await api.sign_in("anna"))["refresh_token"]
        lost = (await refresh(api, first)).body["refresh_token"]
        again = await refresh(api, first)
        assert again.status == 200
        assert again.body["refresh_token"] not in (first, lost)
        assert (await refresh(api, again.body["refresh_token"])).status == 200

    async def test_the_lost_one_is_retired(self, api: HttpApi) -> None:
        first = await api.sign_in("anna")
        lost = (await refresh(api, first["refresh_token"])).body["refresh_token"]
        good = (await refresh(api, first["refresh_token"])).body
        assert (await refresh(api, lost)).status == 401
        await self.assert_ended(api, first["session_id"], good["access_token"], good["refresh_token"])

    async def test_again_after_the_successor_was_used_ends_the_chain(self, api: HttpApi) -> None:
        first = await api.sign_in("anna")
        second = (await refresh(api, first["refresh_token"])).body
        third = (await refresh(api, second["refresh_token"])).body
        answer = await refresh(api, first["refresh_token"])
        assert (answer.status, answer.code) == (401, "unauthorized")
        await self.assert_ended(api, first["session_id"], third["access_token"], third["refresh_token"])

    async def test_again_after_60_s_ends_the_chain(self, api: HttpApi) -> None:
        first = await api.sign_in("anna")
        second = (await refresh(api, first["refresh_token"])).body
        await api.pool.execute(
            "UPDATE refresh_tokens SET rotated_at = rotated_at - interval '61 s' WHERE rotated_at IS NOT NULL"
        )
        assert (await refresh(api, first["refresh_token"])).status == 401
        await self.assert_ended(api, first["session_id"], second["access_token"], second["refresh_token"])

    async def test_within_60_s_it_works_more_than_once(self, api: HttpApi) -> None:
        first = (await api.sign_in("anna"))["refresh_token"]
        for _ in range(3):
            assert (await refresh(api, first)).status == 200

    async def test_another_devices_id_ends_the_chain(self, api: HttpApi) -> None:
        first = await api.sign_in("anna")
        assert (await refresh(api, first["refresh_token"], device_id="tablet")).status == 401
        await self.assert_ended(api, first["session_id"], first["access_token"], first["refresh_token"])

    async def test_an_unknown_token_ends_nothing(self, api: HttpApi) -> None:
        first = await api.sign_in("anna")
        assert (await refresh(api, "nonsense")).status == 401
        assert (await refresh(api, first["refresh_token"])).status == 200

    async def test_racing_uses_leave_one_live_successor(self, api: HttpApi) -> None:
        first = (await api.sign_in("anna"))["refresh_token"]
        answers = await asyncio.gather(*[refresh(api, first) for _ in range(8)])
        assert {answer.status for answer in answers} == {200}
        alive = await api.pool.fetchval(
            "SELECT count(*) FROM refresh_tokens WHERE rotated_at IS NULL AND retired_at IS NULL"
        )
        assert alive == 1

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "refresh_token"),
            ({"refresh_token": 1}, "refresh_token"),
            ({"refresh_token": ""}, "refresh_token"),
            ({"refresh_token": "x", "device_id": 5}, "device_id"),
        ],
    )
    async def test_wrong_bodies_are_refused_by_field(self, api: HttpApi, body: Any, field: str) -> None:
        assert (await api.call("POST", "/v1/sessions/refresh", body)).field == field

    @staticmethod
    async def assert_ended(api: HttpApi, session_id: str, access_token: str, refresh_token: str) -> None:
        assert api.told.ended == [UUID(session_id)]
        assert (await api.call("GET", "/v1/me", token=access_token)).status == 401
        assert (await refresh(api, refresh_token)).status == 401
        assert api.told.ended == [UUID(session_id)]


class TestMySessions:
    async def test_lists_those_that_have_not_ended(self, api: HttpApi) -> None:
        phone = await api.sign_in("anna", device="phone", platform="ios")
        tablet = await api.sign_in("anna", device="tablet", platform="web")
        await api.sign_in("bert")
        answer = await api.call("GET", "/v1/sessions", token=phone["access_token"])
        sessions = answer.body["sessions"]
        assert [(s["id"], s["device_id"], s["platform"], s["current"]) for s in sessions] == [
            (tablet["session_id"], "tablet", "web", False),
            (phone["session_id"], "phone", "ios", True),
        ]
        assert set(sessions[0]) == {"id", "device_id", "platform", "created_at", "seen_at", "current"}

    @pytest.mark.parametrize("which", ["current", "its id"])
    async def test_ending_one_ends_its_tokens(self, api: HttpApi, which: str) -> None:
        phone, tablet = await api.sign_in("anna"), await api.sign_in("anna", device="tablet")
        name = "current" if which == "current" else phone["session_id"]
        assert (await api.call("DELETE", f"/v1/sessions/{name}", token=phone["access_token"])).status == 204
        assert api.told.ended == [UUID(phone["session_id"])]
        assert (await api.call("GET", "/v1/me", token=phone["access_token"])).status == 401
        assert (await refresh(api, phone["refresh_token"])).status == 401
        assert (await api.call("GET", "/v1/me", token=tablet["access_token"])).status == 200

    async def test_its_push_values_go_with_it(self, api: HttpApi) -> None:
        phone, tablet = await api.sign_in("anna"), await api.sign_in("anna", device="tablet")
        for device in ("phone", "tablet"):
            body = {"platform": "android", "push": [{"kind": "fcm", "value": f"value-{device}"}]}
            await api.call("PUT", f"/v1/me/devices/{device}", body, token=tablet["access_token"])
        await api.call("DELETE", f"/v1/sessions/{phone['session_id']}", token=tablet["access_token"])
        assert await api.pool.fetchval("SELECT array_agg(value) FROM push_values") == ["value-tablet"]

    @pytest.mark.parametrize("name", ["0198b2f0-0000-7000-8000-000000000000", "nonsense", "%00", "CURRENT"])
    async def test_what_is_not_mine_is_404(self, api: HttpApi, name: str) -> None:
        answer = await api.call("DELETE", f"/v1/sessions/{name}", token=await api.person("anna"))
        assert (answer.status, answer.code) == (404, "not_found")

    async def test_somebody_elses_is_404_and_lives(self, api: HttpApi) -> None:
        bert = await api.sign_in("bert")
        answer = await api.call("DELETE", f"/v1/sessions/{bert['session_id']}", token=await api.person("anna"))
        assert (answer.status, answer.code) == (404, "not_found")
        assert (await api.call("GET", "/v1/me", token=bert["access_token"])).status == 200
        assert api.told.ended == []
