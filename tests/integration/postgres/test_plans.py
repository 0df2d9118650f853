"""Hot statements find their rows by index, on a database that has been in use for a while."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from infra.postgres.queries import queries
from tests.integration.postgres.world import FRESH, World

PEOPLE = """
INSERT INTO users (role, languages, index_languages, last_asked_at)
SELECT CASE WHEN n % 2 = 0 THEN 'requester' ELSE 'volunteer' END, lang, lang, eyeline_now() - make_interval(secs => n)
FROM generate_series(1, 20000) AS n, LATERAL (SELECT ARRAY[(ARRAY['en', 'da', 'sv', 'de'])[1 + n / 2 % 4]] AS lang) AS l
"""
SESSIONS = """
INSERT INTO sessions (user_id, device_id, platform, ready, seen_at)
SELECT id, 'phone', 'web', role = 'volunteer' AND random() < 0.02,
       eyeline_now() - CASE WHEN random() < 0.05 THEN interval '0' ELSE interval '1 day' END FROM users
"""
REQUESTS = """
INSERT INTO requests (requester_id, session_id, idempotency_key, body_hash, state, outcome, languages, index_languages,
                      mode, created_at, waiting_since, deadline, next_look_at, ended_at, version, told_version)
SELECT u.id, s.id, gen_random_uuid(), $1, CASE WHEN open THEN 'waiting' ELSE 'ended' END,
       CASE WHEN NOT open THEN 'completed' END, u.languages, u.languages, 'video', now.at, now.at,
       now.at + interval '180 s', CASE WHEN open THEN now.at + random() * interval '1 s' END,
       CASE WHEN NOT open THEN now.at END, 3, 3
FROM (SELECT eyeline_now() AS at) AS now, generate_series(1, 2) AS copy, users u JOIN sessions s ON s.user_id = u.id,
     LATERAL (SELECT copy = 1 AND (hashtext(u.id::text) & 15) = 0 AS open) AS o WHERE u.role = 'requester'
"""
OFFERS = """
INSERT INTO offers (request_id, person_id, epoch, wave, language, offered_at, expires_at, outcome, reason, ended_at,
                    told_at, end_told_at)
SELECT r.id, v.id, 1, 1, 'en', r.created_at, r.created_at + interval '30 s',
       CASE WHEN r.state = 'ended' THEN 'expired' END, CASE WHEN r.state = 'ended' THEN 'expired' END, r.ended_at,
       r.created_at, r.ended_at
FROM (SELECT *, row_number() OVER () AS n FROM requests) AS r CROSS JOIN LATERAL generate_series(1, 2 + r.n % 2) AS k
     JOIN (SELECT id, row_number() OVER () AS n FROM users WHERE role = 'volunteer') AS v
       ON v.n = 1 + (r.n * 7 + k * 131) % 10000
"""
CALLS = """
INSERT INTO calls (request_id, epoch, state, mode, language, requester_id, requester_session, volunteer_id,
                   volunteer_session, created_at, connect_by, ended_at, end_reason, told_version)
SELECT r.id, 1, 'ended', 'video', 'en', r.requester_id, r.session_id, o.person_id, s.id, r.created_at, r.created_at,
       r.ended_at, 'done', 1
FROM requests r JOIN LATERAL (SELECT person_id FROM offers o WHERE o.request_id = r.id LIMIT 1) AS o ON true
     JOIN sessions s ON s.user_id = o.person_id WHERE r.state = 'ended'
"""
BUSY = """
INSERT INTO busy SELECT DISTINCT ON (person_id) person_id, expires_at, request_id, 'offer' FROM offers
"""
REACHED = """
WITH phones AS (INSERT INTO devices (user_id, device_id, platform) SELECT id, 'phone', 'android' FROM users
                WHERE role = 'volunteer' RETURNING user_id, device_id)
INSERT INTO push_values (kind, value, user_id, device_id) SELECT 'fcm', user_id::text, user_id, device_id FROM phones
"""
HOURS = """
INSERT INTO availability (user_id, weekly)
SELECT id, '[{"days": [1, 2, 3, 4, 5, 6, 7], "from": "00:00", "to": "24:00"}]' FROM users WHERE role = 'volunteer'
"""
PLANNED_FOR_VALUES = {("requests", "draw_closed")}
"""All others have one plan, whatever the values are."""
MOST_ROWS = 4_000
BIG = ("requests", "offers", "calls", "sessions", "users", "busy", "availability", "devices", "push")


@pytest.fixture
async def big(world: World) -> World:
    """20,000 people (half of them volunteers with hours and a phone), 20,000 requests (of which some 600 wait), 50,000
    offers, as many calls as ended requests."""
    for table in ("requests", "offers", "calls", "push_values", "availability"):
        await world.sql.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await world.sql.execute(PEOPLE)
    await world.sql.execute(SESSIONS)
    await world.sql.execute(REQUESTS, bytes(32))
    for statement in (OFFERS, CALLS, BUSY, REACHED, HOURS):
        await world.sql.execute(statement)
    await world.sql.execute("ANALYZE")
    assert await world.sql.fetchval("SELECT count(*) FROM requests") == 20_000
    assert await world.sql.fetchval("SELECT count(*) FROM offers") >= 45_000
    return world


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def touched(plan: Mapping[str, Any]) -> float:
    """Rows the plan took from tables and indexes, also those it had no use for."""
    rows: float = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(plan)
        if "Scan" in node["Node Type"] and "Relation Name" in node
    )
    return rows


def read_whole(plan: Mapping[str, Any]) -> set[str]:
    """Big tables the plan reads from end to end; empty partitions cost nothing."""
    return {
        node["Relation Name"].partition("_")[0]
        for node in nodes(plan)
        if node["Node Type"] == "Seq Scan" and node["Plan Rows"] > 5 and node["Relation Name"].startswith(BIG)
    }


async def sample(world: World) -> dict[str, Any]:
    """Arguments as they come in life."""
    waiting = await world.sql.fetchrow("SELECT * FROM requests WHERE state = 'waiting' LIMIT 1")
    people = [row["id"] for row in await world.sql.fetch("SELECT id FROM users WHERE role = 'volunteer' LIMIT 16")]
    requests = [row["id"] for row in await world.sql.fetch("SELECT id FROM requests WHERE state = 'waiting' LIMIT 64")]
    offer = await world.sql.fetchrow("SELECT * FROM offers WHERE request_id = $1 LIMIT 1", waiting["id"])
    call = await world.sql.fetchval("SELECT id FROM calls LIMIT 1")
    return {"waiting": waiting, "people": people, "requests": requests, "offer": offer, "call": call}


def statements(s: dict[str, Any]) -> dict[tuple[str, str], tuple[Any, ...]]:
    request, people, offer = s["waiting"], s["people"], s["offer"]
    its_id, requester, now = request["id"], request["requester_id"], request["created_at"]
    ten = timedelta(seconds=10)
    many = s["requests"]
    return {
        ("requests", "free_old_key"): (requester, "key"),
        ("requests", "by_key"): (requester, "key"),
        ("requests", "by_fresh_key"): (requester, "key"),
        ("requests", "get"): (its_id,),
        ("requests", "current"): (requester,),
        ("requests", "lock"): (its_id,),
        ("requests", "offers_and_facts"): (its_id, 1, requester),
        ("requests", "end_offers"): (
            its_id,
            people[:1],
            ["lost"],
            ["answered"],
            [None],
            now,
        ),
        ("requests", "lock_busy"): (its_id, people),
        ("requests", "free_offered"): (its_id, people),
        ("requests", "lock_people"): (people,),
        ("requests", "leave_alone"): (people, [now] * 16, [1] * 16),
        ("requests", "not_ignored"): (people[0],),
        ("requests", "rung_this_week"): (people, [now] * 16, [1] * 16, [None] * 16),
        ("requests", "wave"): (its_id, people, requester, 1, 2, "en", now, now, FRESH, people, ten, True, [12] * 16),
        ("requests", "hours"): (people,),
        ("requests", "draw_closed"): ("en", people[:3], 400, FRESH),
        ("requests", "draw_private"): (its_id, None, ["en"], people[:3], FRESH),
        ("requests", "spoken"): (people[0],),
        ("requests", "older_at_desk"): (now, its_id, its_id, ten, 20),
        ("requests", "draw_standby"): (its_id,),
        ("requests", "stand_by"): (its_id, people[0], 1, ten),
        ("requests", "keep_hot"): (its_id, people[0], 1, ten),
        ("requests", "no_more_callbacks"): (requester,),
        ("requests", "set_callback"): (its_id, ten),
        ("requests", "drop_callback"): (its_id,),
        ("requests", "any_callbacks"): (),
        ("requests", "languages_to_call_back"): (),
        ("requests", "free_for_callback"): (people[0], FRESH),
        ("requests", "reserve_for_callback"): (people[0], ten),
        ("requests", "fire_callback"): (its_id, ten),
        ("requests", "mark_free"): (many,),
        ("chances", "next_done"): (now, now, 500),
        ("chances", "offers_between"): (now - ten, now - ten),
        ("wakes", "lock"): (its_id,),
        ("wakes", "claim_rings"): (its_id, ten),
        ("wakes", "replaced_by_a_later_ring"): (its_id,),
        ("wakes", "claim_quiets"): (its_id, ten),
        ("wakes", "claim_callback"): (its_id, ten),
        ("wakes", "report_callback"): (its_id, 1, None, None),
        ("wakes", "targets_of_people"): (people,),
        ("wakes", "targets_rung"): (people, people, people),
        ("wakes", "may_have_rung"): (its_id, people, [1] * 16, [1] * 16, people),
        ("wakes", "forget_value"): (its_id, now),
        ("requests", "count_wave"): (its_id, 3, True),
        ("requests", "due"): (64,),
        ("requests", "exclusions"): (its_id,),
        ("requests", "let_expire"): (its_id,),
        ("requests", "older_hungry"): (now, its_id, "en", ten, 20),
        ("requests", "oldest_waiting_for"): (people[0], ten),
        ("requests", "draw_ready"): ("en", people[:3], 10, FRESH),
        ("requests", "offer_for"): (its_id, people[0], 1),
        ("requests", "open_offers"): (people[0],),
        ("requests", "note_delivered"): (people[0], [its_id], [1]),
        ("requests", "note_progress"): (its_id, "asking", 3, now),
        ("requests", "untold_offers"): (its_id,),
        ("requests", "untold_request"): (its_id,),
        ("requests", "lock_free"): (many,),
        ("requests", "mark_offers"): ([its_id], [offer["person_id"]], [1], [1], [True]),
        ("requests", "mark_asked"): (people,),
        ("requests", "mark_calls"): ([s["call"]], [1]),
        ("requests", "mark_requests"): (many, [1] * len(many)),
        ("requests", "rest_when_told"): (many,),
        ("requests", "look_now"): (),
        ("calls", "lock_request"): (s["call"],),
        ("calls", "get"): (s["call"],),
        ("calls", "of_epoch"): (its_id, 1),
        ("calls", "live_of_person"): (people[0],),
        ("calls", "untold"): (its_id,),
        ("calls", "free_both"): (its_id, people[:2]),
        ("calls", "next_look"): (its_id, now),
        ("listings", "of"): (people, FRESH, timedelta(minutes=1), ["en"], []),
        ("listings", "page"): (people[0], 100),
        ("listings", "wanted"): (1000,),
        ("listings", "set_ready"): (request["session_id"], True, 0),
        ("listings", "seen"): ([request["session_id"]],),
        ("listings", "attach"): (request["session_id"], 1),
        ("listings", "forget_silent"): (FRESH,),
    }


def literal(value: Any) -> str:
    """A value as SQL; of arrays all elements."""
    match value:
        case None:
            return "NULL"
        case timedelta():
            return f"'{value.total_seconds()} seconds'"
        case list():
            return f"ARRAY[{', '.join(map(literal, value))}]" if value else "'{}'"
        case _:
            return f"'{value}'"


async def explained(
    world: World, file: str, name: str, arguments: Sequence[Any], *, analyze: bool
) -> Mapping[str, Any]:
    """The plan of a named statement as nodes use it; `analyze`: and what it did with these values."""
    mode = "custom" if (file, name) in PLANNED_FOR_VALUES else "generic"
    async with world.sql.transaction():
        await world.sql.execute(f"SET LOCAL plan_cache_mode = force_{mode}_plan")
        await world.sql.execute(f"PREPARE once AS {queries(file)[name]}")
        wanted = await world.sql.fetchval(
            "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'once'"
        )
        values = ", ".join(f"{literal(value)}::{kind}" for value, kind in zip(arguments, wanted, strict=True))
        execute = f"EXECUTE once({values})" if arguments else "EXECUTE once"
        await world.sql.execute("SAVEPOINT before")
        text = await world.sql.fetchval(f"EXPLAIN (FORMAT JSON, ANALYZE {analyze}) {execute}")
        await world.sql.execute("ROLLBACK TO before")
        await world.sql.execute("DEALLOCATE once")
    plan: Mapping[str, Any] = json.loads(text)[0]["Plan"]
    return plan


async def test_no_hot_statement_reads_a_whole_table(big: World) -> None:
    found: dict[str, set[str]] = {}
    for (file, name), arguments in statements(await sample(big)).items():
        if whole := read_whole(await explained(big, file, name, arguments, analyze=False)):
            found[f"{file}.{name}"] = whole
    assert found == {}


async def test_no_hot_statement_touches_more_than_what_is_going_on(big: World) -> None:
    """Some 600 requests wait and 200 people are ready: whoever never ends or never comes costs nothing."""
    await big.sql.execute("UPDATE sessions SET seen_at = eyeline_now() WHERE ready")
    found: dict[str, float] = {}
    for (file, name), arguments in statements(await sample(big)).items():
        if (rows := touched(await explained(big, file, name, arguments, analyze=True))) > MOST_ROWS:
            found[f"{file}.{name}"] = rows
    assert found == {}
