"""Google's own Firebase Auth emulator as a child process, and an app's and an operator's calls to it."""

from __future__ import annotations

import json
import shutil
import signal
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import aiohttp

from infra.embedded.child import Child, free_port

FOLDER = Path(__file__).resolve().parent
PROGRAM = FOLDER / "node_modules" / "firebase-tools" / "lib" / "bin" / "firebase.js"
PROJECT = "demo-eyeline"
"""The emulator never turns to Google about a project whose name begins so."""
READY_S = 60.0
PASSWORD = "correct horse"


class EmulatorMissing(AssertionError):
    """`make test-firebase` installs it."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What an app gets when its user signed in: who that is, and the ID token to show."""

    uid: str
    id_token: str


class Emulator:
    """One emulator on free ports of loopback; nothing is kept when it stops."""

    def __init__(self, folder: Path) -> None:
        """`folder`: empty; for its configuration and its logs."""
        node = shutil.which("node")
        if node is None or not PROGRAM.is_file():
            raise EmulatorMissing("run `make test-firebase`")
        port = free_port()
        self.host = f"127.0.0.1:{port}"
        """The value of FIREBASE_AUTH_EMULATOR_HOST."""
        self._api = f"http://{self.host}/identitytoolkit.googleapis.com/v1"
        config = folder / "firebase.json"
        config.write_text(json.dumps({"emulators": _emulators(port)}))
        # With CI set it asks nobody for its message of the day; without a home it finds no login of somebody's.
        environment = ["CI=1", "NO_UPDATE_NOTIFIER=1", f"HOME={folder}", f"XDG_CONFIG_HOME={folder}"]
        start = [node, str(PROGRAM), "emulators:start", "--only", "auth", "--project", PROJECT, "--config", str(config)]
        # It writes its debug log to the directory it was started in.
        argv = ["sh", "-c", 'cd "$0" && exec "$@"', str(folder), "env", *environment, *start]
        self._child = Child("the Firebase emulator", argv, folder / "emulator.log", stop_signal=signal.SIGTERM)
        self._child.wait_until(self._answers, timeout_s=READY_S)

    def stop(self) -> None:
        self._child.stop()

    # -- what an app does

    async def guest(self) -> SignedIn:
        return await self._sign("signUp", {})

    async def sign_up(self, email: str) -> SignedIn:
        return await self._sign("signUp", {"email": email, "password": PASSWORD})

    async def sign_in(self, email: str) -> SignedIn:
        return await self._sign("signInWithPassword", {"email": email, "password": PASSWORD})

    async def link(self, guest: SignedIn, email: str) -> SignedIn:
        """The guest gives an e-mail address and a password."""
        return await self._sign("signUp", {"idToken": guest.id_token, "email": email, "password": PASSWORD})

    # -- what an operator does

    async def disable(self, user: SignedIn) -> None:
        await self._administer("update", {"localId": user.uid, "disableUser": True})

    async def revoke(self, user: SignedIn) -> None:
        """End every session: tokens given so far are good no more."""
        await self._administer("update", {"localId": user.uid, "validSince": str(int(time.time()) + 1)})

    async def delete(self, user: SignedIn) -> None:
        await self._administer("delete", {"localId": user.uid})

    async def _sign(self, call: str, body: dict[str, Any]) -> SignedIn:
        said = await self._post(f"{self._api}/accounts:{call}?key=any", {**body, "returnSecureToken": True})
        return SignedIn(said["localId"], said["idToken"])

    async def _administer(self, call: str, body: dict[str, Any]) -> None:
        await self._post(f"{self._api}/projects/{PROJECT}/accounts:{call}", body, Authorization="Bearer owner")

    async def _post(self, url: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        async with aiohttp.ClientSession() as client, client.post(url, json=body, headers=headers) as reply:
            said: dict[str, Any] = await reply.json()
            assert reply.status == 200, said
            return said

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}/", timeout=2) as reply:
                return bool(reply.status == 200)
        except (URLError, OSError):
            return False


def _emulators(port: int) -> dict[str, Any]:
    """The emulator's configuration; what it starts besides gets free ports too, so that several can run."""
    others = {name: {"host": "127.0.0.1", "port": free_port()} for name in ("hub", "logging")}
    return {"auth": {"host": "127.0.0.1", "port": port}, **others, "ui": {"enabled": False}}
