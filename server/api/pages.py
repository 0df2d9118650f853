"""Serves the reference web clients: four pages, their worker and files, with headers that let nothing else in."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from server.errors import not_found

WEB = Path(__file__).parents[1] / "web"
PAGES = {"/": "index.html", "/requester": "requester.html", "/volunteer": "volunteer.html", "/admin": "admin.html"}
# At the root, because a service worker sees to what is below its own address only.
WORKER = ("/worker.js", "worker.js")

# Said explicitly because browsers are told not to guess (nosniff), and the machine's own tables differ.
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".woff2": "font/woff2",
}

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), screen-wake-lock=(self), autoplay=(self),"
    " fullscreen=(self), geolocation=(), payment=(), usb=(), display-capture=()",
    # Kept, but asked for each time: an ETag answers most questions with 304, and a new version is seen at once.
    "Cache-Control": "no-cache",
}


def content_security_policy(request: web.Request, *, style: str = "'self'") -> str:
    """Only our own files, and sockets to this host (not every browser counts those as `'self'`)."""
    host = request.host
    return (
        "default-src 'none'; script-src 'self'; "
        f"style-src {style}; img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self'; "
        f"connect-src 'self' ws://{host} wss://{host}; manifest-src 'self'; worker-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def secure_headers(request: web.Request, *, style: str = "'self'") -> dict[str, str]:
    return {**HEADERS, "Content-Security-Policy": content_security_policy(request, style=style)}


class Pages:
    """Files are looked up when asked for, so an edit shows at the next reload."""

    def __init__(self, root: Path = WEB) -> None:
        self._root = root.resolve()

    def register(self, app: web.Application) -> None:
        for path in PAGES:
            app.router.add_get(path, self.page)
        app.router.add_get(WORKER[0], self.worker)
        app.router.add_get("/static/{name:.+}", self.static)

    async def page(self, request: web.Request) -> web.StreamResponse:
        return self._file(request, PAGES[request.path])

    async def worker(self, request: web.Request) -> web.StreamResponse:
        return self._file(request, WORKER[1])

    async def static(self, request: web.Request) -> web.StreamResponse:
        return self._file(request, request.match_info["name"])

    def _file(self, request: web.Request, name: str) -> web.StreamResponse:
        """Raises 404 for what is no file of a known kind below the root."""
        if "\x00" in name:
            raise not_found()
        path = (self._root / name).resolve()
        known = path.suffix in CONTENT_TYPES and path.is_relative_to(self._root)
        hidden = any(part.startswith(".") for part in path.parts[len(self._root.parts) :])
        if not known or hidden or not path.is_file():
            raise not_found()
        headers = {**secure_headers(request), "Content-Type": CONTENT_TYPES[path.suffix]}
        return web.FileResponse(path, headers=headers)
