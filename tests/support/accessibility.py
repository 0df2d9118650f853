"""What assistive technology is told of a page, from Chromium's own accessibility tree."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from playwright.async_api import Page

CONTROLS = frozenset(
    {"button", "checkbox", "combobox", "link", "menuitem", "radio", "searchbox", "slider", "switch", "textbox"}
)


async def check_accessibility(page: Page) -> None:
    """One h1, no heading level left out, a name on all that can be operated or focused, the language told."""
    cdp = await page.context.new_cdp_session(page)
    try:
        tree = (await cdp.send("Accessibility.getFullAXTree"))["nodes"]
    finally:
        await cdp.detach()
    nodes = [node for node in tree if not node["ignored"]]
    levels = [_property(node, "level") for node in nodes if _role(node) == "heading"]
    assert levels.count(1) == 1, f"h1 is there {levels.count(1)} times"
    jumps = [(before, after) for before, after in pairwise(levels) if after > before + 1]
    assert levels[0] == 1, f"headings begin with level {levels[0]}"
    assert not jumps, f"heading levels left out: {jumps}"
    nameless = [_role(node) for node in nodes if _needs_name(node) and not _name(node)]
    assert not nameless, f"controls without a name: {nameless}"
    assert await page.evaluate("document.documentElement.lang"), "the page does not say its language"


def _needs_name(node: dict[str, Any]) -> bool:
    role = _role(node)
    return role in CONTROLS or (role != "RootWebArea" and _property(node, "focusable") is True)


def _role(node: dict[str, Any]) -> str:
    return str(node.get("role", {}).get("value", ""))


def _name(node: dict[str, Any]) -> str:
    return str(node.get("name", {}).get("value", "")).strip()


def _property(node: dict[str, Any], name: str) -> Any:
    found = (entry["value"].get("value") for entry in node.get("properties", []) if entry["name"] == name)
    return next(found, None)
