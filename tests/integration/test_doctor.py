"""`eyeline doctor`, as an operator runs it, over real engines and a real coturn."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import CliRunner, Result

from infra.embedded.child import free_port
from server import cli
from server.lan import make_certificate
from tests.support.engines import Engines
from tests.support.turn import turn_server

ALWAYS = {"EYELINE_TOKEN_SECRET": "s" * 32}


async def examined(*arguments: str, **env: str) -> Result:
    """In a thread of its own, for commands bring their own event loop."""
    runner = CliRunner(env={**ALWAYS, **env})
    return await asyncio.to_thread(runner.invoke, cli.main, ["doctor", *arguments])


def lines_of(result: Result) -> dict[str, str]:
    """What was said, by what it is of: `ok` or `failed`, and the words."""
    lines = [line.partition(": ") for line in result.stdout.splitlines()]
    named = [(name.strip(), verdict, words) for verdict, _, rest in lines for name, _, words in [rest.partition(": ")]]
    return {name: f"{verdict}: {words}" for name, verdict, words in named}


async def test_all_is_well(database_url: str, valkey_url: str, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "127.0.0.1")
    engines = {"EYELINE_DATABASE_URL": database_url, "EYELINE_VALKEY_URL": valkey_url}
    async with turn_server(tmp_path, certificate=certificate) as turn:
        settings = {**engines, **turn.settings_over("udp", "tcp", "tls")}
        result = await examined("--trust", str(certificate.certificate), **settings)
        assert lines_of(result) == {
            "Postgres": "ok: answers, with the schema of this version",
            "Valkey": "ok: answers, and takes our functions",
            "TURN": "ok: over udp, tcp and tls",
            f"turn:127.0.0.1:{turn.port}?transport=udp": "ok: relays from 127.0.0.1",
            f"turn:127.0.0.1:{turn.port}?transport=tcp": "ok: relays from 127.0.0.1",
            f"turns:127.0.0.1:{turn.tls_port}?transport=tcp": "ok: relays from 127.0.0.1",
        }
        assert result.exit_code == 0


async def test_each_trouble_is_a_line_that_says_what_to_do(engines: Engines, valkey_url: str, tmp_path: Path) -> None:
    """A database without our schema, TURN with another secret, a certificate nobody vouches for, a dead port."""
    dead = free_port()
    empty = engines.postgres.url()
    certificate = make_certificate(tmp_path, "127.0.0.1")
    async with turn_server(tmp_path, certificate=certificate) as turn:
        udp, tls = turn.settings_over("udp", "tls")["EYELINE_TURN_URLS"].split(",")
        urls = [udp, tls, f"turn:127.0.0.1:{dead}?transport=tcp", f"turn:127.0.0.1:{dead}?transport=udp"]
        settings = turn.settings | {"EYELINE_TURN_URLS": ",".join(urls), "EYELINE_TURN_SECRET": "another"}
        where = {"EYELINE_DATABASE_URL": empty, "EYELINE_VALKEY_URL": valkey_url}
        result = await examined("--deadline", "2", **where, **settings)
    assert result.exit_code == 1
    assert result.stderr == "eyeline: not everything is well\n"
    lines = lines_of(result)
    assert lines["Postgres"].startswith("failed: the schema is not the one this version expects; run `eyeline migrate`")
    assert lines["Valkey"].startswith("ok: ")
    assert lines[udp].startswith("failed: refuses our credentials; is EYELINE_TURN_SECRET")
    assert lines[tls].startswith("failed: its certificate is not trusted (self-signed certificate)")
    assert lines[urls[2]].startswith("failed: nothing listens there")
    assert lines[urls[3]].startswith("failed: no answer within 2 s; is it running")


async def test_an_address_that_no_call_would_use_is_told(valkey_url: str, tmp_path: Path) -> None:
    async with turn_server(tmp_path) as turn:
        settings = turn.settings | {"EYELINE_TURN_RELAY_NETS": "203.0.113.0/24"}
        where = {"EYELINE_DATABASE_URL": f"postgresql://ada:pa55word@127.0.0.1:{free_port()}/x"}
        result = await examined(**where, EYELINE_VALKEY_URL=valkey_url, **settings)
    assert result.exit_code == 1
    lines = lines_of(result)
    assert "not in EYELINE_TURN_RELAY_NETS" in lines[settings["EYELINE_TURN_URLS"]]
    assert lines["TURN"].startswith("ok: some networks let nothing else through")
    assert lines["Postgres"].startswith("failed: ConnectionRefusedError")
    assert "pa55word" not in result.output


async def test_wrong_settings_are_one_line() -> None:
    result = await examined(EYELINE_DATABASE_URL="", EYELINE_VALKEY_URL="redis://127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stderr.startswith("eyeline: bad settings: EYELINE_DATABASE_URL")
