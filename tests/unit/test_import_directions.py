"""Who may import whom: walks every import of the source and fails on a breach of docs/architecture.md."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("matching", "signaling", "infra", "server", "tests")
PURE = {"matching": {"matching", "langcodes"}, "signaling": {"signaling"}}
"""Packages without drivers, and all they may import besides the standard library."""
COMPOSITION_ROOTS = ("server/app.py", "server/commands.py")
DRIVERS = {"asyncpg", "redis", "valkey", "sqlalchemy", "alembic", "aiortc", "av", "aioice", "firebase_admin"}
"""The outside world; only adapters speak to it."""


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module, by its full dotted name, as written in `path` (relative to the root)."""

    path: str
    line: int
    module: str

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def imports_of(path: str, source: str) -> Iterator[Import]:
    """Every import in a file, also inside functions and conditions; relative ones made absolute."""
    package = Path(path).parent.parts
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            yield from (Import(path, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            yield from (Import(path, node.lineno, f"{module}.{alias.name}") for alias in node.names)


def breach(imported: Import) -> str | None:
    """What is wrong with an import, or None."""
    package = imported.path.partition("/")[0]
    if imported.top == "tests":
        return "the product imports no tests"
    if package in PURE:
        fine = imported.top in PURE[package] or imported.top in sys.stdlib_module_names
        return None if fine else f"{package} imports only the standard library and {', '.join(sorted(PURE[package]))}"
    if package == "infra" and imported.top == "server":
        return "infra implements the ports of matching and signaling and knows no server"
    if package == "server" and imported.path not in COMPOSITION_ROOTS:
        if imported.top == "infra":
            return f"only {' and '.join(COMPOSITION_ROOTS)} import infra"
        if imported.top in DRIVERS:
            return f"{imported.top} is a driver; it belongs behind a port, in infra"
    return None


def breaches(root: Path) -> list[str]:
    found = []
    for package in OURS[:-1]:
        for file in sorted((root / package).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            for imported in imports_of(path, file.read_text(encoding="utf-8")):
                if problem := breach(imported):
                    found.append(f"{path}:{imported.line}: {imported.module}: {problem}")
    return found


def test_imports_keep_their_directions() -> None:
    assert not breaches(ROOT), "\n".join(breaches(ROOT))


def test_no_cycle_is_hidden_from_the_interpreter() -> None:
    """`if TYPE_CHECKING:` imports hide cycles between modules; there are none to hide."""
    hidden = [
        f"{file.relative_to(ROOT)}:{imported.line}"
        for package in OURS[:-1]
        for file in (ROOT / package).rglob("*.py")
        for imported in imports_of(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8"))
        if imported.module == "typing.TYPE_CHECKING"
    ]
    assert not hidden


class TestTheWalkItself:
    @pytest.mark.parametrize(
        ("path", "source"),
        [
            ("matching/rules.py", "import asyncpg"),
            ("matching/rules.py", "from signaling.model import Call"),
            ("matching/rules.py", "from ..server import views"),
            ("signaling/rules.py", "import langcodes"),
            ("signaling/rules.py", "def late():\n    import matching.model"),
            ("signaling/deep/rules.py", "from ...infra import phone"),
            ("infra/postgres/pool.py", "from server.settings import Settings"),
            ("infra/postgres/pool.py", "from tests.support import engines"),
            ("server/api/help.py", "import infra.postgres.pool"),
            ("server/api/help.py", "from infra import postgres"),
            ("server/api/help.py", "try:\n    import redis.asyncio\nexcept ImportError:\n    pass"),
            ("server/api/app.py", "import infra"),
        ],
    )
    def test_fails_on_a_breach(self, tmp_path: Path, path: str, source: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_text(source)
        (found,) = breaches(tmp_path)
        assert found.startswith(f"{path}:")

    @pytest.mark.parametrize(
        ("path", "source"),
        [
            (
                "matching/rules.py",
                "from __future__ import annotations\nimport zoneinfo, langcodes\nfrom . import model",
            ),
            ("signaling/rules.py", "from collections import abc\nfrom signaling.model import Call"),
            ("infra/phone/peer.py", "import aiortc\nfrom matching.ports import VolunteerIndex"),
            ("server/app.py", "from infra.postgres import pool\nfrom server import views"),
            ("server/api/help.py", "import aiohttp.web\nfrom ..views import CallView"),
        ],
    )
    def test_passes_what_is_allowed(self, tmp_path: Path, path: str, source: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_text(source)
        assert breaches(tmp_path) == []
