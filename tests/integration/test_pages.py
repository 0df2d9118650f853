"""The web clients' pages: found, safe to open, and nothing beside them."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from server.api.pages import PAGES, WEB, WORKER, Pages
from server.failures import FailureReports
from tests.support.http_api import HttpApi, http_api


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[HttpApi]:
    async with http_api(database_url, start=time.time()) as api:
        yield api


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_runs_our_files_only(api: HttpApi, path: str) -> None:
    answer = await api.call("GET", path)
    assert answer.status == 200
    assert answer.body == (WEB / PAGES[path]).read_bytes()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "camera=(self), microphone=(self)" in answer.headers["Permissions-Policy"]


async def test_what_did_not_change_is_304(api: HttpApi) -> None:
    first = await api.call("GET", "/static/style.css")
    assert (first.status, first.headers["Cache-Control"]) == (200, "no-cache")
    again = await api.call("GET", "/static/style.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


async def test_modules_are_served_as_scripts(api: HttpApi) -> None:
    answer = await api.call("GET", "/static/lib/socket.js")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")


async def test_the_worker_may_serve_every_page_and_is_never_old(api: HttpApi) -> None:
    path, file = WORKER
    answer = await api.call("GET", path)
    assert (answer.status, answer.body) == (200, (WEB / file).read_bytes())
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert path.count("/") == 1, "a worker sees to what is below its own address only"


@pytest.mark.parametrize("side", ["volunteer", "requester"])
async def test_a_page_can_be_installed(api: HttpApi, side: str) -> None:
    page = (await api.call("GET", f"/{side}")).body.decode()
    assert f'<link rel="manifest" href="/static/{side}.webmanifest">' in page
    assert '<link rel="apple-touch-icon" href="/static/apple-touch-icon.png">' in page
    answer = await api.call("GET", f"/static/{side}.webmanifest")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/manifest+json")
    manifest = json.loads(answer.body)
    assert (manifest["start_url"], manifest["scope"], manifest["id"]) == (f"/{side}",) * 3
    assert manifest["display"] == "standalone"
    assert {"any", "192x192", "512x512"} <= {icon["sizes"] for icon in manifest["icons"]}
    for icon in manifest["icons"]:
        image = await api.call("GET", icon["src"])
        assert (image.status, image.headers["Content-Type"]) == (200, icon["type"])
        if icon["type"] == "image/png":
            assert "{}x{}".format(*struct.unpack(">II", image.body[16:24])) == icon["sizes"]


@pytest.mark.parametrize(
    "name",
    [
        "../app.py",
        "..%2fapp.py",
        "lib/../../app.py",
        "%2e%2e/settings.py",
        "/etc/passwd",
        "lib",
        ".secret.js",
        "a%00.js",
    ],
)
async def test_nothing_else_is_served(tmp_path: Path, name: str) -> None:
    root = tmp_path / "web"
    (root / "lib").mkdir(parents=True)
    for file in (tmp_path / "app.py", tmp_path / "settings.py", root / ".secret.js", root / "notes.txt"):
        file.write_text("private")
    (root / "link.js").symlink_to(tmp_path / "app.py")
    app = web.Application(middlewares=[FailureReports().middleware])
    Pages(root).register(app)
    async with TestClient(TestServer(app)) as client:
        for path in (name, "notes.txt", "link.js"):
            response = await client.get(f"/static/{path}", allow_redirects=False)
            assert (response.status, (await response.json())["error"]["code"]) == (404, "not_found")
