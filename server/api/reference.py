"""The published references: `/openapi.json`, `/asyncapi.json`, and the pages under `/docs` to read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib.resources import files
from typing import Any

import msgspec
from aiohttp import web

from server.api.asyncapi import asyncapi
from server.api.openapi import openapi
from server.api.pages import secure_headers
from server.api.socket_page import socket_page
from server.errors import not_found
from server.routing import Route

_RELEASE = files("swagger_ui_bundle").joinpath("vendor", "swagger-ui-4.15.5")
_RELEASED = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Eyeline: the HTTP API</title>
<link rel="icon" href="/docs/favicon-32x32.png"><link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/docs.css"></head><body>
<nav><strong>HTTP</strong> · <a href="/docs/socket">Sockets</a> · <a href="/openapi.json">openapi.json</a></nav>
<div id="reference"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/docs.js"></script>
</body></html>
"""
_SCRIPT = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#reference", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
_STYLE = """nav { padding: .7rem 1.2rem; font: 1rem system-ui, sans-serif; border-bottom: 1px solid #8886; }
main { max-width: 60rem; margin: 0 auto; padding: 0 1.2rem 4rem; font: 1rem/1.5 system-ui, sans-serif; }
main section { margin: 1.2rem 0; padding: .2rem 1rem .8rem; border: 1px solid #8886; border-radius: .4rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; }
code { font-size: .95em; }
"""
_TEXTS = {"docs.js": (_SCRIPT.encode(), "text/javascript"), "docs.css": (_STYLE.encode(), "text/css")}


class Reference:
    """Written from the routes a node serves, when somebody first wants to read: few nodes are ever asked."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = routes

    @cached_property
    def _documents(self) -> Mapping[str, bytes]:
        """By their path, without the slash."""
        sockets = asyncapi()
        return {
            "openapi.json": _indented(openapi(self._routes)),
            "asyncapi.json": _indented(sockets),
            "docs/socket": socket_page(sockets).encode(),
        }

    def register(self, app: web.Application) -> None:
        app.router.add_get("/openapi.json", self.openapi)
        app.router.add_get("/asyncapi.json", self.asyncapi)
        app.router.add_get("/docs", self.page)
        app.router.add_get("/docs/{name}", self.file)

    async def openapi(self, request: web.Request) -> web.StreamResponse:
        return _answer(request, self._documents["openapi.json"], "application/json")

    async def asyncapi(self, request: web.Request) -> web.StreamResponse:
        return _answer(request, self._documents["asyncapi.json"], "application/json")

    async def page(self, request: web.Request) -> web.StreamResponse:
        return _answer(request, _PAGE.encode(), "text/html")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Raises 404 for a name that is not one of the few files of the page."""
        name = request.match_info["name"]
        if name == "socket":
            return _answer(request, self._documents["docs/socket"], "text/html")
        if name in _TEXTS:
            return _answer(request, *_TEXTS[name])
        if name not in _RELEASED:
            raise not_found()
        return _answer(request, _RELEASE.joinpath(name).read_bytes(), _RELEASED[name])


def _indented(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def _answer(request: web.Request, body: bytes, content_type: str) -> web.Response:
    charset = "utf-8" if content_type.startswith("text/") else None
    # The released page writes style elements of its own.
    headers = secure_headers(request, style="'self' 'unsafe-inline'")
    return web.Response(body=body, content_type=content_type, charset=charset, headers=headers)
