"""docs/calls.md draws what the tables of transitions say."""

from __future__ import annotations

from tests.support.diagrams import PAGE, redrawn


def test_the_page_draws_the_tables_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == redrawn(page), "run: python -m tests.support.diagrams"
