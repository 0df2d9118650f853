"""What a page is to people who see little or nothing: Chromium's accessibility tree, contrast, width."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from playwright.async_api import Page

CONTROLS = frozenset(
    {"button", "checkbox", "combobox", "link", "menuitem", "radio", "searchbox", "slider", "switch", "textbox"}
)

# Visible texts whose contrast with what is behind them is below what WCAG 2.2 asks (1.4.3: 4.5, large text 3).
FAINT = """
() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const ground = (element) => {
    for (let behind = element; behind; behind = behind.parentElement) {
      const [red, green, blue, alpha = 1] = numbers(getComputedStyle(behind).backgroundColor);
      if (alpha > 0.5) return [red, green, blue];
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *:not(:disabled, option)")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!text.length || !element.checkVisibility() || element.closest(".visually-hidden")) continue;
    const style = getComputedStyle(element);
    const [high, low] = [numbers(style.color), ground(element)].map(luminance).sort((a, b) => b - a);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) faint.push([text[0].data.trim(), contrast]);
  }
  return faint;
}
"""


async def check_accessibility(page: Page) -> None:
    """One h1, no heading level left out, a name on all that can be operated or focused, language told, legible."""
    assert await page.evaluate("document.documentElement.lang"), "the page does not say its language"
    too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(too_wide) <= 0, "the page has to be scrolled sideways"
    assert await page.evaluate(FAINT) == []
    await _check_tree(page)


async def _check_tree(page: Page) -> None:
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
