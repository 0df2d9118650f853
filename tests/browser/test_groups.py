"""Groups and desks on the pages: by script what each control says and sends, and once the whole way on a real node."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.test_client_pages import is_in, refusal, request, says, speaks
from tests.support.accessibility import check_accessibility
from tests.support.installation import Installation
from tests.support.people import Street, in_call
from tests.support.scripted_server import Json, ScriptedServer, moment

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

GROUP, DESK, MEMBER = (f"01900000-0000-7000-8000-0000000000{part}" for part in ("d1", "d2", "d3"))
CODE = "7K3QF9XM2P"


def group(*members: Json, **changes: Any) -> Json:
    own = {"owner_name": None, "member_id": None, "joined_at": None}
    return {"id": GROUP, "name": "Family", "mine": True, **own, "members": list(members), "open_invites": 0, **changes}


def member(name: str | None = "Vera", state: str = "active") -> Json:
    return {"member_id": MEMBER, "display_name": name, "joined_at": moment(-1000), "state": state}


def desk(**changes: Any) -> Json:
    hours = {"open": True, "opens_at": None, "closes_at": None}
    return {"id": DESK, "name": "Medicines", "languages": ["en"], **hours, "member_id": None, **changes}


async def arrive(page: Page, scripted: ScriptedServer, side: str, groups: list[Json], desks: list[Json]) -> None:
    scripted.answers["GET", "/v1/groups"] = lambda _: (200, {"groups": groups})
    scripted.answers["GET", "/v1/desks"] = lambda _: (200, {"desks": desks})
    await page.goto(f"{scripted.url}/{side}")
    await scripted.welcomed()
    await is_in(page, "rest")


async def ask(page: Page, scripted: ScriptedServer) -> Json:
    """Press the button; gives what was asked for."""
    scripted.answers["POST", "/v1/requests"] = (201, {"request": request()})
    await page.click("#help")
    await is_in(page, "waiting")
    return scripted.asked("POST", "/v1/requests")[-1].body


class TestWhomToAsk:
    async def test_is_no_question_without_groups_and_desks(self, page: Page, scripted: ScriptedServer) -> None:
        await arrive(page, scripted, "requester?as=anna", [], [])
        await expect(page.locator("#whom-choice")).to_be_hidden()
        assert await ask(page, scripted) == {}

    @pytest.mark.parametrize(
        ("others", "after", "words"),
        [("others", 30, "Asks Family first, and others too after 30 seconds."), ("nobody", None, "Asks only Family.")],
    )
    async def test_a_group_first_or_only(
        self, page: Page, scripted: ScriptedServer, others: str, after: int | None, words: str
    ) -> None:
        await arrive(page, scripted, "requester?as=anna", [group(member())], [desk()])
        await expect(page.locator("#others-choice")).to_be_hidden()
        await page.get_by_label("Whom to ask").select_option("Family")
        await page.get_by_label("If they do not come").select_option(others)
        await expect(page.locator("#help-hint")).to_have_text(words)
        await expect(page.locator("#help")).to_have_accessible_description(words)
        await check_accessibility(page)
        assert await ask(page, scripted) == {"group_id": GROUP, "then_public_after_s": after}

    async def test_is_remembered_by_this_browser(self, page: Page, scripted: ScriptedServer) -> None:
        await arrive(page, scripted, "requester?as=anna", [group()], [])
        await page.select_option("#whom", label="Family")
        await page.select_option("#others", "nobody")
        scripted.answers["GET", "/v1/groups"] = (503, refusal("unavailable"))
        await page.reload()
        await scripted.welcomed()
        await is_in(page, "rest")
        await expect(page.locator("#help-hint")).to_have_text("Asks only Family.")
        assert await ask(page, scripted) == {"group_id": GROUP, "then_public_after_s": None}

    async def test_a_closed_desk_says_when_it_opens(self, page: Page, scripted: ScriptedServer) -> None:
        opens = "2026-11-30T08:00:00.000Z"
        await arrive(page, scripted, "requester?as=anna", [], [desk(open=False, opens_at=opens)])
        await page.select_option("#whom", label="Medicines (closed)")
        local = await page.evaluate(
            """async (opens) => { const { when } = await import("/static/lib/words.js"); return when(opens); }""",
            opens,
        )
        await expect(page.locator("#help-hint")).to_contain_text(f"It is closed now and opens {local}")
        scripted.answers["POST", "/v1/requests"] = (409, refusal("desk_closed", opens_at=opens))
        await page.click("#help")
        await is_in(page, "rest")
        await says(page, f"It is closed now and opens {local}, on your clock.")
        await speaks(page, f"It is closed now and opens {local}, on your clock.")

    async def test_a_group_that_is_gone_leads_to_no_strangers_unasked(
        self, page: Page, scripted: ScriptedServer
    ) -> None:
        groups = [group()]
        await arrive(page, scripted, "requester?as=anna", groups, [])
        await page.select_option("#whom", label="Family")
        groups.clear()
        scripted.answers["POST", "/v1/requests"] = (404, refusal("not_found"))
        await page.click("#help")
        await is_in(page, "rest")
        await says(page, "“Family” is no longer there. Choose whom to ask")
        assert len(scripted.asked("POST", "/v1/requests")) == 1
        await expect(page.locator("#whom-choice")).to_be_hidden()
        assert await ask(page, scripted) == {}


class TestPeopleITrust:
    async def test_a_group_is_made_and_somebody_invited(self, page: Page, scripted: ScriptedServer) -> None:
        groups: list[Json] = []
        await arrive(page, scripted, "requester?as=anna", groups, [])

        def made(_: Any) -> tuple[int, Json]:
            groups.append(group())
            return 201, {"group": groups[0]}

        def invited(_: Any) -> tuple[int, Json]:
            groups[0]["open_invites"] = 1
            link = f"{scripted.url}/volunteer#invite={CODE}"
            return 201, {"code": CODE, "url": link, "expires_at": moment(604_800)}

        scripted.answers["POST", "/v1/groups"] = made
        scripted.answers["POST", f"/v1/groups/{GROUP}/invites"] = invited
        await page.get_by_label("Name of a new group").fill("Family")
        await page.keyboard.press("Enter")
        await speaks(page, "The group “Family” is made.")
        await expect(page.get_by_role("heading", name="Family")).to_be_focused()
        assert scripted.asked("POST", "/v1/groups")[0].body == {"name": "Family"}
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Invite somebody to Family")).to_be_focused()
        await page.keyboard.press("Enter")
        await speaks(page, "The code is 7 K 3 Q F 9 X M 2 P.")
        await expect(page.get_by_role("heading", name="Invite to Family")).to_be_focused()
        await expect(page.locator(".code span").first).to_have_text("7K3QF 9XM2P")
        await expect(page.get_by_label("Link of the invite")).to_have_value(f"{scripted.url}/volunteer#invite={CODE}")
        await expect(page.locator("#groups")).to_contain_text("1 invite is open.")
        await check_accessibility(page)

    async def test_a_link_is_copied(self, page: Page, scripted: ScriptedServer) -> None:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await arrive(page, scripted, "requester?as=anna", [group(open_invites=1)], [])
        invite = {"code": CODE, "url": f"https://eyeline.example/volunteer#invite={CODE}", "expires_at": moment(9)}
        scripted.answers["POST", f"/v1/groups/{GROUP}/invites"] = (201, invite)
        await page.get_by_role("button", name="Invite somebody to Family").click()
        await page.get_by_role("button", name="Copy the link").click()
        await speaks(page, "The link is copied.")
        assert await page.evaluate("navigator.clipboard.readText()") == invite["url"]

    async def test_invites_are_made_void(self, page: Page, scripted: ScriptedServer) -> None:
        groups = [group(open_invites=2)]
        await arrive(page, scripted, "requester?as=anna", groups, [])

        def withdrawn(_: Any) -> tuple[int, None]:
            groups[0]["open_invites"] = 0
            return 204, None

        scripted.answers["DELETE", f"/v1/groups/{GROUP}/invites"] = withdrawn
        await page.get_by_role("button", name="Make void: open invites to Family").click()
        await speaks(page, "Open invites are void now.")
        await expect(page.locator("#groups")).not_to_contain_text("invites are open")

    async def test_a_group_may_be_connected_directly(self, page: Page, scripted: ScriptedServer) -> None:
        groups = [group(direct=False)]
        await arrive(page, scripted, "requester?as=anna", groups, [])

        def changed(call: Any) -> tuple[int, Json]:
            groups[0] = {**groups[0], **call.body}
            return 200, {"group": groups[0]}

        scripted.answers["PATCH", f"/v1/groups/{GROUP}"] = changed
        box = page.get_by_label("Connect directly in this group")
        await expect(box).to_have_accessible_description(re.compile("network address"))
        await box.check()
        await speaks(page, "Family: whoever joins from now on is connected to you directly.")
        await expect(box).to_be_focused()
        await check_accessibility(page)
        assert groups[0]["direct"] is True

    async def test_somebody_is_removed(self, page: Page, scripted: ScriptedServer) -> None:
        groups = [group(member("Vera"), {**member(None, "unavailable"), "member_id": DESK})]
        await arrive(page, scripted, "requester?as=anna", groups, [])
        await expect(page.locator(".people")).to_contain_text("(cannot be asked at present)")
        await check_accessibility(page)

        def removed(_: Any) -> tuple[int, None]:
            groups[0]["members"] = groups[0]["members"][1:]
            return 204, None

        scripted.answers["DELETE", f"/v1/groups/{GROUP}/members/{MEMBER}"] = removed
        await page.get_by_role("button", name="Remove Vera from Family").click()
        await speaks(page, "Vera is no longer in Family.")
        await expect(page.locator(".people li")).to_have_count(1)

    async def test_a_group_is_dissolved_by_who_means_it(self, page: Page, scripted: ScriptedServer) -> None:
        groups = [group()]
        await arrive(page, scripted, "requester?as=anna", groups, [])

        def dissolved(_: Any) -> tuple[int, None]:
            groups.clear()
            return 204, None

        scripted.answers["DELETE", f"/v1/groups/{GROUP}"] = dissolved
        button = page.get_by_role("button", name="Dissolve Family")
        await button.click()  # and no, as unanswered questions are
        assert groups
        page.once("dialog", lambda dialog: dialog.accept())
        await button.click()
        await speaks(page, "The group “Family” is dissolved.")
        await expect(page.locator("#group-name")).to_be_focused()

    async def test_there_are_only_so_many(self, page: Page, scripted: ScriptedServer) -> None:
        await arrive(page, scripted, "requester?as=anna", [group()], [])
        scripted.answers["POST", "/v1/groups"] = (409, refusal("limit_reached"))
        await page.fill("#group-name", "Friends")
        await page.press("#group-name", "Enter")
        await speaks(page, "There are as many as there may be.")
        await expect(page.locator("#group-name")).to_have_value("Friends")


class TestPeopleWhoTrustMe:
    ACCEPT = ("POST", f"/v1/invites/{CODE}/accept")
    JOINED: Json = {  # noqa: RUF012 - read only
        **{"id": GROUP, "name": "Family", "mine": False, "owner_name": "Anna", "member_id": MEMBER},
        **{"joined_at": "2026-11-25T12:00:00.000Z", "members": None, "open_invites": None},
    }

    async def test_a_link_offers_to_join_and_leaves_the_address(self, page: Page, scripted: ScriptedServer) -> None:
        groups: list[Json] = []
        await arrive(page, scripted, f"volunteer?as=vera#invite={CODE}", groups, [])
        await speaks(page, "You are invited. Press Join to accept.")
        assert "invite" not in page.url
        assert scripted.asked(*self.ACCEPT) == []
        await expect(page.locator("#join")).to_be_focused()
        await check_accessibility(page)

        def accepted(_: Any) -> tuple[int, Json]:
            groups.append(self.JOINED)
            return 200, {"group": self.JOINED}

        scripted.answers[self.ACCEPT] = accepted
        await page.keyboard.press("Enter")
        await speaks(page, "You joined “Family”.")
        await expect(page.locator("#memberships li")).to_contain_text(["Family, of Anna"])

    async def test_a_code_is_typed(self, page: Page, scripted: ScriptedServer) -> None:
        await arrive(page, scripted, "volunteer?as=vera", [], [])
        typed = "7k3qf 9xm2p"
        joined = (200, {"desk": desk(member_id=MEMBER)})
        scripted.answers["POST", "/v1/invites/7k3qf 9xm2p/accept"] = joined
        await page.get_by_label("Code of an invite").fill(typed)
        await page.keyboard.press("Enter")
        await speaks(page, "You joined “Medicines”.")

    @pytest.mark.parametrize(
        ("status", "code", "words"),
        [
            (404, "not_found", "This invite is not valid, or not any more."),
            (409, "limit_reached", "There are as many people in it as there may be."),
            (429, "too_fast", "That was too often."),
        ],
    )
    async def test_a_refusal_has_words(
        self, page: Page, scripted: ScriptedServer, status: int, code: str, words: str
    ) -> None:
        await arrive(page, scripted, "volunteer?as=vera", [], [])
        scripted.answers[self.ACCEPT] = (status, refusal(code))
        await page.fill("#invite-code", CODE)
        await page.click("#join")
        await speaks(page, words)
        await expect(page.locator("#invite-code")).to_be_focused()

    async def test_groups_and_desks_are_left(self, page: Page, scripted: ScriptedServer) -> None:
        groups, desks = [self.JOINED], [desk(member_id=MEMBER), desk(id=GROUP, name="Another")]
        await arrive(page, scripted, "volunteer?as=vera", groups, desks)
        await expect(page.locator("#memberships li span")).to_have_text(["Family, of Anna", "Medicines (a desk)"])

        def left(_: Any) -> tuple[int, None]:
            groups.clear()
            return 204, None

        scripted.answers["DELETE", f"/v1/groups/{GROUP}/members/{MEMBER}"] = left
        scripted.answers["DELETE", f"/v1/desks/{DESK}/agents/{MEMBER}"] = (404, refusal("not_found"))
        await page.get_by_role("button", name="Leave Family, of Anna").click()
        await speaks(page, "You are no longer in “Family, of Anna”.")
        desks.pop(0)
        await page.get_by_role("button", name="Leave Medicines").click()
        await speaks(page, "You are no longer in “Medicines (a desk)”.")
        await expect(page.locator("#memberships")).to_be_hidden()


class TestTheWholeWay:
    async def test_who_was_invited_is_asked_and_strangers_are_not(self, place: Installation, people: Street) -> None:
        node = await place.node()
        requester = await people.requester(node.url)
        await requester.page.fill("#group-name", "Family")
        await requester.page.press("#group-name", "Enter")
        await requester.page.get_by_role("button", name="Invite somebody to Family").click()
        link = await requester.page.get_by_label("Link of the invite").input_value()
        stranger = await people.volunteer(node.url, "sten")
        friend = await people.opened(
            link.replace("/volunteer#", "/volunteer?as=vera#"), "volunteer", "vera", await people.context()
        )
        await friend.is_in("rest")
        await expect(friend.page.locator("#join")).to_be_focused()
        await friend.page.keyboard.press("Enter")
        await friend.hears("You joined “Family”.")
        await friend.press("ready")
        await friend.is_in("ready")
        await requester.page.select_option("#whom", label="Family")
        await requester.page.select_option("#others", "nobody")
        await requester.picture("choice")
        await requester.press("help")
        await friend.is_in("ringing")
        await requester.shows("Asked 1 person.")
        await stranger.is_in("ready")
        await friend.press("answer")
        await in_call(requester, friend)
        await requester.press("end")
        await requester.is_in("ended")
        assert await place.outcomes() == ["completed"]
        await expect(requester.page.locator("#groups .people li")).to_have_count(1)
