"""The command `eyeline` and all it can do. Every failure is one line and a non-zero code.

Modules are imported inside the commands, so that `--help` and a wrong option answer at once.
"""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Coroutine
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Literal, TypeVar
from uuid import UUID

import click

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_DATA = Path(".eyeline")
READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Failure(click.ClickException):
    """Printed as one line on stderr; exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"eyeline: {' '.join(self.message.split())}", file=file or sys.stderr)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="eyeline")
def main() -> None:
    """Eyeline connects a person who cannot see something right now with a volunteer who can, by live video."""


@main.command()
def serve() -> None:
    """Run one node with the settings of the environment (docs/operations.md)."""
    import uvloop

    from server import app
    from server.settings import Settings, SettingsError

    try:
        uvloop.run(app.serve(Settings.from_env(os.environ)))
    except SettingsError as error:
        raise Failure(str(error)) from error
    except app.FAILURES as error:
        raise Failure(_outside(error)) from error


@main.command()
def migrate() -> None:
    """Bring the database at EYELINE_DATABASE_URL to this version's schema."""
    from server import commands

    _with_database(commands.migrate(_database_url()))
    click.echo("The schema is up to date.")


@main.command()
@click.option("--trust", type=READABLE, help="Trust this certificate, or CA, of TURN servers too (PEM).")
@click.option(
    "--deadline", "deadline_s", default=5.0, show_default=True, type=click.FloatRange(0.1, 600), help="Seconds."
)
def doctor(trust: Path | None, deadline_s: float) -> None:
    """Ask everything the settings of the environment name whether it is well: Postgres, Valkey, each TURN URL.

    A line for each, which says what to do where something is not; fails when anything is not.
    """
    from server import commands
    from server.settings import Settings, SettingsError

    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        raise Failure(str(error)) from error
    if not asyncio.run(commands.doctor(settings, trust, deadline_s, click.echo)):
        raise Failure("not everything is well")


@main.command()
def keys() -> None:
    """Make the key pair by which push services know this installation, as a line for its settings.

    Made once: with another pair no browser that subscribed before can be woken.
    """
    from server import commands

    private, public = commands.make_keys()
    click.echo(f"# The public key, for whoever asks: {public}")
    click.echo(f"EYELINE_VAPID_PRIVATE_KEY={private}")


@main.command()
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535), help="Port of the first node.")
@click.option("--nodes", default=1, show_default=True, type=click.IntRange(1, 16), help="Nodes, on ports P, P+1, ...")
@click.option(
    "--data",
    default=DEFAULT_DATA,
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the engines keep their data.",
)
@click.option("--fresh", is_flag=True, help="Throw the engines' data away first.")
@click.option("--demo/--no-demo", default=True, help="Demo accounts and a demo volunteer.  [default: demo]")
@click.option("--lan", is_flag=True, help="Serve https to this network and print the requester page as a QR code.")
def dev(port: int, nodes: int, data: Path, fresh: bool, demo: bool, lan: bool) -> None:
    """Run everything on this machine: Postgres, Valkey, nodes, a demo volunteer."""
    from server import commands
    from server.dev import DevError, DevOptions

    options = DevOptions(port=port, nodes=nodes, data=data.absolute(), fresh=fresh, demo=demo, lan=lan)
    try:
        asyncio.run(commands.develop(options, _say))
    except DevError as error:
        raise Failure(str(error)) from error


@main.command()
@click.option("--as", "role", required=True, type=click.Choice(["requester", "volunteer"]), help="Which side to be.")
@click.option("--lang", default="en", show_default=True, help="Language of the call (BCP 47).")
@click.option("--media", type=READABLE, help="Send this file instead.")
@click.option("--url", default=DEFAULT_URL, show_default=True, help="Any node.")
@click.option("--wait", "wait_s", default=60.0, show_default=True, help="Seconds to wait for the other side.")
@click.option("--trust", type=READABLE, help="Trust this certificate too (dev --lan: .eyeline/lan/certificate.pem).")
def call(
    role: Literal["requester", "volunteer"], lang: str, media: Path | None, url: str, wait_s: float, trust: Path | None
) -> None:
    """Make a complete call from this terminal and print its timeline; fails when no frame came."""
    from server import commands

    placing = commands.call(url, role, language=lang, media=media, wait_s=wait_s, trusted=trust, say=click.echo)
    if not asyncio.run(placing):
        raise Failure("no frame came")


@main.command()
@click.option("--url", required=True, help="The public address of the deployment.")
@click.option("--every", "every_s", default=60.0, show_default=True, type=click.FloatRange(5, 86_400), help="Seconds.")
@click.option("--once", is_flag=True, help="One round; fails when a call did.")
@click.option("--port", default=9464, show_default=True, type=click.IntRange(0, 65535), help="Of /metrics; 0: none.")
@click.option("--trust", type=READABLE, help="Trust this certificate too.")
def probe(url: str, every_s: float, once: bool, port: int, trust: Path | None) -> None:
    """Make whole calls as two people of our own, again and again: as an app would, then through each TURN URL.

    Prints a line of JSON per round and has each step's time for Prometheus. Needs EYELINE_PROBE_SECRET, the nodes' own.
    """
    from server import commands

    secret = os.environ.get("EYELINE_PROBE_SECRET")
    if not secret:
        raise Failure("bad settings: EYELINE_PROBE_SECRET: not set")
    again = None if once else every_s
    running = commands.probe(url, secret, every_s=again, metrics_port=port or None, trusted=trust, say=_say)
    with suppress(KeyboardInterrupt):
        if not asyncio.run(running):
            raise Failure("a call did not go through")


@main.group()
def admin() -> None:
    """Who may do what on the admin page, and who may not come in at all."""


@admin.command()
@click.argument("who", metavar="NAME-OR-ID")
@click.argument("role", type=click.Choice(["observer", "moderator", "owner"]))
def grant(who: str, role: Literal["observer", "moderator", "owner"]) -> None:
    """Give an admin role to a person who has signed in before, by id or by dev sign-in name."""
    from server import commands

    if not _with_database(commands.grant(_database_url(), who, role)):
        raise Failure(f"nobody by the name or id {who} has signed in yet")
    click.echo(f"{who} is now {role}.")


@admin.command()
@click.argument("who", metavar="NAME-OR-ID")
@click.option("--reason", help="For moderators: why, at most 500 characters.")
def suspend(who: str, reason: str | None) -> None:
    """End all sessions of a person and keep them out, also under new accounts on their devices.

    Their sockets are closed at once when EYELINE_VALKEY_URL is set.
    """
    from server import commands

    if reason is not None and not 1 <= len(reason) <= 500:
        raise Failure("--reason takes 1 to 500 characters")
    told = _with_database(commands.suspend(_database_url(), _valkey_url(), who, reason))
    if told is None:
        raise Failure(f"nobody by the name or id {who} has signed in yet")
    click.echo(f"{who} is suspended." if told else f"{who} is suspended; nodes notice it within seconds.")


@admin.command()
@click.argument("who", metavar="NAME-OR-ID")
def restore(who: str) -> None:
    """Lift a suspension; they sign in anew."""
    from server import commands

    if not _with_database(commands.restore(_database_url(), who)):
        raise Failure(f"nobody by the name or id {who} is suspended")
    click.echo(f"{who} may sign in again.")


@admin.group()
def desk() -> None:
    """Desks of organisations: help of their own, in their hours and languages."""


@desk.command("add")
@click.argument("name")
@click.option("--language", "languages", multiple=True, required=True, help="BCP 47; may be repeated.")
@click.option("--zone", required=True, help="IANA time zone of the hours, such as Europe/Copenhagen.")
@click.option("--hours", multiple=True, required=True, help='Such as "1-5 08:00-16:00", 1 is Monday; may be repeated.')
def add_desk(name: str, languages: tuple[str, ...], zone: str, hours: tuple[str, ...]) -> None:
    """Make a desk; prints its id."""
    from server import commands, desk_commands

    try:
        wish = desk_commands.desk_wish(name, languages, zone, hours)
    except ValueError as error:
        raise Failure(str(error)) from error
    click.echo(_with_database(desk_commands.make(commands.open_desks(_database_url()), wish)))


@desk.command("list")
def list_desks() -> None:
    """Print all desks, and whether they are open."""
    from server import commands, desk_commands

    for line in _with_database(desk_commands.listed(commands.open_desks(_database_url()))):
        click.echo(line)


@desk.command("invite")
@click.argument("desk_id", metavar="DESK", type=click.UUID)
def invite_to_desk(desk_id: UUID) -> None:
    """Print a code that makes the volunteer who enters it an agent of the desk."""
    from server import commands, desk_commands

    code = _with_database(desk_commands.invite(commands.open_desks(_database_url()), desk_id))
    if code is None:
        raise Failure("there is no such desk, or too many of its codes are open")
    click.echo(code)


@desk.command("retire")
@click.argument("desk_id", metavar="DESK", type=click.UUID)
def retire_desk(desk_id: UUID) -> None:
    """Retire a desk for good; its agents and codes are forgotten."""
    from server import commands, desk_commands

    if not _with_database(desk_commands.retire(commands.open_desks(_database_url()), desk_id)):
        raise Failure("there is no such desk")
    click.echo("The desk is retired.")


@main.command()
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same world, and the same figures.")
@click.option("--requests", default=5000, show_default=True, type=click.IntRange(1, 1_000_000), help="Requests a run.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures for a program.")
@click.option(
    "--plots", type=click.Path(file_okay=False, path_type=Path), help="Draw pictures (PNG) into this folder too."
)
def simulate(seed: int, requests: int, as_json: bool, plots: Path | None) -> None:
    """Compare ways of asking volunteers, ours and others, in the same simulated days of requests.

    Takes minutes, on all cores.
    """
    if plots is not None:
        if find_spec("matplotlib") is None:
            raise Failure("pictures need matplotlib: pip install 'eyeline[plots]'")
        try:
            plots.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failure(f"cannot write to {plots}: {error.strerror or error}") from error
    from server import commands

    commands.simulate(seed, requests, as_json=as_json, plots=plots, say=click.echo, on_step=_say_if_watched)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure latency and throughput on this machine (from a checkout of the project)."""
    root = Path(__file__).resolve().parents[1]
    if not (root / "tests" / "bench" / "__main__.py").is_file():
        raise Failure("the benchmarks come with the project's source; run this from a checkout")
    done = subprocess.run([sys.executable, "-m", "tests.bench", *arguments], cwd=root, check=False)
    sys.exit(done.returncode)


def _say_if_watched(line: str) -> None:
    """How far a long command has come, for somebody at a terminal."""
    if sys.stderr.isatty():
        click.echo(line, err=True)


def _say(line: str) -> None:
    """Print a line; when nobody reads any more (`eyeline dev | head`), the nodes go on all the same."""
    with suppress(BrokenPipeError):
        click.echo(line)


def _database_url() -> str:
    url = os.environ.get("EYELINE_DATABASE_URL")
    if not url:
        raise Failure("bad settings: EYELINE_DATABASE_URL: not set")
    return url


def _valkey_url() -> str | None:
    """For what nodes are told; done without when it is not set."""
    from environs import ValidationError

    from server.setting_checks import scheme
    from server.settings import VALKEY_SCHEMES

    url = os.environ.get("EYELINE_VALKEY_URL")
    if not url:
        return None
    try:
        scheme(*VALKEY_SCHEMES)(url)
    except ValidationError as error:
        raise Failure(f"bad settings: EYELINE_VALKEY_URL: {error}") from error
    return url


def _with_database(work: Coroutine[Any, Any, T]) -> T:
    from server import app

    try:
        return asyncio.run(work)
    except app.FAILURES as error:
        raise Failure(_outside(error)) from error


def _outside(error: BaseException) -> str:
    """What the outside world did, in one line: a port that is taken, an engine that does not answer."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"cannot listen: {error.strerror or error}; choose another port with EYELINE_PORT"
    words = (str(error).strip().splitlines() or [""])[0]
    return f"cannot run: {type(error).__name__}{': ' if words else ''}{words}"


if __name__ == "__main__":
    main()
