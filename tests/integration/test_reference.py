"""The published references agree with what is served, and hang together."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, get_args

import pytest
from aiohttp.test_utils import TestClient, TestServer

from server.api.asyncapi import asyncapi, frame_type
from server.app import open_node
from server.settings import Settings
from server.socket.messages import ClientFrame, HelloFrame, ServerFrame
from tests.support.http_api import HttpApi, http_api
from tests.support.nodes import TOKEN_SECRET


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[HttpApi]:
    async with http_api(database_url, start=time.time()) as api:
        yield api


def references(node: Any) -> Iterator[str]:
    """Every `$ref` below."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: Any, reference: str) -> Any:
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        document = document[part]
    return document


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from schemas(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas(value)


class TestOpenApi:
    async def test_every_route_is_there_with_its_parameters_and_answers(self, api: HttpApi) -> None:
        document = (await api.call("GET", "/openapi.json")).body
        assert document["openapi"] == "3.0.3"
        assert {"/v1/sessions", "/v1/me", "/v1/me/devices/{device_id}", "/v1/admin/queue", "/readyz"} <= set(
            document["paths"]
        )
        operations = [
            (path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        for path, method, operation in operations:
            assert method in {"get", "post", "put", "patch", "delete"}
            assert operation["summary"]
            in_path = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", path))
            assert {int(status) // 100 for status in operation["responses"]} >= {2, 5}
        ids = [operation["operationId"] for _, _, operation in operations]
        assert len(set(ids)) == len(ids)

    async def test_references_resolve_and_schemas_are_of_this_version(self, api: HttpApi) -> None:
        document = (await api.call("GET", "/openapi.json")).body
        for reference in references(document):
            assert isinstance(resolve(document, reference), dict)
        for schema in schemas(document["components"]["schemas"]):
            assert schema.get("type") != "null"
            assert schema.get("required") != []

    async def test_says_who_may_call_and_what_may_go_wrong(self, api: HttpApi) -> None:
        paths = (await api.call("GET", "/openapi.json")).body["paths"]
        assert "security" not in paths["/v1/sessions"]["post"]
        assert set(paths["/v1/sessions"]["post"]["responses"]) == {"201", "400", "401", "413", "429", "503"}
        hours = paths["/v1/me/availability"]["put"]
        assert hours["security"] == [{"access_token": []}]
        assert hours["responses"]["403"]["description"] == "`suspended` or `wrong_role`"
        assert set(paths["/v1/me"]["patch"]["responses"]) == {"200", "400", "401", "403", "409", "413", "429", "503"}


class TestAsyncApi:
    async def test_every_frame_is_there(self, api: HttpApi) -> None:
        document = (await api.call("GET", "/asyncapi.json")).body
        assert document["asyncapi"] == "3.0.0"
        assert document["channels"]["app"]["address"] == "/v1/ws"
        for action, frames in (("receive", [HelloFrame, *get_args(ClientFrame)]), ("send", get_args(ServerFrame))):
            listed = document["operations"][f"app.{action}"]["messages"]
            names = {resolve(document, resolve(document, item["$ref"])["$ref"])["name"] for item in listed}
            assert names == {frame_type(frame) for frame in frames}

    def test_references_resolve(self) -> None:
        document = asyncapi()
        for reference in references(document):
            assert isinstance(resolve(document, reference), dict)

    def test_every_message_says_what_it_is_for(self) -> None:
        document = asyncapi()
        assert [key for key, message in document["components"]["messages"].items() if not message["summary"]] == [
            "Pong"
        ]


class TestPages:
    @pytest.mark.parametrize(
        ("path", "content_type"),
        [
            ("/docs", "text/html"),
            ("/docs/socket", "text/html"),
            ("/docs/docs.js", "text/javascript"),
            ("/docs/docs.css", "text/css"),
            ("/docs/swagger-ui-bundle.js", "text/javascript"),
            ("/docs/swagger-ui.css", "text/css"),
            ("/docs/favicon-32x32.png", "image/png"),
        ],
    )
    async def test_are_served_from_here(self, api: HttpApi, path: str, content_type: str) -> None:
        answer = await api.call("GET", path)
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(content_type)
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
        assert b"http://" not in answer.body[:2000] or "html" not in content_type

    async def test_the_socket_page_shows_every_message(self, api: HttpApi) -> None:
        text = (await api.call("GET", "/docs/socket")).body.decode()
        for frame in (HelloFrame, *get_args(ClientFrame), *get_args(ServerFrame)):
            assert f"<h4><code>{frame_type(frame)}</code></h4>" in text

    async def test_nothing_else(self, api: HttpApi) -> None:
        assert (await api.call("GET", "/docs/index.html")).status == 404


async def test_a_node_serves_what_it_publishes_and_nothing_more(database_url: str, valkey_url: str) -> None:
    settings = Settings(database_url=database_url, valkey_url=valkey_url, token_secret=TOKEN_SECRET)
    async with open_node(settings) as app:
        served = {
            (route.resource.canonical, route.method.lower())
            for route in app.router.routes()
            if route.resource is not None and route.resource.canonical.startswith("/v1/")
        }
        async with TestClient(TestServer(app)) as client:
            document = await (await client.get("/openapi.json")).json()
    published = {(path, method) for path, methods in document["paths"].items() for method in methods}
    sockets = {
        (channel["address"], method) for channel in asyncapi()["channels"].values() for method in ("get", "head")
    }
    assert served - sockets == {(path, method) for path, method in published if path.startswith("/v1/")}
    for reference in references(document):
        assert isinstance(resolve(document, reference), dict)
