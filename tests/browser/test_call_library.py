"""The call a page is in, as the library keeps it, with a server that forgets, is late, or says that it is elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.support.scripted_server import ScriptedServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# `stage.calls` over a socket that only has an outbox, and an API whose replies the test lays ready, by path.
STAGE = """async () => {
  const lib = (name) => import(`/static/lib/${name}.js`);
  const [{ Calls }, { Emitter }, { Outbox }, { ApiError }] = await Promise.all(
    ["calls", "emitter", "outbox", "api"].map(lib),
  );
  const stage = { shown: [], over: [], asked: [], written: [], replies: {} };
  const outbox = new Outbox({ write: (frame) => stage.written.push(frame) });
  outbox.opened();
  const socket = Object.assign(new Emitter(), {
    state: "online",
    serverNow: () => Date.now(),
    send: (type, data, { id = crypto.randomUUID(), call, attempt, replaces } = {}) =>
      outbox.add({ type, id, data, call, attempt }, { replaces }),
    forgetCall: (id, before) => outbox.forgetCall(id, before),
    hurry: () => {},
  });
  const pauses = Object.assign(new Emitter(), { cause: null });
  const media = Object.assign(new Emitter(), { pauses, outgoing: () => null, audio: null, video: null, stream: null });
  const ask = async (path) => {
    stage.asked.push(path);
    const replies = stage.replies[path] ?? [];
    const reply = replies.length > 1 ? replies.shift() : replies[0];
    if (typeof reply === "object") return { call: reply };
    throw new ApiError(reply ?? 404, { code: "scripted" });
  };
  stage.calls = new Calls({ socket, api: { get: ask, post: ask }, media });
  stage.calls.on("changed", ({ state }) => stage.shown.push(state));
  stage.calls.on("over", (view) => stage.over.push([view.end_reason, view.end_by]));
  stage.told = (call) => socket.emit("call", { call }, {});
  stage.welcome = (call, resumed) => socket.emit("welcome", { call, resumed });
  stage.settle = (id) => outbox.settle(id);
  stage.refuse = (id, code) => outbox.refuse(id, { code });
  stage.here = () => stage.calls.current && [stage.calls.current.view.attempt, stage.calls.current.pc !== null];
  window.stage = stage;
}"""
REJOIN, GET = "/v1/calls/c/rejoin", "/v1/calls/c"


def view(attempt: int = 1, state: str = "connecting", version: int = 1, **changes: Any) -> dict[str, Any]:
    """In writing, so that nothing needs a camera."""
    return {
        **{"id": "c", "request_id": "r", "attempt": attempt, "kind": "help", "side": "requester", "polite": False},
        **{"mode": "text", "state": state, "version": version, "end_reason": None, "end_by": None},
        **{"ice_servers": [], "ice_expires_at": None, "ice_policy": "all", **changes},
    }


@pytest_asyncio.fixture(loop_scope="session")
async def stage(page: Page, scripted: ScriptedServer) -> Page:
    await page.goto(f"{scripted.url}/blank")
    await page.evaluate(STAGE)
    return page


async def told(page: Page, *views: dict[str, Any]) -> None:
    """By the socket; a connection is begun for it."""
    for one in views:
        await page.evaluate("(view) => stage.told(view)", one)


async def here(page: Page) -> Any:
    """Attempt of the call the page is in, and whether it has a connection; None: in none."""
    return await page.evaluate("stage.here()")


async def until(page: Page, condition: str) -> None:
    await page.wait_for_function(f"() => {condition}", polling=20)


async def replies(page: Page, path: str, *answers: Any) -> None:
    """An object is the call, a number the status of a refusal; the last one is given again and again."""
    await page.evaluate("([path, answers]) => { stage.replies[path] = answers; }", [path, list(answers)])


class TestMoving:
    MOVED = view(2, "ended", 2, end_reason="moved", end_by="me")

    async def test_a_call_that_moved_away_can_be_brought_back(self, stage: Page) -> None:
        await told(stage, view(state="connected"), self.MOVED)
        assert (await here(stage), await stage.evaluate("stage.over")) == (None, [["moved", "me"]])
        await told(stage, view(2, "reconnecting", 2))  # late, and of the other device's attempt
        assert await here(stage) is None
        await told(stage, view(3, "reconnecting", 3))
        await until(stage, "stage.here()?.[1]")
        assert await here(stage) == [3, True]

    async def test_one_that_ended_cannot(self, stage: Page) -> None:
        await told(stage, view(), view(1, "ended", 2, end_reason="done"), self.MOVED, view(3, "reconnecting", 3))
        assert await here(stage) is None

    async def test_who_was_away_meanwhile_hears_that_it_moved(self, stage: Page) -> None:
        await told(stage, view(state="connected"))
        await replies(stage, GET, 503, view(2, "connected", 3, here=False))
        await stage.evaluate("stage.welcome(null, true)")
        await until(stage, "stage.over.length > 0")
        assert (await here(stage), await stage.evaluate("stage.over")) == (None, [["moved", "me"]])

    async def test_a_call_of_this_session_goes_on_though_a_snapshot_was_too_early_for_it(self, stage: Page) -> None:
        await told(stage, view())
        await replies(stage, GET, view(here=True))
        await stage.evaluate("stage.welcome(null, true)")
        await until(stage, "stage.asked.length > 0")
        assert await here(stage) == [1, True]


class TestViews:
    async def test_a_reply_that_the_socket_overtook_changes_nothing(self, stage: Page) -> None:
        await told(stage, view(), view(state="connected", version=2))
        await stage.evaluate("(late) => stage.calls.take(late)", view(version=1))
        assert await stage.evaluate("[stage.calls.current.view.state, stage.shown.at(-1)]") == ["connected"] * 2

    async def test_who_comes_to_a_call_that_runs_is_arriving_until_connected_here(self, stage: Page) -> None:
        await replies(stage, REJOIN, view(2, "reconnecting", 2))
        await stage.evaluate("(running) => stage.welcome(running, false)", view(state="connected"))
        assert await stage.evaluate("stage.calls.current.phase") == "arriving"
        await until(stage, "stage.here()[1]")
        assert await stage.evaluate("stage.calls.current.phase") == "arriving"
        await told(stage, view(2, "connected", 3))
        assert await stage.evaluate("stage.calls.current.phase") == "connected"
        await told(stage, view(2, "reconnecting", 4))
        assert await stage.evaluate("stage.calls.current.phase") == "reconnecting"


class TestRejoining:
    async def test_a_side_without_a_connection_asks_until_it_has_one(self, stage: Page) -> None:
        await replies(stage, REJOIN, 503, 503, view(2, "reconnecting", 2))
        await stage.evaluate("(running) => stage.welcome(running, false)", view(state="connected"))
        await until(stage, "stage.here()[1]")
        assert await stage.evaluate("stage.asked") == [REJOIN] * 3

    async def test_nothing_that_is_said_meanwhile_builds_the_lost_connection_again(self, stage: Page) -> None:
        await replies(stage, REJOIN, 503, view(2, "reconnecting", 2))
        await stage.evaluate("(running) => stage.welcome(running, false)", view(state="connected"))
        await until(stage, "stage.asked.length === 1")
        await told(stage, view(state="connected"))
        assert await here(stage) == [1, False]
        assert await stage.evaluate("stage.calls.current.phase") == "arriving"
        await until(stage, "stage.here()[1]")
        assert await here(stage) == [2, True]

    async def test_refused_for_good_it_asks_how_the_call_ended(self, stage: Page) -> None:
        await replies(stage, REJOIN, 409)
        await replies(stage, GET, view(1, "ended", 2, end_reason="lost", end_by="system"))
        await stage.evaluate("(running) => stage.welcome(running, false)", view(state="connected"))
        await until(stage, "stage.over.length > 0")
        assert await stage.evaluate("[stage.asked, stage.over]") == [[REJOIN, GET], [["lost", "system"]]]


class TestWords:
    SAY = """() => {
      stage.words = "on their way";
      stage.calls.current.chat({ text: "the left one", language: "en" }).then(
        () => { stage.words = "sent"; },
        ({ code }) => { stage.words = code; },
      );
    }"""
    CHATS = "stage.written.filter(({ type }) => type === 'chat')"

    async def chats(self, stage: Page) -> list[tuple[str, int]]:
        """Id and attempt of each that was written."""
        written = await stage.evaluate(self.CHATS)
        return [(chat["id"], chat["attempt"]) for chat in written]

    async def test_of_an_attempt_that_is_over_are_said_in_the_next(self, stage: Page) -> None:
        """A data channel that still looked open may have led nowhere, and the socket copy was not taken yet."""
        await told(stage, view())
        await until(stage, "stage.here()[1]")
        await stage.evaluate(self.SAY)
        await told(stage, view(2, "reconnecting", 2))
        await until(stage, f"{self.CHATS}.length === 2")
        first, second = await self.chats(stage)
        assert (first[0], first[1], second[1]) == (second[0], 1, 2)
        assert await stage.evaluate("stage.words") == "on their way"
        await stage.evaluate("(id) => stage.settle(id)", first[0])
        await until(stage, "stage.words === 'sent'")

    async def test_refused_ahead_of_the_word_of_the_next_attempt_wait_for_it(self, stage: Page) -> None:
        await told(stage, view())
        await until(stage, "stage.here()[1]")
        await stage.evaluate(self.SAY)
        [(message_id, _)] = await self.chats(stage)
        await stage.evaluate("(id) => stage.refuse(id, 'stale_attempt')", message_id)
        await told(stage, view(2, "reconnecting", 2))
        await until(stage, f"{self.CHATS}.length === 2")
        assert [attempt for _, attempt in await self.chats(stage)] == [1, 2]

    async def test_are_not_overtaken_by_later_ones_when_they_wait_for_it(self, stage: Page) -> None:
        await told(stage, view())
        await until(stage, "stage.here()[1]")
        await stage.evaluate("() => { stage.calls.current.control('torch', true); }")
        [torch] = await stage.evaluate("stage.written.filter(({ type }) => type === 'control')")
        await stage.evaluate("(id) => stage.refuse(id, 'stale_attempt')", torch["id"])
        await told(stage, view(2, "reconnecting", 2))
        await stage.evaluate("() => { stage.calls.current.control('torch', false); }")
        controls = "stage.written.filter(({ type }) => type === 'control')"
        await until(stage, f"{controls}.length === 3")
        written = await stage.evaluate(controls)
        assert [(one["attempt"], one["data"]["value"]) for one in written] == [(1, True), (2, True), (2, False)]

    async def test_of_a_call_that_is_over_are_not_said_again(self, stage: Page) -> None:
        await told(stage, view())
        await until(stage, "stage.here()[1]")
        await stage.evaluate(self.SAY)
        await told(stage, view(1, "ended", 2, end_reason="done"))
        await until(stage, "stage.words === 'call_ended'")
        assert len(await self.chats(stage)) == 1


# A call whose media flow or not as `flows` says, and a page that writes down what it says.
LINK = """async (side) => {
  const { LinkWords } = await import("/static/lib/link_words.js");
  const { Emitter } = await import("/static/lib/emitter.js");
  window.said = [];
  window.flows = true;
  window.looked = 0;
  const receivedWithin = () => { window.looked += 1; return window.flows; };
  window.call = Object.assign(new Emitter(), { view: { state: "connected" }, receivedWithin });
  const page = { status: () => {}, speak: (words) => window.said.push(words) };
  new LinkWords(page, side, () => "All is well.").follow(window.call);
}"""


class TestWordsOfTheLink:
    async def test_a_lost_socket_is_nobodys_business_while_media_flow(
        self, page: Page, scripted: ScriptedServer
    ) -> None:
        await page.goto(f"{scripted.url}/blank")
        await page.evaluate(LINK, "volunteer")
        await page.evaluate("window.call.emit('peer', { state: 'away', cause: 'network' })")
        await until(page, "window.looked > 1")
        await page.evaluate("window.call.emit('peer', { state: 'back', cause: 'network' })")
        assert await page.evaluate("window.said") == []

    @pytest.mark.parametrize(
        ("other", "away"),
        [
            ("volunteer", "The volunteer's connection is gone for a moment. Please wait."),
            ("requester", "The other person's connection is gone for a moment. Please wait."),
        ],
    )
    async def test_who_is_gone_and_back_is_said_once(
        self, page: Page, scripted: ScriptedServer, other: str, away: str
    ) -> None:
        await page.goto(f"{scripted.url}/blank")
        await page.evaluate(LINK, other)
        await page.evaluate("window.call.emit('peer', { state: 'away', cause: 'network' })")
        await page.evaluate("() => { window.flows = false; }")
        await until(page, "window.said.length > 0")
        await page.evaluate("() => { window.flows = true; }")
        await page.evaluate("window.call.emit('peer', { state: 'back', cause: 'network' })")
        assert await page.evaluate("window.said") == [away, "Connected again."]

    async def test_a_network_that_reaches_no_relay_is_said(self, page: Page, scripted: ScriptedServer) -> None:
        await page.goto(f"{scripted.url}/blank")
        await page.evaluate(LINK, "volunteer")
        await page.evaluate("window.call.emit('no_relay')")
        assert await page.evaluate("window.said") == [
            "Your network does not let the call through. Another network may help: mobile data instead of Wi-Fi, or the"
            " other way round."
        ]


async def test_what_waits_for_a_connection_is_bounded(page: Page, scripted: ScriptedServer) -> None:
    await page.goto(f"{scripted.url}/blank")
    given_up = await page.evaluate(
        """async () => { const { Outbox } = await import("/static/lib/outbox.js");
        const outbox = new Outbox({ write: () => {} });
        const codes = [];
        for (let n = 0; n < 300; n += 1) {
          outbox.add({ type: "chat", id: String(n) }).catch(({ code }) => codes.push([n, code]));
        }
        await null; await null;
        return codes; }"""
    )
    assert given_up == [[n, "too_many"] for n in range(300 - 256)]
