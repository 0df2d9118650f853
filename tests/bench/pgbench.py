"""The transactions of one request's life, run by pgbench: what Postgres alone could do on this machine.

The statements are the product's own named SQL, with expressions in place of parameters, cut into transactions where the
product cuts them. What the product decides in Python between them, and all of HTTP and sockets, is left out.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from infra.embedded.postgres import tool
from infra.postgres.queries import queries

REQUESTS, CALLS = queries("requests"), queries("calls")
REQUESTER, WINNER, REQUEST, CALL = "person(:client_id, 0)", "person(:client_id, 1)", ":id::uuid", ":call::uuid"
NOW, NEVER = "eyeline_now()", "NULL::timestamptz"
SOON = "eyeline_now() + interval '30 seconds'"
AS_NODES_DO = "-c plan_cache_mode=force_generic_plan -c jit=off"
_COMMENT = re.compile(r"--.*")
_PARAMETER = re.compile(r"\$(\d+)")

# Each pgbench client has a requester (0) and its volunteers (1 .. n); a person's session has the person's id.
PEOPLE = """
CREATE FUNCTION person(c integer, v integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN (lpad(to_hex(c), 8, '0') || '000070008000' || lpad(to_hex(v), 12, '0'))::uuid;
CREATE TABLE crew AS SELECT c, v FROM generate_series(0, {clients} - 1) c, generate_series(0, {offers}) v;
INSERT INTO users (id, role, languages, index_languages)
SELECT person(c, v), CASE v WHEN 0 THEN 'requester' ELSE 'volunteer' END, '{{en}}', '{{en}}' FROM crew;
INSERT INTO sessions (id, user_id, device_id, platform, ready)
SELECT person(c, v), person(c, v), 'bench', 'web', v > 0 FROM crew;
"""


async def lifecycles_per_s(database_url: str, *, clients: int, offers: int, seconds: int, folder: Path) -> float:
    """Whole lives a second, `offers` rows each, with so many clients at once."""
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=60)
    try:
        await connection.execute(PEOPLE.format(clients=clients, offers=offers))
    finally:
        await connection.close()
    script = folder / "lifecycle.sql"
    script.write_text(Lifecycle(offers).text())
    return await _run(database_url, ["-c", str(clients), "-j", "2", "-T", str(seconds), "-f", str(script)], seconds)


async def _run(database_url: str, options: list[str], seconds: int) -> float:
    address = urlsplit(database_url)
    where = ["-h", address.hostname or "127.0.0.1", "-p", str(address.port), "-U", address.username or "postgres"]
    process = await asyncio.create_subprocess_exec(
        str(tool("pgbench")), "-n", "-M", "prepared", *options, *where, address.path.lstrip("/"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PGPASSWORD": address.password or "", "PGOPTIONS": AS_NODES_DO},
    )  # fmt: skip
    async with asyncio.timeout(seconds + 60):
        printed = (await process.communicate())[0].decode()
    found = re.search(r"tps = ([0-9.]+)", printed)
    if process.returncode or found is None or "aborted" in printed:
        raise RuntimeError(f"pgbench failed:\n{printed[-2000:]}")
    return float(found.group(1))


def filled(statement: str, *values: str) -> str:
    """A named statement on one line, with expressions in place of $1, $2, ..."""
    bare = _COMMENT.sub("", statement)
    wanted = {int(number) for number in _PARAMETER.findall(bare)}
    if wanted != set(range(1, len(values) + 1)):
        raise ValueError(f"{len(values)} values for the parameters {sorted(wanted)} of: {bare.strip()}")
    text = _PARAMETER.sub(lambda match: f"({values[int(match.group(1)) - 1]})", bare)
    return " ".join(text.split())


class Lifecycle:
    """A pgbench script: open, look, wave, tell, accept, tell, media of both sides, end, tell."""

    def __init__(self, offers: int) -> None:
        self._offers = offers
        self._volunteers = self._each("person(:client_id, v)")
        self._case = [
            filled(REQUESTS["lock"], REQUEST),
            filled(REQUESTS["offers_and_facts"], REQUEST, "1", REQUESTER),
        ]
        self._news = [
            filled(REQUESTS["untold_request"], REQUEST),
            filled(CALLS["untold"], REQUEST),
            filled(REQUESTS["untold_offers"], REQUEST),
        ]

    def text(self) -> str:
        """The script, one statement a line."""
        steps = [self._open, self._look, self._wave, self._accept, self._media, self._end]
        return "\n".join(line for step in steps for line in step()) + "\n"

    def _each(self, what: str) -> str:
        return f"ARRAY(SELECT {what} FROM generate_series(1, {self._offers}) v)"

    def _open(self) -> list[str]:
        body_hash = r"sha256('bench'::bytea)"
        insert = filled(
            REQUESTS["insert"], REQUESTER, REQUESTER, "'{en}'::text[]", "'{en}'::text[]", "NULL", "'video'", "NULL",
            body_hash, "interval '180 seconds'", "NULL::uuid", "NULL::uuid", "NULL", "NULL::uuid", "NULL",
        )  # fmt: skip
        return ["BEGIN;", f"{insert} \\gset", *ended(filled(REQUESTS["no_more_callbacks"], REQUESTER)), "COMMIT;"]

    def _look(self) -> list[str]:
        after = [filled(REQUESTS["exclusions"], REQUEST), filled(REQUESTS["let_expire"], REQUEST)]
        return [*transaction(*self._case), *ended(*self._news, *after)]

    def _wave(self) -> list[str]:
        hours = filled(REQUESTS["hours"], self._volunteers)
        wave = filled(
            REQUESTS["wave"], REQUEST, self._volunteers, REQUESTER, "1", "1", "'en'", NOW, SOON, "interval '1 day'",
            "'{}'::uuid[]", "interval '1.5 seconds'", "true", self._each("12"),
        )  # fmt: skip
        count = filled(REQUESTS["count_wave"], REQUEST, str(self._offers), "false")
        return [*transaction(self._case[0], REQUESTS["clock"], hours, wave, count), *self._told(2, over=False)]

    def _accept(self) -> list[str]:
        end_offers = filled(
            REQUESTS["end_offers"],
            REQUEST,
            self._volunteers,
            self._each("CASE v WHEN 1 THEN 'won' ELSE 'lost' END"),
            self._each("CASE v WHEN 1 THEN 'answered_by_you' ELSE 'answered' END"),
            self._each("CASE v WHEN 1 THEN person(:client_id, v) END"),
            NOW,
        )
        losers = f"ARRAY(SELECT person(:client_id, v) FROM generate_series(2, {self._offers}) v)"
        insert_call = filled(
            REQUESTS["insert_call"],
            *(REQUEST, "1", "'video'", "'en'", REQUESTER, REQUESTER, WINNER, WINNER, NOW, SOON, "NULL"),
        )
        before = ended(
            *self._case,
            filled(REQUESTS["lock_busy"], REQUEST, f"{self._volunteers} || {REQUESTER}"),
            end_offers,
            filled(REQUESTS["free_offered"], REQUEST, losers),
            filled(REQUESTS["not_ignored"], WINNER),
            filled(REQUESTS["take_for_call"], REQUEST, f"ARRAY[{REQUESTER}, {WINNER}]"),
        )
        make_call = f"{insert_call.removesuffix('id')}id AS call \\gset"
        write = ended(_write_request("'connecting'", "NULL", 3, NEVER))
        return ["BEGIN;", *before, make_call, *write, "COMMIT;", *self._told(3, over=True)]

    def _media(self) -> list[str]:
        first = transaction(*self._call(), _write_call("'connecting'", 2, NEVER, NEVER, "NULL"))
        both = transaction(
            *self._call(),
            _write_call("'connected'", 3, NOW, NEVER, "NULL"),
            _write_request("'in_call'", "NULL", 4, NEVER),
        )
        return [*first, *both, *self._told(4, over=True)]

    def _end(self) -> list[str]:
        pair = f"ARRAY[{REQUESTER}, {WINNER}]"
        end = transaction(
            *self._call(),
            _write_call("'ended'", 4, NOW, NOW, "'done'"),
            filled(REQUESTS["lock_busy"], REQUEST, pair),
            filled(CALLS["free_both"], REQUEST, pair),
            filled(CALLS["leave_alone"], WINNER, NOW, NOW),
            filled(CALLS["reports_of"], CALL),
            filled(CALLS["seal"], CALL, "'{}'", "'{}'"),
            _write_request("'ended'", "'completed'", 5, NOW),
        )
        return [*end, *self._told(5, over=True)]

    def _call(self) -> list[str]:
        return [filled(CALLS["lock_request"], CALL), filled(CALLS["get"], CALL)]

    def _told(self, version: int, *, over: bool) -> list[str]:
        """What is read in order to tell, and the marks afterwards."""
        offers = [self._each(what) for what in (REQUEST, "person(:client_id, v)", "1", "1", str(over).lower())]
        marks = transaction(
            filled(REQUESTS["lock_free"], f"ARRAY[{REQUEST}]"),
            filled(REQUESTS["mark_requests"], f"ARRAY[{REQUEST}]", f"ARRAY[{version}::bigint]"),
            filled(REQUESTS["mark_offers"], *offers),
            filled(REQUESTS["rest_when_told"], f"ARRAY[{REQUEST}]"),
        )
        return [*ended(*self._news), *marks]


def ended(*statements: str) -> list[str]:
    return [f"{statement};" for statement in statements]


def transaction(*statements: str) -> list[str]:
    return ["BEGIN;", *ended(*statements), "COMMIT;"]


def _write_request(state: str, outcome: str, version: int, ended_at: str) -> str:
    return filled(
        REQUESTS["write"], REQUEST, state, outcome, "1", "0", NOW, SOON, CALL, str(version), "false", SOON, ended_at
    )


def _write_call(state: str, version: int, connected_at: str, ended_at: str, reason: str) -> str:
    return filled(
        CALLS["write"], CALL, "1", state, REQUESTER, "'{}'", NEVER, WINNER, "'{}'", NEVER, SOON, connected_at, NEVER,
        ended_at, reason, "NULL", str(version), "NULL", "NULL",
    )  # fmt: skip
