"""`eyeline doctor`: asks everything a deployment stands on whether it is well, and says what to do where it is not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.ice import IceServers
from signaling.privacy import RelayNets

Allocate = Callable[[str, str, str], Awaitable[str]]
"""The relayed address that the TURN server at a URI gives for a user name and credential. Raises ValueError for what is
no URI of one, PermissionError when the credentials are refused, and OSError."""
WAYS = {"udp": "turn:…?transport=udp", "tcp": "turn:…?transport=tcp", "tls": "turns:…?transport=tcp"}


class Trouble(Exception):
    """Something is not well; the message says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Check:
    """`ask` gives what is to be said when all is well; raises `Trouble`, or an error that `advice` is put behind."""

    name: str
    ask: Callable[[], Awaitable[str]]
    advice: str


async def examine(checks: Iterable[Check], deadline_s: float, say: Callable[[str], None]) -> bool:
    """Ask all at once, and say one line for each, in order. Whether all is well."""
    verdicts = await asyncio.gather(*(_verdict(check, deadline_s) for check in checks))
    for _, line in verdicts:
        say(line)
    return all(fine for fine, _ in verdicts)


async def _verdict(check: Check, deadline_s: float) -> tuple[bool, str]:
    try:
        async with asyncio.timeout(deadline_s):
            return True, f"ok: {check.name}: {await check.ask()}"
    except TimeoutError:
        problem = f"no answer within {deadline_s:g} s; {check.advice}"
    except Trouble as trouble:
        problem = str(trouble)
    except Exception as error:  # whatever a driver raises is what this command is for
        words = (str(error).strip().splitlines() or [""])[0]
        problem = f"{type(error).__name__}{': ' if words else ''}{words}; {check.advice}"
    return False, f"failed: {check.name}: {problem}"


async def all_of(*questions: tuple[Callable[[], Awaitable[str | None]], str]) -> None:
    """Readiness checks one after the other, each None when all is well, with what to do if not; raises `Trouble`."""
    for ask, advice in questions:
        if problem := await ask():
            raise Trouble(f"{problem}; {advice}")


def turn_checks(ice: IceServers, relays: RelayNets, allocate: Allocate, now: datetime) -> list[Check]:
    """One for which ways there are, and one for each TURN URL, with credentials like those of a call."""
    checks = [Check("TURN", lambda: _ways(ice.turn_urls), "")]
    for url in ice.turn_urls:
        question = _TurnQuestion(url, ice, relays, allocate, now)
        checks.append(Check(url, question.ask, "is it running, and does every firewall let this through?"))
    return checks


async def _ways(urls: Sequence[str]) -> str:
    if not urls:
        return "there is none, so people behind different routers often cannot reach each other (EYELINE_TURN_URLS)"
    missing = [WAYS[way] for way in WAYS if way not in {_way(url) for url in urls}]
    if not missing:
        return "over udp, tcp and tls"
    return f"some networks let nothing else through than what is missing: {', '.join(missing)}"


def _way(url: str) -> str:
    if url.startswith("turns:"):
        return "tls"
    return "tcp" if url.endswith("transport=tcp") else "udp"


@dataclass(frozen=True, slots=True)
class _TurnQuestion:
    url: str
    ice: IceServers
    relays: RelayNets
    allocate: Allocate
    now: datetime

    async def ask(self) -> str:
        server = self.ice.for_side(UUID(int=0), "doctor", self.now).servers[-1]
        try:
            address = await self.allocate(self.url, server.username or "", server.credential or "")
        except (OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Trouble(_what_to_do(error)) from error
        if self.ice.policy == "relay" and address not in self.relays:
            raise Trouble(f"relays from {address}, which is not in EYELINE_TURN_RELAY_NETS: no call would pass; add it")
        return f"relays from {address}"


def _what_to_do(error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError) and error.errno is None:  # theirs, not of this machine's firewall
        return "refuses our credentials; is EYELINE_TURN_SECRET its static-auth-secret, and is its clock right?"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); renew it, or name its CA with --trust"
    if isinstance(error, ssl.SSLError):
        return f"does not speak TLS there ({error.strerror}); is the port its tls-listening-port?"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there; is it running, and is this its port?"
    if isinstance(error, socket.gaierror):
        return "has no address; see the name in EYELINE_TURN_URLS, and DNS"
    if isinstance(error, ConnectionError):
        return f"gives no relayed address ({error}); see its log"
    if isinstance(error, OSError):
        return f"cannot be reached: {error.strerror or error}"
    return f"{error}; correct EYELINE_TURN_URLS"
