"""The command line: every failure is one line on stderr and a non-zero code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server import app, cli, commands
from server.dev import DevError, DevOptions

Run = Callable[..., Result]
ROOT = Path(__file__).resolve().parents[2]
GOOD_SETTINGS = {
    "EYELINE_DATABASE_URL": "postgresql://127.0.0.1:1/y",
    "EYELINE_VALKEY_URL": "redis://127.0.0.1:1",
    "EYELINE_TOKEN_SECRET": "s" * 32,
}


NEED_A_DATABASE = [
    ["migrate"],
    ["admin", "grant", "ada", "owner"],
    ["admin", "suspend", "ada"],
    ["admin", "restore", "ada"],
    ["admin", "desk", "list"],
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("EYELINE_")]:
        monkeypatch.delenv(name)

    def invoke(*arguments: str, **env: str) -> Result:
        return CliRunner(env=env).invoke(cli.main, list(arguments))

    return invoke


def one_line(result: Result) -> str:
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("eyeline: ")
    return line.removeprefix("eyeline: ")


class TestServe:
    def test_names_every_bad_setting(self, run: Run) -> None:
        problem = one_line(run("serve", EYELINE_PORT="http"))
        assert problem.startswith("bad settings: ")
        for name in ("DATABASE_URL", "VALKEY_URL", "TOKEN_SECRET", "PORT"):
            assert f"EYELINE_{name}: " in problem

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("EYELINE_DEV_SIGN_IN", "true"),
            ("EYELINE_FCM_URL", "http://127.0.0.1:9000"),
            ("EYELINE_WEBPUSH_VIA", "http://127.0.0.1:9001"),
            ("FIREBASE_AUTH_EMULATOR_HOST", "127.0.0.1:9099"),
        ],
    )
    def test_starts_no_node_in_production_with(self, name: str, value: str) -> None:
        """As an operator would meet it: the command itself, in a process of its own."""
        inherited = {key: text for key, text in os.environ.items() if not key.startswith("EYELINE_")}
        done = subprocess.run(
            [sys.executable, "-m", "server.cli", "serve"],
            env={**inherited, **GOOD_SETTINGS, name: value},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"eyeline: bad settings: {name}: ")

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (OSError(98, "address already in use"), "cannot listen: address already in use; choose another port"),
            (ConnectionRefusedError("Connect call failed"), "cannot run: ConnectionRefusedError: Connect call failed"),
            (TimeoutError(), "cannot run: TimeoutError"),
        ],
    )
    def test_says_what_the_world_did(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
    ) -> None:
        async def fail(_: object) -> None:
            raise error

        monkeypatch.setattr(app, "serve", fail)
        assert one_line(run("serve", **GOOD_SETTINGS)).startswith(words)


class TestDev:
    def test_hands_on_its_options(self, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        seen: list[DevOptions] = []

        async def develop(options: DevOptions, say: Callable[[str], None]) -> None:
            seen.append(options)
            say("hello")

        monkeypatch.setattr(commands, "develop", develop)
        arguments = ["--port", "9000", "--nodes", "2", "--data", str(tmp_path), "--fresh", "--no-demo", "--lan"]
        result = run("dev", *arguments)
        assert (result.exit_code, result.stdout) == (0, "hello\n")
        assert seen == [DevOptions(port=9000, nodes=2, data=tmp_path, fresh=True, demo=False, lan=True)]

    def test_a_problem_is_one_line(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        async def develop(*_: object) -> None:
            raise DevError("port 1 is in use")

        monkeypatch.setattr(commands, "develop", develop)
        assert one_line(run("dev")) == "port 1 is in use"

    @pytest.mark.parametrize("arguments", [["--port", "0"], ["--port", "x"], ["--nodes", "0"], ["--what"]])
    def test_a_wrong_option_is_refused(self, run: Run, arguments: list[str]) -> None:
        result = run("dev", *arguments)
        assert result.exit_code == 2
        assert "Error: " in result.stderr


class TestCall:
    @pytest.mark.parametrize("seen", [True, False])
    def test_fails_when_no_frame_came(self, run: Run, monkeypatch: pytest.MonkeyPatch, seen: bool) -> None:
        async def call(url: str, role: str, **more: Any) -> bool:
            assert (url, role, more["language"], more["wait_s"]) == ("http://other", "volunteer", "da", 3.0)
            more["say"]("0 ms ready")
            return seen

        monkeypatch.setattr(commands, "call", call)
        result = run("call", "--as", "volunteer", "--lang", "da", "--url", "http://other", "--wait", "3")
        assert result.stdout == "0 ms ready\n"
        if seen:
            assert result.exit_code == 0
        else:
            assert one_line(result) == "no frame came"

    @pytest.mark.parametrize("arguments", [[], ["--as", "admin"], ["--as", "requester", "--media", "/no/such/file"]])
    def test_a_wrong_option_is_refused(self, run: Run, arguments: list[str]) -> None:
        assert run("call", *arguments).exit_code == 2


class TestDatabaseCommands:
    @pytest.mark.parametrize("arguments", NEED_A_DATABASE)
    def test_need_to_know_where(self, run: Run, arguments: list[str]) -> None:
        assert one_line(run(*arguments)) == "bad settings: EYELINE_DATABASE_URL: not set"

    @pytest.mark.parametrize("arguments", NEED_A_DATABASE)
    def test_say_that_it_is_not_there(self, run: Run, arguments: list[str]) -> None:
        problem = one_line(run(*arguments, EYELINE_DATABASE_URL="postgresql://ada:pa55word@127.0.0.1:1/x"))
        assert problem.startswith("cannot run: ConnectionRefusedError")
        assert "pa55word" not in problem

    @pytest.mark.parametrize("granted", [True, False])
    def test_grant_says_whether_it_did(self, run: Run, monkeypatch: pytest.MonkeyPatch, granted: bool) -> None:
        async def grant(url: str, who: str, role: str) -> bool:
            assert (url, who, role) == ("postgresql://x", "ada", "owner")
            return granted

        monkeypatch.setattr(commands, "grant", grant)
        result = run("admin", "grant", "ada", "owner", EYELINE_DATABASE_URL="postgresql://x")
        if granted:
            assert (result.exit_code, result.stdout) == (0, "ada is now owner.\n")
        else:
            assert one_line(result) == "nobody by the name or id ada has signed in yet"

    @pytest.mark.parametrize(
        ("told", "words"),
        [(True, "ada is suspended.\n"), (False, "ada is suspended; nodes notice it within seconds.\n")],
    )
    @pytest.mark.parametrize("valkey", ["redis://y", ""])
    def test_suspend_says_whether_nodes_know(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, told: bool, words: str, valkey: str
    ) -> None:
        async def suspend(*given: object) -> bool:
            assert given == ("postgresql://x", valkey or None, "ada", "rude")
            return told

        monkeypatch.setattr(commands, "suspend", suspend)
        where = {"EYELINE_DATABASE_URL": "postgresql://x", "EYELINE_VALKEY_URL": valkey}
        result = run("admin", "suspend", "ada", "--reason", "rude", **where)
        assert (result.exit_code, result.stdout) == (0, words)

    def test_suspend_says_that_nobody_is_called_that(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        async def suspend(*_: object) -> None:
            return None

        monkeypatch.setattr(commands, "suspend", suspend)
        problem = one_line(run("admin", "suspend", "ada", EYELINE_DATABASE_URL="postgresql://x"))
        assert problem == "nobody by the name or id ada has signed in yet"

    @pytest.mark.parametrize("reason", ["", "x" * 501])
    def test_a_reason_is_short(self, run: Run, reason: str) -> None:
        result = run("admin", "suspend", "ada", "--reason", reason, EYELINE_DATABASE_URL="postgresql://x")
        assert one_line(result) == "--reason takes 1 to 500 characters"

    def test_a_wrong_valkey_is_told_before_anybody_is_suspended(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(commands, "suspend", lambda *_: pytest.fail("it was begun"))
        where = {"EYELINE_DATABASE_URL": "postgresql://x", "EYELINE_VALKEY_URL": "pa55word"}
        problem = one_line(run("admin", "suspend", "ada", **where))
        assert problem.startswith("bad settings: EYELINE_VALKEY_URL: must begin with redis:")
        assert "pa55word" not in problem

    @pytest.mark.parametrize("lifted", [True, False])
    def test_restore_says_whether_it_did(self, run: Run, monkeypatch: pytest.MonkeyPatch, lifted: bool) -> None:
        async def restore(url: str, who: str) -> bool:
            assert (url, who) == ("postgresql://x", "ada")
            return lifted

        monkeypatch.setattr(commands, "restore", restore)
        result = run("admin", "restore", "ada", EYELINE_DATABASE_URL="postgresql://x")
        if lifted:
            assert (result.exit_code, result.stdout) == (0, "ada may sign in again.\n")
        else:
            assert one_line(result) == "nobody by the name or id ada is suspended"

    def test_there_are_three_roles(self, run: Run) -> None:
        assert run("admin", "grant", "ada", "king").exit_code == 2


def test_benchmarks_need_a_checkout(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "server" / "cli.py"))
    assert "run this from a checkout" in one_line(run("bench"))


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from server.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted({'aiohttp', 'asyncpg', 'av', 'redis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
