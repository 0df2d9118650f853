"""Loads named SQL: `infra/postgres/sql/*.sql`, where every statement stands under a line `-- name: what_it_does`.

sql = queries("accounts")
await connection.fetchrow(sql["session_by_id"], session_id)
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^--\s*name:\s*(\S+)\s*$")


class QueryFileError(Exception):
    """The SQL file has a statement without a name, an empty statement, or one name twice."""


@cache
def queries(name: str) -> MappingProxyType[str, str]:
    """The statements of `sql/<name>.sql` by name. Raises `QueryFileError` (or `FileNotFoundError`)."""
    text = files("infra.postgres").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    return MappingProxyType(parse(text, where=f"{name}.sql"))


def parse(text: str, *, where: str) -> dict[str, str]:
    """Split a file's text into its named statements; `where` names the file in errors."""
    bodies: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        if named := _NAME.match(line):
            name = named.group(1)
            if name in bodies:
                raise QueryFileError(f"{where}: the name {name} is used twice")
            current = bodies[name] = []
        elif current is not None:
            current.append(line)
        elif line.strip() and not line.lstrip().startswith("--"):
            raise QueryFileError(f"{where}: a statement without a name")
    statements = {name: "\n".join(lines).strip().removesuffix(";") for name, lines in bodies.items()}
    if empty := [name for name, statement in statements.items() if not statement]:
        raise QueryFileError(f"{where}: nothing under {', '.join(empty)}")
    return statements
