"""The person signed in: `/v1/me`, hours, devices and topics, on real Postgres."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from server.topics import TOPICS
from tests.support.http_api import HttpApi, http_api

ENDPOINT = "https://fcm.googleapis.com/fcm/send/abc"
KEYS = {"p256dh": "B" * 87, "auth": "a" * 22}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[HttpApi]:
    async with http_api(database_url, start=time.time()) as api:
        yield api


class TestMe:
    async def test_what_is_absent_stays(self, api: HttpApi) -> None:
        token = await api.person("anna")
        change = {"languages": ["da", "pt-br"], "time_zone": "Europe/Copenhagen", "role": "requester"}
        assert (await api.call("PATCH", "/v1/me", change, token=token)).status == 200
        answer = await api.call("PATCH", "/v1/me", {"display_name": " Anna B "}, token=token)
        assert answer.status == 200
        assert answer.body == {
            "id": answer.body["id"],
            "role": "requester",
            "admin_roles": [],
            "display_name": "Anna B",
            "languages": ["da", "pt-BR"],
            "time_zone": "Europe/Copenhagen",
            "status": "active",
        }
        assert (await api.call("GET", "/v1/me", token=token)).body == answer.body

    async def test_null_removes_the_name_and_an_empty_list_the_languages(self, api: HttpApi) -> None:
        token = await api.person("anna")
        await api.call("PATCH", "/v1/me", {"languages": ["en"]}, token=token)
        answer = await api.call("PATCH", "/v1/me", {"display_name": None, "languages": []}, token=token)
        assert (answer.body["display_name"], answer.body["languages"]) == (None, [])

    async def test_an_empty_change_changes_nothing(self, api: HttpApi) -> None:
        token = await api.person("anna")
        before = await api.call("GET", "/v1/me", token=token)
        bodies: list[Any] = [{}, None]
        for body in bodies:
            answer = await api.call("PATCH", "/v1/me", body, token=token)
            assert (answer.status, answer.body) == (200, before.body)
        assert api.told.changed == []

    async def test_languages_are_canonical_and_once(self, api: HttpApi) -> None:
        token = await api.person("anna")
        answer = await api.call("PATCH", "/v1/me", {"languages": ["EN-us", "iw", "en-US"]}, token=token)
        assert answer.body["languages"] == ["en-US", "he"]

    async def test_the_role_is_set_once(self, api: HttpApi) -> None:
        token = await api.person("anna", "volunteer")
        assert (await api.call("PATCH", "/v1/me", {"role": "volunteer"}, token=token)).status == 200
        answer = await api.call("PATCH", "/v1/me", {"role": "requester", "display_name": "X"}, token=token)
        assert (answer.status, answer.code) == (409, "role_set")
        me = await api.call("GET", "/v1/me", token=token)
        assert (me.body["role"], me.body["display_name"]) == ("volunteer", "anna")

    async def test_of_two_racing_roles_one_is_set(self, api: HttpApi) -> None:
        token = await api.person("anna")
        roles = ["requester", "volunteer"] * 4
        answers = await asyncio.gather(*[api.call("PATCH", "/v1/me", {"role": r}, token=token) for r in roles])
        assert sorted(answer.status for answer in answers) == [200] * 4 + [409] * 4

    async def test_what_matters_to_matching_is_told(self, api: HttpApi) -> None:
        reply = await api.sign_in("anna")
        for change in ({"display_name": "A"}, {"languages": ["da"]}, {"time_zone": "Asia/Kolkata"}):
            await api.call("PATCH", "/v1/me", change, token=reply["access_token"])
        assert api.told.changed == [UUID(reply["user"]["id"])] * 2

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"role": "admin"}, "role"),
            ({"role": None}, "role"),
            ({"role": 1}, "role"),
            ({"display_name": ""}, "display_name"),
            ({"display_name": "  "}, "display_name"),
            ({"display_name": "x" * 81}, "display_name"),
            ({"display_name": ["x"]}, "display_name"),
            ({"display_name": "a\x00b"}, "display_name"),
            ({"languages": None}, "languages"),
            ({"languages": "da"}, "languages"),
            ({"languages": ["da", 7]}, "languages[1]"),
            ({"languages": ["da", "english"]}, "languages[1]"),
            ({"languages": ["und"]}, "languages[0]"),
            ({"languages": [""]}, "languages[0]"),
            ({"languages": ["da"] * 21}, "languages"),
            ({"time_zone": None}, "time_zone"),
            ({"time_zone": "Mars/Base"}, "time_zone"),
            ({"time_zone": "../etc/passwd"}, "time_zone"),
            ({"time_zone": "UTC+2"}, "time_zone"),
        ],
    )
    async def test_wrong_values_are_refused_by_field_and_change_nothing(
        self, api: HttpApi, body: Any, field: str
    ) -> None:
        token = await api.person("anna")
        before = await api.call("GET", "/v1/me", token=token)
        assert (await api.call("PATCH", "/v1/me", {"time_zone": "UTC"} | body, token=token)).field == field
        assert (await api.call("GET", "/v1/me", token=token)).body == before.body
        assert api.told.changed == []

    async def test_what_one_may_not_set_is_ignored(self, api: HttpApi) -> None:
        token = await api.person("anna")
        body = {"id": "x", "status": "held", "admin_roles": ["owner"]}
        answer = await api.call("PATCH", "/v1/me", body, token=token)
        assert (answer.status, answer.body["status"], answer.body["admin_roles"]) == (200, "active", [])


class TestAvailability:
    PATH = "/v1/me/availability"
    WINDOW = {"days": [5, 1, 1], "from": "22:00", "to": "06:30"}  # noqa: RUF012

    async def test_nothing_was_put(self, api: HttpApi) -> None:
        answer = await api.call("GET", self.PATH, token=await api.person("vera", "volunteer"))
        assert answer.body == {"weekly": [], "paused": False, "paused_until": None}

    async def test_what_was_put_is_given(self, api: HttpApi) -> None:
        token = await api.person("vera", "volunteer")
        api.told.changed.clear()
        whole_day = {"days": [7], "from": "00:00", "to": "24:00"}
        body = {"weekly": [self.WINDOW, whole_day], "paused": True, "paused_until": "2031-01-01T01:00:00+01:00"}
        answer = await api.call("PUT", self.PATH, body, token=token)
        assert answer.status == 200
        assert answer.body == {
            "weekly": [{"days": [1, 5], "from": "22:00", "to": "06:30"}, whole_day],
            "paused": True,
            "paused_until": "2031-01-01T00:00:00.000Z",
        }
        assert (await api.call("GET", self.PATH, token=token)).body == answer.body
        assert len(api.told.changed) == 1

    async def test_putting_again_replaces_all(self, api: HttpApi) -> None:
        token = await api.person("vera", "volunteer")
        await api.call("PUT", self.PATH, {"weekly": [self.WINDOW], "paused": True}, token=token)
        await api.call("PUT", self.PATH, {"weekly": []}, token=token)
        answer = await api.call("GET", self.PATH, token=token)
        assert answer.body == {"weekly": [], "paused": False, "paused_until": None}

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "weekly"),
            ({"weekly": {}}, "weekly"),
            ({"weekly": [WINDOW] * 51}, "weekly"),
            ({"weekly": [{"from": "08:00", "to": "21:00"}]}, "weekly[0].days"),
            ({"weekly": [WINDOW | {"days": []}]}, "weekly[0].days"),
            ({"weekly": [WINDOW | {"days": [0]}]}, "weekly[0].days[0]"),
            ({"weekly": [WINDOW | {"days": [8]}]}, "weekly[0].days[0]"),
            ({"weekly": [WINDOW | {"days": ["mon"]}]}, "weekly[0].days[0]"),
            ({"weekly": [WINDOW | {"from": "24:00"}]}, "weekly[0].from"),
            ({"weekly": [WINDOW | {"from": "8:00"}]}, "weekly[0].from"),
            ({"weekly": [WINDOW | {"to": "24:01"}]}, "weekly[0].to"),
            ({"weekly": [WINDOW | {"to": 6}]}, "weekly[0].to"),
            ({"weekly": [WINDOW | {"to": "22:00"}]}, "weekly[0]"),
            ({"weekly": [], "paused": "yes"}, "paused"),
            ({"weekly": [], "paused": None}, "paused"),
            ({"weekly": [], "paused_until": "tomorrow"}, "paused_until"),
            ({"weekly": [], "paused_until": "2030-01-01T00:00:00"}, "paused_until"),
            ({"weekly": [], "paused_until": "0001-01-01T00:00:00+14:00"}, "paused_until"),
        ],
    )
    async def test_wrong_values_are_refused_by_field(self, api: HttpApi, body: Any, field: str) -> None:
        token = await api.person("vera", "volunteer")
        api.told.changed.clear()
        assert (await api.call("PUT", self.PATH, body, token=token)).field == field
        assert await api.pool.fetchval("SELECT count(*) FROM availability") == 0
        assert api.told.changed == []

    @pytest.mark.parametrize("role", ["requester", None])
    async def test_only_volunteers_have_hours(self, api: HttpApi, role: str | None) -> None:
        token = await api.person("anna", role)
        for method, body in (("GET", None), ("PUT", {"weekly": []})):
            answer = await api.call(method, self.PATH, body, token=token)
            assert (answer.status, answer.code) == (403, "wrong_role")


class TestDevices:
    async def values(self, api: HttpApi) -> list[tuple[str, str, str]]:
        rows = await api.pool.fetch("""
            SELECT p.value, i.subject, p.device_id FROM push_values p JOIN identities i USING (user_id) ORDER BY p.value
        """)
        return [tuple(row) for row in rows]

    async def put(self, api: HttpApi, token: str, device: str, *values: Any) -> Any:
        return await api.call("PUT", f"/v1/me/devices/{device}", {"platform": "web", "push": list(values)}, token=token)

    async def test_putting_replaces_the_values_of_that_device(self, api: HttpApi) -> None:
        token = await api.person("anna")
        old, new = {"kind": "fcm", "value": "old"}, {"kind": "fcm", "value": "new"}
        assert (await self.put(api, token, "phone", old)).status == 204
        await self.put(api, token, "tablet", {"kind": "apns_voip", "value": "other"})
        assert (await self.put(api, token, "phone", new, new)).status == 204
        assert await self.values(api) == [("new", "anna", "phone"), ("other", "anna", "tablet")]

    async def test_a_value_belongs_to_whoever_put_it_last(self, api: HttpApi) -> None:
        anna, bert = await api.person("anna"), await api.person("bert")
        for token in (anna, bert):
            await self.put(api, token, "phone", {"kind": "fcm", "value": "v"})
        assert await self.values(api) == [("v", "bert", "phone")]

    async def test_swapping_devices_never_deadlock(self, api: HttpApi) -> None:
        tokens = [await api.person(name) for name in ("anna", "bert")]
        values = [{"kind": "fcm", "value": f"v{n}"} for n in range(8)]
        puts = [self.put(api, tokens[n % 2], "phone", *values[:: 1 if n % 2 else -1]) for n in range(16)]
        assert {answer.status for answer in await asyncio.gather(*puts)} == {204}
        assert len({(name, device) for _, name, device in await self.values(api)}) == 1

    async def test_a_browser_brings_keys(self, api: HttpApi) -> None:
        token = await api.person("anna")
        push = {"kind": "webpush", "value": ENDPOINT, "keys": KEYS}
        assert (await self.put(api, token, "browser", push)).status == 204
        assert await api.pool.fetchval("SELECT keys FROM push_values") == KEYS

    async def test_deleting_forgets_its_values(self, api: HttpApi) -> None:
        token = await api.person("anna")
        await self.put(api, token, "my phone", {"kind": "fcm", "value": "v"})
        assert (await api.call("DELETE", "/v1/me/devices/my%20phone", token=token)).status == 204
        assert await self.values(api) == []
        answer = await api.call("DELETE", "/v1/me/devices/my%20phone", token=token)
        assert (answer.status, answer.code) == (404, "not_found")

    async def test_somebody_elses_device_is_404(self, api: HttpApi) -> None:
        anna, bert = await api.person("anna"), await api.person("bert")
        await self.put(api, anna, "tablet", {"kind": "fcm", "value": "v"})
        assert (await api.call("DELETE", "/v1/me/devices/tablet", token=bert)).status == 404
        assert await self.values(api) == [("v", "anna", "tablet")]

    @pytest.mark.parametrize("device", ["%00", "x" * 65, "caf%C3%A9"])
    async def test_an_id_no_device_can_have_is_404(self, api: HttpApi, device: str) -> None:
        answer = await self.put(api, await api.person("anna"), device)
        assert (answer.status, answer.code) == (404, "not_found")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "platform"),
            ({"platform": "symbian"}, "platform"),
            ({"platform": "web", "push": None}, "push"),
            ({"platform": "web", "push": [{"kind": "fcm"}]}, "push[0].value"),
            ({"platform": "web", "push": [{"value": "x"}]}, "push[0].kind"),
            ({"platform": "web", "push": [{"kind": "sms", "value": "x"}]}, "push[0].kind"),
            ({"platform": "web", "push": [{"kind": "fcm", "value": ""}]}, "push[0].value"),
            ({"platform": "web", "push": [{"kind": "fcm", "value": "x" * 2049}]}, "push[0].value"),
            ({"platform": "web", "push": [{"kind": "fcm", "value": "a b"}]}, "push[0].value"),
            ({"platform": "web", "push": [{"kind": "fcm", "value": "x", "keys": KEYS}]}, "push[0].keys"),
            ({"platform": "web", "push": [{"kind": "fcm", "value": "x"}] * 9}, "push"),
            ({"platform": "web", "push": [{"kind": "webpush", "value": ENDPOINT, "keys": {}}]}, "push[0].keys.p256dh"),
        ],
    )
    async def test_wrong_values_are_refused_by_field(self, api: HttpApi, body: Any, field: str) -> None:
        token = await api.person("anna")
        assert (await api.call("PUT", "/v1/me/devices/phone", body, token=token)).field == field
        assert await api.pool.fetchval("SELECT count(*) FROM devices") == 0

    @pytest.mark.parametrize(
        "endpoint",
        [
            "http://fcm.googleapis.com/fcm/send/abc",
            "https://fcm.googleapis.com.evil.example/x",
            "https://evil.example/fcm.googleapis.com",
            "https://fcm.googleapis.com@evil.example/x",
            "https://user@fcm.googleapis.com/x",
            "https://fcm.googleapis.com:8443/x",
            "https://fcm.googleapis.com:99999/x",
            "https://evil.example\\.push.apple.com/x",
            "https://169.254.169.254/latest",
            "https://[::1/x",
            "https://fcm.googleapis.com",
            "not-an-address",
        ],
    )
    async def test_a_browser_is_woken_through_known_services_only(self, api: HttpApi, endpoint: str) -> None:
        answer = await self.put(api, await api.person("anna"), "b", {"kind": "webpush", "value": endpoint})
        assert answer.field == "push[0].value"

    @pytest.mark.parametrize(
        "endpoint",
        [
            ENDPOINT,
            "https://updates.push.services.mozilla.com/wpush/v2/abc",
            "https://web.push.apple.com/QAbc",
            "https://wns2-par02p.notify.windows.com/w/?token=abc",
        ],
    )
    async def test_known_services(self, api: HttpApi, endpoint: str) -> None:
        answer = await self.put(api, await api.person("anna"), "b", {"kind": "webpush", "value": endpoint})
        assert answer.status == 204


class TestTopics:
    async def test_lists_codes(self, api: HttpApi) -> None:
        answer = await api.call("GET", "/v1/topics", token=await api.person("anna"))
        assert answer.body == {"topics": [{"code": code} for code in TOPICS]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/sessions"),
        ("DELETE", "/v1/sessions/current"),
        ("GET", "/v1/me"),
        ("PATCH", "/v1/me"),
        ("GET", "/v1/me/availability"),
        ("PUT", "/v1/me/availability"),
        ("PUT", "/v1/me/devices/x"),
        ("DELETE", "/v1/me/devices/x"),
        ("GET", "/v1/topics"),
    ],
)
async def test_everything_else_needs_a_token(api: HttpApi, method: str, path: str) -> None:
    answer = await api.call(method, path)
    assert (answer.status, answer.code) == (401, "unauthorized")
