"""The web clients' library in a real Chromium, against a server whose every word is scripted by the test."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page

from tests.support.scripted_server import Answer, ScriptedServer, moment

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SIGNED_IN = """async () => {
  const { Session } = await import("/static/lib/session.js");
  const { EyelineSocket } = await import("/static/lib/socket.js");
  window.session = new Session("requester");
  await window.session.signIn("anna");
  window.socket = new EyelineSocket({ session: window.session });
  window.heard = [];
  window.states = [];
  for (const type of ["welcome", "request", "offer", "offer_withdrawn", "chat", "call", "error"]) {
    window.socket.on(type, (data, frame) => window.heard.push([type, data.n ?? null, frame?.replayed ?? null]));
  }
  window.socket.on("state", (state, reason) => window.states.push([state, reason]));
  window.socket.start();
}"""
STATE_IS = "(wanted) => window.socket.state === wanted"


@pytest_asyncio.fixture(loop_scope="session")
async def signed_in(page: Page, scripted: ScriptedServer) -> Page:
    """A page with `window.socket` started; the test greets it."""
    await page.goto(f"{scripted.url}/blank")
    await page.evaluate(SIGNED_IN)
    return page


async def until(page: Page, condition: str, argument: Any = None) -> None:
    await page.wait_for_function(condition, arg=argument, polling=20)


async def reconnect_at_once(page: Page) -> None:
    """What a browser does when the network returns: no need to sit through the jitter."""
    await until(page, STATE_IS, "waiting")
    await page.evaluate("() => dispatchEvent(new Event('online'))")


class TestSocket:
    async def test_says_hello_first_and_carries_no_token_in_the_address(
        self, signed_in: Page, scripted: ScriptedServer
    ) -> None:
        socket = await scripted.socket()
        hello = await socket.next()
        assert hello["type"] == "hello"
        assert hello["data"]["token"] == "access-1"
        assert hello["data"]["device_id"]
        assert "resume" not in hello["data"]
        assert socket.ws._req is not None
        assert "access" not in str(socket.ws._req.rel_url)
        assert socket.ws.ws_protocol == "eyeline.v1"

    async def test_numbers_are_heard_once_and_acknowledged_together(
        self, signed_in: Page, scripted: ScriptedServer
    ) -> None:
        socket = await scripted.welcomed(seq=5)
        for n in (6, 7, 7, 6, 8):
            await socket.raw({"type": "chat", "seq": n, "data": {"n": n}})
        assert (await socket.next())["type"] == "ack"
        assert await signed_in.evaluate("window.heard.slice(1).map((h) => h[1])") == [6, 7, 8]
        assert socket.waiting() == []

    async def test_the_acknowledgement_rides_on_another_frame(self, signed_in: Page, scripted: ScriptedServer) -> None:
        socket = await scripted.welcomed()
        await signed_in.evaluate("void window.socket.on('chat', () => window.socket.send('ready', { ready: true }))")
        await socket.say("chat", {"n": 1})
        frame = await socket.next()
        assert (frame["type"], frame["ack"]) == ("ready", 1)

    async def test_an_offer_is_acknowledged_at_once(self, signed_in: Page, scripted: ScriptedServer) -> None:
        socket = await scripted.welcomed()
        await socket.say("offer", {"n": 1})
        async with asyncio.timeout(0.5):
            assert (await socket.next("ack"))["ack"] == 1

    async def test_after_a_cut_it_resumes_and_resends_in_order(self, signed_in: Page, scripted: ScriptedServer) -> None:
        socket = await scripted.welcomed(seq=3)
        await socket.say("chat", {"n": 4})
        await signed_in.evaluate(
            "for (const n of [1, 2, 3]) void window.socket.send('chat', { n }, { call: 'c', attempt: 1 })"
        )
        sent = [await socket.next("chat") for _ in range(3)]
        await socket.ack(sent[0])
        await until(signed_in, "() => window.heard.length === 2")
        await socket.cut()
        await reconnect_at_once(signed_in)
        again = await scripted.socket()
        hello = await again.next()
        assert hello["data"]["resume"] == {"incarnation": "one", "seq": 4}
        await signed_in.evaluate("void window.socket.send('end', { reason: 'done' })")
        assert again.waiting() == []
        await again.welcome(resumed=True, seq=4)
        resent = [await again.next() for _ in range(3)]
        assert [(frame["type"], frame["id"]) for frame in resent[:2]] == [("chat", f["id"]) for f in sent[1:]]
        assert resent[2]["type"] == "end"

    async def test_replayed_states_are_silent_and_replayed_words_are_heard(
        self, signed_in: Page, scripted: ScriptedServer
    ) -> None:
        socket = await scripted.welcomed(seq=10)
        await socket.cut()
        await reconnect_at_once(signed_in)
        again = await scripted.socket()
        await again.next("hello")
        await again.welcome(resumed=True, seq=13)
        for n, type in ((11, "request"), (12, "chat"), (13, "offer_withdrawn"), (14, "request")):
            await again.raw({"type": type, "seq": n, "data": {"n": n}})
        await until(signed_in, "() => window.heard.length === 5")
        heard = await signed_in.evaluate("window.heard.slice(2)")
        assert heard == [["chat", 12, True], ["offer_withdrawn", 13, True], ["request", 14, False]]

    async def test_a_second_welcome_begins_a_new_incarnation(self, signed_in: Page, scripted: ScriptedServer) -> None:
        socket = await scripted.welcomed(seq=40)
        await socket.say("chat", {"n": 41})
        await socket.welcome(incarnation="two", seq=0)
        await socket.raw({"type": "chat", "seq": 1, "data": {"n": 1}})
        await until(signed_in, "() => window.heard.length === 4")
        assert await signed_in.evaluate("window.heard.map((h) => h[0])") == ["welcome", "chat", "welcome", "chat"]
        await socket.cut()
        await reconnect_at_once(signed_in)
        hello = await (await scripted.socket()).next()
        assert hello["data"]["resume"] == {"incarnation": "two", "seq": 1}

    async def test_a_hole_in_the_numbers_is_repaired_by_a_resume(
        self, signed_in: Page, scripted: ScriptedServer
    ) -> None:
        socket = await scripted.welcomed()
        await socket.raw({"type": "chat", "seq": 3, "data": {"n": 3}})
        await reconnect_at_once(signed_in)
        hello = await (await scripted.socket()).next()
        assert hello["data"]["resume"] == {"incarnation": "one", "seq": 0}
        assert await signed_in.evaluate("window.heard.length") == 1

    async def test_a_refusal_rejects_and_the_newest_ready_wins(self, signed_in: Page, scripted: ScriptedServer) -> None:
        socket = await scripted.welcomed()
        await until(signed_in, STATE_IS, "online")
        await signed_in.evaluate(
            """() => { window.results = [];
            const note = (sent, name) => sent.then(
              () => window.results.push(name), (error) => window.results.push(name + error.code));
            note(window.socket.send("ready", { ready: true }, { replaces: "ready" }), "old ");
            note(window.socket.send("ready", { ready: false }, { replaces: "ready" }), "new ");
            note(window.socket.send("chat", {}), "chat "); }"""
        )
        await socket.next("ready")
        await socket.ack(await socket.next("ready"))
        chat = await socket.next("chat")
        refusal = {"id": chat["id"], "code": "not_in_call", "message": "", "retryable": False}
        await socket.raw({"type": "error", "data": refusal})
        await until(signed_in, "() => window.results.length === 3")
        assert await signed_in.evaluate("window.results") == ["old superseded", "new ", "chat not_in_call"]

    async def test_what_is_refused_for_the_moment_goes_again_and_nothing_of_its_kind_overtakes_it(
        self, signed_in: Page, scripted: ScriptedServer
    ) -> None:
        socket = await scripted.welcomed()
        await until(signed_in, STATE_IS, "online")
        await signed_in.evaluate("() => { window.sent = window.socket.send('chat', { n: 1 }).then(() => 'done'); }")
        first = await socket.next("chat")
        refusal = {"id": first["id"], "code": "unavailable", "message": "", "retryable": True}
        await socket.raw({"type": "error", "data": refusal})
        assert (await socket.next("chat"))["id"] == first["id"]
        await signed_in.evaluate(
            "() => { window.socket.send('chat', { n: 2 }); window.socket.send('end', { reason: 'done' }); }"
        )
        assert (await socket.next())["type"] == "end"
        await socket.ack(first)
        assert await signed_in.evaluate("window.sent") == "done"
        assert (await socket.next("chat"))["data"] == {"n": 2}

    async def test_too_large_a_frame_is_never_sent(self, signed_in: Page, scripted: ScriptedServer) -> None:
        socket = await scripted.welcomed()
        code = await signed_in.evaluate(
            "window.socket.send('chat', { text: 'x'.repeat(70000) }).catch((error) => error.code)"
        )
        assert code == "too_large"
        assert socket.waiting() == []

    async def test_a_silent_server_is_found_dead(self, signed_in: Page, scripted: ScriptedServer) -> None:
        socket = await scripted.socket()
        await socket.next("hello")
        await socket.welcome(heartbeat_s=0.3)
        socket.ws._writer = None  # from now on nothing is answered
        hello = await (await scripted.socket()).next("hello")
        assert hello["data"]["resume"]["incarnation"] == "one"

    async def test_a_fresh_token_is_told_before_the_old_one_ends(
        self, signed_in: Page, scripted: ScriptedServer
    ) -> None:
        socket = await scripted.socket()
        await socket.next("hello")
        await socket.welcome(token_expires_at=moment(2.5))
        frame = await socket.next("token")
        assert frame["data"]["token"] == "access-2"
        assert scripted.asked("POST", "/v1/sessions/refresh")[0].body["refresh_token"] == "refresh-1"

    async def test_drain_waits_as_long_as_it_was_told(self, signed_in: Page, scripted: ScriptedServer) -> None:
        socket = await scripted.welcomed()
        await socket.raw({"type": "drain", "data": {"resume_in_ms": 900}})
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await socket.close(1012)
        await scripted.socket()
        assert loop.time() - begun >= 0.85


class TestCloseCodes:
    async def test_4401_refreshes_once_and_resumes(self, signed_in: Page, scripted: ScriptedServer) -> None:
        socket = await scripted.welcomed()
        await socket.close(4401)
        again = await scripted.socket()
        hello = await again.next()
        assert hello["data"]["token"] == "access-2"
        assert hello["data"]["resume"]["incarnation"] == "one"
        await again.close(4401)
        await until(signed_in, STATE_IS, "stopped")
        assert await signed_in.evaluate("window.socket.reason") == "signed_out"
        assert len(scripted.asked("POST", "/v1/sessions/refresh")) == 1

    async def test_4401_for_a_token_that_grew_old_without_a_network_refreshes_again(
        self, signed_in: Page, scripted: ScriptedServer
    ) -> None:
        await (await scripted.welcomed()).close(4401)
        again = await scripted.socket()
        await again.next("hello")
        await signed_in.evaluate("() => { const now = Date.now; Date.now = () => now() + 16 * 60_000; }")
        await again.close(4401)
        assert (await (await scripted.socket()).next("hello"))["data"]["token"] == "access-3"

    @pytest.mark.parametrize(("code", "reason"), [(4403, "suspended"), (4409, "taken_over")])
    async def test_some_stop(self, signed_in: Page, scripted: ScriptedServer, code: int, reason: str) -> None:
        socket = await scripted.welcomed()
        await socket.close(code)
        await until(signed_in, STATE_IS, "stopped")
        assert await signed_in.evaluate("window.socket.reason") == reason

    async def test_use_here_begins_from_a_snapshot(self, signed_in: Page, scripted: ScriptedServer) -> None:
        socket = await scripted.welcomed()
        await socket.close(4409)
        await until(signed_in, STATE_IS, "stopped")
        await signed_in.evaluate("window.socket.useHere()")
        hello = await (await scripted.socket()).next()
        assert "resume" not in hello["data"]

    @pytest.mark.parametrize("code", [4400, 4413])
    async def test_a_refused_frame_is_thrown_away_once(
        self, signed_in: Page, scripted: ScriptedServer, code: int
    ) -> None:
        socket = await scripted.welcomed()
        await signed_in.evaluate("for (const n of [1, 2]) void window.socket.send('chat', { n })")
        await socket.next("chat")
        second = await socket.next("chat")
        await socket.close(code)
        again = await scripted.socket()
        await again.next("hello")
        await again.welcome(resumed=True)
        assert (await again.next())["id"] == second["id"]
        await again.close(code)
        await until(signed_in, STATE_IS, "stopped")

    @pytest.mark.parametrize("code", [1012, 1001, 4408, 4429, 4430, 4999])
    async def test_all_others_resume(self, signed_in: Page, scripted: ScriptedServer, code: int) -> None:
        socket = await scripted.welcomed()
        await socket.close(code)
        await reconnect_at_once(signed_in)
        hello = await (await scripted.socket()).next()
        assert hello["data"]["resume"]["incarnation"] == "one"

    async def test_waits_are_jittered_between_a_quarter_and_ten_seconds(
        self, page: Page, scripted: ScriptedServer
    ) -> None:
        await page.goto(f"{scripted.url}/blank")
        bounds = await page.evaluate(
            """async () => { const { Backoff } = await import("/static/lib/backoff.js");
            const waits = (random) => {
              const backoff = new Backoff(() => random);
              return Array.from({ length: 12 }, () => backoff.nextMs());
            };
            return [waits(0), waits(1)]; }"""
        )
        assert set(bounds[0]) == {250}
        assert bounds[1][:3] == [500, 1000, 2000]
        assert bounds[1][-1] == 10_000


class TestSession:
    async def test_one_renewal_for_many_calls_that_met_401(self, page: Page, scripted: ScriptedServer) -> None:
        await page.goto(f"{scripted.url}/blank")

        def me(call: Any) -> tuple[int, dict[str, Any]]:
            if call.headers["Authorization"] == "Bearer access-1":
                return 401, {"error": {"code": "unauthorized", "message": "", "retryable": False}}
            return 200, scripted.user

        scripted.answers["GET", "/v1/me"] = me
        replies = await page.evaluate(
            """async () => {
            const { Session } = await import("/static/lib/session.js");
            const { Api } = await import("/static/lib/api.js");
            const session = new Session("volunteer");
            await session.signIn("v");
            const api = new Api(session);
            return Promise.all([api.get("/v1/me"), api.get("/v1/me"), api.get("/v1/me")]); }"""
        )
        assert [reply["time_zone"] for reply in replies] == ["Europe/Copenhagen"] * 3
        assert len(scripted.asked("POST", "/v1/sessions/refresh")) == 1

    async def test_two_tabs_of_one_sign_in_never_show_a_refresh_token_twice(
        self, page: Page, context: BrowserContext, scripted: ScriptedServer
    ) -> None:
        sign_in = """async (first) => {
            const { Session } = await import("/static/lib/session.js");
            window.session = new Session("volunteer");
            if (first) await window.session.signIn("v"); }"""
        other = await context.new_page()
        for tab, first in ((page, True), (other, False)):
            await tab.goto(f"{scripted.url}/blank")
            await tab.evaluate(sign_in, first)
        await asyncio.gather(*(tab.evaluate("window.session.renew()") for tab in (page, other)))
        shown = [call.body["refresh_token"] for call in scripted.asked("POST", "/v1/sessions/refresh")]
        assert shown == ["refresh-1"]
        tokens = [await tab.evaluate("window.session.accessToken") for tab in (page, other)]
        assert tokens[0] == tokens[1] != "access-1"

    async def test_people_in_two_tabs_do_not_collide_and_share_the_device(
        self, page: Page, context: BrowserContext, scripted: ScriptedServer
    ) -> None:
        sign_in = """async (name) => {
            const { Session } = await import("/static/lib/session.js");
            window.session = new Session("volunteer", { as: name });
            await window.session.signIn(name); }"""
        other = await context.new_page()
        for tab, name in ((page, "v1"), (other, "v2")):
            await tab.goto(f"{scripted.url}/blank")
            await tab.evaluate(sign_in, name)
        assert await page.evaluate("window.session.accessToken") == "access-1"
        again = (
            "async () => new (await import('/static/lib/session.js')).Session('volunteer', { as: 'v1' }).accessToken"
        )
        assert await other.evaluate(again) == "access-1"
        devices = {call.body["device"]["id"] for call in scripted.asked("POST", "/v1/sessions")}
        assert len(devices) == 1

    async def test_a_chain_ended_by_the_server_signs_out(self, page: Page, scripted: ScriptedServer) -> None:
        await page.goto(f"{scripted.url}/blank")
        scripted.answers["POST", "/v1/sessions/refresh"] = (401, {"error": {"code": "unauthorized", "message": ""}})
        ended = await page.evaluate(
            """async () => {
            const { Session } = await import("/static/lib/session.js");
            const session = new Session("volunteer");
            await session.signIn("v");
            let ended = 0;
            session.on("ended", () => { ended += 1; });
            await session.renew().catch(() => {});
            return [ended, session.signedIn, new Session("volunteer").signedIn]; }"""
        )
        assert ended == [1, False, False]

    async def test_errors_are_objects_and_brief_ones_are_tried_again(
        self, page: Page, scripted: ScriptedServer
    ) -> None:
        await page.goto(f"{scripted.url}/blank")
        busy: Answer = (503, {"error": {"code": "unavailable", "message": "", "retryable": True}})
        answers = iter([busy, (200, {"n": 1})])
        scripted.answers["GET", "/v1/offers"] = lambda call: next(answers)
        taken = {"error": {"code": "request_open", "message": "m", "retryable": False, "details": {"request": {}}}}
        scripted.answers["POST", "/v1/requests"] = (409, taken)
        reply, error = await page.evaluate(
            """async () => {
            const { Session } = await import("/static/lib/session.js");
            const { Api } = await import("/static/lib/api.js");
            const session = new Session("requester");
            await session.signIn("r");
            const api = new Api(session);
            const error = await api.post("/v1/requests").catch((e) => e);
            return [await api.get("/v1/offers"), [error.status, error.code, error.details]]; }"""
        )
        assert reply == {"n": 1}
        assert error == [409, "request_open", {"request": {}}]


PAIR = """async () => {
  const { Negotiator } = await import("/static/lib/negotiator.js");
  const sides = {};
  window.sent = [];
  window.hold = false;
  window.held = [];
  const other = { requester: "volunteer", volunteer: "requester" };
  const deliver = (name, type, data) => sides[other[name]].negotiator.receive(type, data);
  window.release = async () => {
    window.hold = false;
    const all = window.held.splice(0);
    for (const [name, type, data] of all) await deliver(name, type, data);
  };
  for (const name of ["requester", "volunteer"]) {
    const pc = new RTCPeerConnection();
    const send = (type, data) => {
      if (type === "description") window.sent.push([name, data.type, data.negotiation]);
      if (window.hold) window.held.push([name, type, data]);
      else setTimeout(() => deliver(name, type, data), 5);
    };
    sides[name] = { pc, negotiator: new Negotiator({ pc, polite: name === "volunteer", send }) };
    pc.createDataChannel("talk", { negotiated: true, id: 0 });
  }
  window.sides = sides;
}"""
BOTH_ARE = """(state) => Object.values(window.sides).every(
  ({ pc }) => pc.connectionState === state && pc.signalingState === "stable")"""
UFRAGS = """() => Object.values(window.sides).map(({ pc }) => /ufrag:(\\S+)/.exec(pc.localDescription.sdp)[1])"""


class TestNegotiation:
    @pytest_asyncio.fixture(loop_scope="session")
    async def pair(self, page: Page, scripted: ScriptedServer) -> Page:
        await page.goto(f"{scripted.url}/blank")
        await page.evaluate(PAIR)
        await until(page, BOTH_ARE, "connected")
        return page

    async def test_the_requester_offers_and_the_volunteer_answers_with_its_number(self, pair: Page) -> None:
        assert await pair.evaluate("window.sent") == [["requester", "offer", 1], ["volunteer", "answer", 1]]

    async def test_after_answering_the_volunteer_may_offer_with_the_next_number(self, pair: Page) -> None:
        before = await pair.evaluate(UFRAGS)
        await pair.evaluate("window.sides.volunteer.pc.restartIce()")
        await until(pair, "() => window.sent.length === 4")
        assert (await pair.evaluate("window.sent"))[2:] == [["volunteer", "offer", 2], ["requester", "answer", 2]]
        await until(pair, BOTH_ARE, "connected")
        assert set(await pair.evaluate(UFRAGS)).isdisjoint(before)

    @pytest.mark.parametrize("first", ["requester", "volunteer"])
    async def test_when_offers_cross_the_requesters_stands(self, pair: Page, first: str) -> None:
        await pair.evaluate("window.hold = true")
        for name in (first, "volunteer" if first == "requester" else "requester"):
            await pair.evaluate("(name) => window.sides[name].pc.restartIce()", name)
        await until(pair, "() => window.sent.length === 4")
        assert sorted((await pair.evaluate("window.sent"))[2:]) == [
            ["requester", "offer", 2],
            ["volunteer", "offer", 2],
        ]
        await pair.evaluate("window.release()")
        await until(pair, "() => window.sent.length >= 5")
        assert (await pair.evaluate("window.sent"))[4] == ["volunteer", "answer", 2]
        await until(pair, BOTH_ARE, "connected")
        sent = await pair.evaluate("window.sent")
        assert all(entry[2] == 3 for entry in sent[5:])  # at most the volunteer's wish again, under the next number

    async def test_candidates_ahead_of_their_description_are_kept(self, page: Page, scripted: ScriptedServer) -> None:
        await page.goto(f"{scripted.url}/blank")
        await page.evaluate(PAIR.replace("window.hold = false;", "window.hold = true;", 1))
        await until(page, "() => window.held.some(([, type, data]) => type === 'candidate' && data.candidate === null)")
        await page.evaluate(
            "() => { window.held.sort(([, a], [, b]) => (a > b) - (a < b)); }"  # candidates before the description
        )
        assert await page.evaluate("window.held[0][1]") == "candidate"
        await page.evaluate("window.release()")
        await until(page, BOTH_ARE, "connected")

    async def test_every_candidate_names_its_ufrag_and_negotiation(self, page: Page, scripted: ScriptedServer) -> None:
        await page.goto(f"{scripted.url}/blank")
        await page.evaluate(PAIR.replace("window.hold = false;", "window.hold = true;", 1))
        await until(page, "() => window.held.some(([, type, data]) => type === 'candidate' && data.candidate === null)")
        types = await page.evaluate("window.held.map(([, type]) => type)")
        assert types[0] == "description"
        candidates = await page.evaluate("window.held.filter(([, type]) => type === 'candidate').map((h) => h[2])")
        ufrag = await page.evaluate("/ufrag:(\\S+)/.exec(window.sides.requester.pc.localDescription.sdp)[1]")
        assert {(c["usernameFragment"], c["negotiation"]) for c in candidates} == {(ufrag, 1)}
        assert candidates[-1]["candidate"] is None


NEVER = math.inf
REPAIR = """async ([polite, steps]) => {
  const { IceRepair } = await import("/static/lib/ice_repair.js");
  const repair = new IceRepair({ polite, signalling: true, now: 0 });
  for (const [method, ...given] of steps) repair[method](...given);
  return [repair.restartAt, repair.giveUpAt];
}"""
LOST = [("link", "connected", 1), ("signalling", False, 5)]
RESTARTS = [(step, at) for at in (10_000, 15_000, 20_000, 25_000, 30_000) for step in ("wish", "restarted")]
REPAIRS: dict[str, tuple[bool, list[tuple[Any, ...]], float, float]] = {
    "not connected at first": (False, [("link", "connecting", 5)], NEVER, 12_000),
    "connected": (False, [("link", "connected", 5)], NEVER, NEVER),
    "disconnected for long": (False, [("link", "disconnected", 20_000)], 22_000, 12_000),
    "disconnected, and back": (False, [("link", "disconnected", 5), ("link", "connected", 6)], NEVER, NEVER),
    "failed": (False, [("link", "connected", 1), ("link", "failed", 9)], 9, 12_009),
    "disconnected, then failed": (False, [("link", "disconnected", 5), ("link", "failed", 6)], 6, 12_000),
    "another network while connected": (False, [("link", "connected", 1), ("wish", 9)], 9, NEVER),
    "the polite side waits for the other": (True, [("link", "connected", 1), ("link", "failed", 9)], 2009, 12_009),
    "the other moved first": (True, [("link", "failed", 9), ("restarted", 500)], NEVER, 12_000),
    "a second wish at once": (
        False,
        [("link", "connected", 1), ("restarted", 10_000), ("wish", 10_001)],
        15_000,
        NEVER,
    ),
    "a sixth within a minute": (False, [("link", "connected", 1), *RESTARTS, ("wish", 35_000)], 70_000, NEVER),
    "one of them more than a minute ago": (
        False,
        [("link", "connected", 1), *RESTARTS, ("wish", 71_000)],
        71_000,
        NEVER,
    ),
    "nobody would hear": (False, [*LOST, ("link", "failed", 9)], NEVER, NEVER),
    "heard again": (False, [*LOST, ("link", "failed", 9), ("signalling", True, 20_000)], 9, 32_000),
    "heard again, after a restart that nobody heard": (
        False,
        [*LOST, ("link", "failed", 9), ("restarted", 15_000), ("signalling", True, 20_000)],
        22_000,
        32_000,
    ),
    "heard again while it was still being built": (False, [LOST[1], ("signalling", True, 20_000)], NEVER, 32_000),
    "the last restart has not had its time": (False, [("wish", 9), ("restarted", 11_000)], NEVER, 16_000),
    "asked for a new connection": (False, [("gaveUp", 12_000)], NEVER, 24_000),
}


async def test_when_a_connection_is_repaired_and_when_given_up(page: Page, scripted: ScriptedServer) -> None:
    """Times in ms; `REPAIRS` says what happened to whom, when the restart is due then, and when to give up."""
    await page.goto(f"{scripted.url}/blank")
    said = {name: await page.evaluate(REPAIR, [case[0], case[1]]) for name, case in REPAIRS.items()}
    assert said == {name: [case[2], case[3]] for name, case in REPAIRS.items()}


NETWORKS = """async (types) => {
  const connection = Object.assign(new EventTarget(), { type: "wifi" });
  Object.defineProperty(navigator, "connection", { value: connection });
  const { onNetworkHints } = await import("/static/lib/network_hints.js");
  const told = [];
  const stop = onNetworkHints({ changed: () => told.push(connection.type) });
  const pass = (type) => {
    connection.type = type;
    connection.dispatchEvent(new Event("change"));
  };
  types.forEach(pass);
  stop();
  pass("ethernet");
  return told;
}"""


async def test_another_network_is_told_from_mere_estimates_of_its_speed(page: Page, scripted: ScriptedServer) -> None:
    await page.goto(f"{scripted.url}/blank")
    told = await page.evaluate(NETWORKS, ["wifi", "cellular", "cellular", "none", "wifi"])
    assert told == ["cellular", "wifi"]


PAUSES: dict[str, tuple[dict[str, bool], str | None]] = {
    "all is well": ({}, None),
    "the person's own wish": ({"user": True}, "user"),
    "behind another page, the camera runs": ({"hidden": True}, None),
    "behind another page, or locked": ({"hidden": True, "videoMuted": True, "audioMuted": True}, "background"),
    "the page is frozen or left": ({"leaving": True}, "background"),
    "a phone call": ({"audioMuted": True}, "phone_call"),
    "a phone call behind which the page is": ({"hidden": True, "audioMuted": True}, "phone_call"),
    "a phone call while the camera is paused": ({"user": True, "audioMuted": True}, "phone_call"),
}

# Sends these messages to a receiver; gives what it said, and what it answered.
RECEIVED = """async (messages) => {
  const { PhotoReceiver } = await import("/static/lib/photo_channel.js");
  const answers = [];
  const channel = Object.assign(new EventTarget(), { readyState: "open", send: (data) => answers.push(data) });
  const receiver = new PhotoReceiver();
  const heard = [];
  for (const type of ["begun", "photo", "cancelled", "broken"]) receiver.on(type, () => heard.push(type));
  receiver.attach(channel);
  for (const message of messages) {
    const data = typeof message === "string" ? message : new Uint8Array(message).buffer;
    channel.dispatchEvent(new MessageEvent("message", { data }));
  }
  const over = () => ["photo", "cancelled", "broken"].includes(heard.at(-1));
  for (let i = 0; i < 50 && !over(); i += 1) await new Promise((resolve) => setTimeout(resolve, 20));
  return [heard, answers];
}"""
ABC = hashlib.sha256(b"abc").hexdigest()


def header(**changes: Any) -> str:
    return json.dumps({"id": "p", "mime": "image/jpeg", "bytes": 3, "sha256": ABC, **changes})


RECEPTIONS: dict[str, tuple[list[Any], list[str], list[str]]] = {
    "whole": ([header(), [97], [98, 99], "done"], ["begun", "photo"], []),
    "another picture": ([header(), [97], [98, 98], "done"], ["begun", "broken"], []),
    "too short": ([header(), [97], "done"], ["begun", "broken"], []),
    "too long": ([header(), [97, 98], [99, 100], "done"], ["begun", "broken"], ["cancel"]),
    "more than there may be": ([header(bytes=20 * 1024 * 1024 + 1)], ["broken"], ["cancel"]),
    "no picture": ([header(mime="image/svg+xml")], ["broken"], ["cancel"]),
    "cancelled there": ([header(), [97], "cancel", [98, 99], "done"], ["begun", "cancelled"], []),
    "begun again": ([header(), [97], header(), [97], [98, 99], "done"], ["begun", "begun", "photo"], []),
}


class TestInACall:
    async def test_why_a_side_stands_still(self, page: Page, scripted: ScriptedServer) -> None:
        await page.goto(f"{scripted.url}/blank")
        causes = await page.evaluate(
            """async (cases) => { const { pauseCause } = await import("/static/lib/pauses.js");
            return cases.map(pauseCause); }""",
            [case for case, _ in PAUSES.values()],
        )
        assert dict(zip(PAUSES, causes, strict=True)) == {name: cause for name, (_, cause) in PAUSES.items()}

    async def test_a_photo_is_taken_whole_or_not_at_all(self, page: Page, scripted: ScriptedServer) -> None:
        await page.goto(f"{scripted.url}/blank")
        for name, (messages, heard, answers) in RECEPTIONS.items():
            assert await page.evaluate(RECEIVED, messages) == [heard, answers], name


class TestWords:
    async def test_both_catalogues_say_the_same_things(self, page: Page, scripted: ScriptedServer) -> None:
        await page.goto(f"{scripted.url}/blank")
        keys = await page.evaluate(
            """async () => { const { CATALOGUES } = await import("/static/lib/catalogue.js");
            return Object.values(CATALOGUES).map((words) => Object.keys(words)); }"""
        )
        assert len(keys) == 2
        assert sorted(keys[0]) == sorted(keys[1])

    async def test_placeholders_are_the_same_in_both(self, page: Page, scripted: ScriptedServer) -> None:
        await page.goto(f"{scripted.url}/blank")
        differing = await page.evaluate(
            """async () => { const { CATALOGUES: { en, da } } = await import("/static/lib/catalogue.js");
            const holes = (entry) => (JSON.stringify(entry).match(/\\{\\w+\\}/g) ?? []).sort().join();
            return Object.keys(en).filter((key) => holes(en[key]) !== holes(da[key])); }"""
        )
        assert differing == []
