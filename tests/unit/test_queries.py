"""Named SQL files."""

from __future__ import annotations

import pytest

from infra.postgres.queries import QueryFileError, parse, queries


def test_a_file_is_split_at_its_names() -> None:
    text = "-- About people.\n\n-- name: one\n-- Why.\nSELECT 1;\n\n--name:two\nSELECT\n  2\n"
    assert parse(text, where="x") == {"one": "-- Why.\nSELECT 1", "two": "SELECT\n  2"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;", "x: the name a is used twice"),
        ("SELECT 1;\n-- name: a\nSELECT 1;", "x: a statement without a name"),
        ("-- name: a\n\n-- name: b\nSELECT 1;", "x: nothing under a"),
    ],
)
def test_what_is_wrong_with_a_file(text: str, problem: str) -> None:
    with pytest.raises(QueryFileError, match=problem):
        parse(text, where="x")


def test_files_are_loaded_by_name() -> None:
    assert "FROM sessions" in queries("accounts")["session_and_person"]
    with pytest.raises(FileNotFoundError):
        queries("nothing")
