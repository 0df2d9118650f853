"""Loads all our Lua functions into the server as one library and calls them by name.

Every `lua/<name>.lua` is the body of one atomic function; its header names KEYS, ARGV and reply. `lua/_*.lua` are local
helpers put in front of them. The library's name and each function's name end in a hash of the whole content, so that
nodes of two versions work side by side and no node ever runs another's code. Functions survive FLUSHALL but not a
restart without persistence, and a promoted replica may lack them: a call that finds none loads them and tries again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Protocol

from redis.exceptions import ResponseError

from infra.valkey.cluster import Valkey, on_primaries, pipelined
from infra.valkey.multiplexer import Argument, Command
from infra.valkey.outages import is_unavailable

Call = tuple[Sequence[bytes | str], Sequence[Argument]]
"""KEYS and ARGV of one call."""

LOADS_AT_MOST = 2


class Library:
    """Our functions on one server or cluster. Any number may share a client."""

    def __init__(self, client: Valkey, code: LibraryCode | None = None) -> None:
        self._client = client
        self._code = code or product_code()
        self._loading = asyncio.Lock()
        self._loads = 0

    async def call(self, name: str, keys: Sequence[bytes | str], args: Sequence[Argument] = ()) -> Any:
        """FCALL `name` (the file's name without `.lua`). Replies are as RESP2 gives them: int, bytes, None or lists.

        Raises the driver's errors; see `outages.UnavailableAs`.
        """
        [reply] = await self.call_each(name, [(keys, args)])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def call_many(self, name: str, calls: Sequence[Call]) -> list[Any]:
        """FCALL the same function for each (keys, args), in one pipeline; replies in order. Not atomic as a whole.

        Raises the first error among the replies; the other calls may have been done.
        """
        replies = await self.call_each(name, calls)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def call_each(self, name: str, calls: Sequence[Call]) -> list[Any]:
        """As `call_many`, with the error itself in the place of each reply that failed."""
        commands, loads = [self._command(name, keys, args) for keys, args in calls], self._loads
        replies = await pipelined(self._client, commands)
        for _ in range(LOADS_AT_MOST):
            lacking = [place for place, reply in enumerate(replies) if _lacks_functions(reply)]
            if not lacking:
                break
            async with self._loading:
                if loads == self._loads:  # else somebody did so meanwhile, perhaps without the server that lacks them
                    await self.load()
                loads = self._loads
            # Only these: on other servers of a cluster the calls were done.
            again = await pipelined(self._client, [commands[place] for place in lacking])
            for place, reply in zip(lacking, again, strict=True):
                replies[place] = reply
        return replies

    def _command(self, name: str, keys: Sequence[bytes | str], args: Sequence[Argument]) -> Command:
        return "FCALL", self._code.functions[name], len(keys), *keys, *args

    async def load(self) -> None:
        """Load the library wherever it is not yet. Other versions' libraries stay as they are."""
        for reply in await on_primaries(self._client, "FUNCTION", "LOAD", self._code.text):
            # A primary that is away says so to those who call it.
            if isinstance(reply, Exception) and not is_unavailable(reply) and "already exists" not in str(reply):
                raise reply
        self._loads += 1


class LibraryCode:
    """The text of one version of the library, and what its functions are called on the server."""

    def __init__(self, bodies: Mapping[str, str], helpers: Sequence[str] = ()) -> None:
        """`bodies`: function name -> Lua body that sees KEYS and ARGV; `helpers`: Lua placed before all functions."""
        digest = hashlib.sha256(repr((sorted(bodies.items()), list(helpers))).encode()).hexdigest()[:12]
        self.name = f"eyeline_{digest}"
        self.functions: Mapping[str, str] = {name: f"{name}_{digest}" for name in bodies}
        registrations = [self._register(name, body) for name, body in sorted(bodies.items())]
        self.text = "\n".join([f"#!lua name={self.name}", *helpers, *registrations])

    def _register(self, name: str, body: str) -> str:
        return f"redis.register_function('{self.functions[name]}', function(KEYS, ARGV)\n{body}\nend)"


@cache
def product_code() -> LibraryCode:
    """The library made of this package's `lua/*.lua` files."""
    sources = {
        file.name.removesuffix(".lua"): file.read_text(encoding="utf-8")
        for file in _lua_files()
        if file.name.endswith(".lua")
    }
    helpers = [text for name, text in sorted(sources.items()) if name.startswith("_")]
    return LibraryCode({name: text for name, text in sources.items() if not name.startswith("_")}, helpers)


class _TextFile(Protocol):
    @property
    def name(self) -> str: ...

    def read_text(self, encoding: str | None = None) -> str: ...


def _lua_files() -> Sequence[_TextFile]:
    return list(resources.files("infra.valkey").joinpath("lua").iterdir())


def _lacks_functions(reply: object) -> bool:
    return isinstance(reply, ResponseError) and "Function not found" in str(reply)
