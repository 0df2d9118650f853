"""Says whose a Firebase ID token is: firebase-admin's verification, in threads of its own, within a deadline.

The SDK blocks: 1.5 ms with cached certificates, and a call to Google to learn whether the token was revoked or its
user disabled. Only the user's id is taken from the token: names and addresses in it are none of our business.
"""

from __future__ import annotations

import asyncio
import binascii
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import firebase_admin
from firebase_admin import auth, credentials
from firebase_admin.exceptions import FirebaseError, PermissionDeniedError, UnauthenticatedError
from google.auth.exceptions import GoogleAuthError
from prometheus_client import Counter

from infra.firebase.unavailable import SignInUnavailable

WITHIN_S = 5.0
"""From being asked to the answer, waiting for a thread included."""
THREADS = 8
WAITING_MAX = 256
"""Sign-ins asked about at once; more are turned away at once, as those in front of them take all the time there is."""
TOKEN_CHARS_MAX = 8 * 1024
CLOCK_SKEW_S = 5
"""How much our clock may differ from Google's."""
EMULATOR_HOST = "FIREBASE_AUTH_EMULATOR_HOST"
_SOCKET_S = 2
"""For each step of each HTTP call: abandoned threads are soon free again."""
_SHAPE = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
"""RFC 7519, section 3. The signature is empty in the emulator's tokens."""

sign_ins = Counter("eyeline_firebase_sign_ins_total", "ID tokens shown, by what became of them", ["result"])


class CertificatesUnavailable(SignInUnavailable):
    """The certificates that Google signs ID tokens with cannot be had."""


class LookupUnavailable(SignInUnavailable):
    """Google does not say whether a token was revoked, or gives us no access token to ask with."""


class LookupRefused(SignInUnavailable):
    """Google refuses our service account: is it of this project, and may it read users?"""


class TooManySignIns(SignInUnavailable):
    """More people are signing in than Google answers for."""


class FirebaseSignIn:
    """The users of one Firebase project. Any number of tokens may be asked about at once."""

    def __init__(self, project: str, key_file: Path | None, *, emulator: bool = False) -> None:
        """`key_file`: of a service account that may read the project's users; the emulator needs none.

        `emulator`: whether tokens may be believed without a signature when the emulator's variable is set. Raises
        ValueError when it is set and they may not, OSError or ValueError when the file is no service account's key.
        """
        emulated = bool(os.environ.get(EMULATOR_HOST))
        if emulated and not emulator:
            raise ValueError(f"{EMULATOR_HOST} is set: anyone could sign in as anyone")
        if key_file is None and not emulated:
            raise ValueError("a service account's key file is needed")
        credential = credentials.Certificate(str(key_file)) if key_file is not None else None
        options = {"projectId": project, "httpTimeout": _SOCKET_S}
        # A name of its own: the default app may be somebody else's.
        self._app = firebase_admin.initialize_app(credential, options, name=f"eyeline-sign-in-{uuid4().hex}")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="firebase-sign-in")
        self._asked = 0

    async def uid_of(self, token: str) -> str | None:
        """The Firebase user who owns an ID token; None when it is not good, or not good any more.

        Not good: malformed, over 8 KiB, of another project, not signed by Google, expired or not yet valid (give or
        take 5 s), revoked, or its user disabled or deleted. Raises `SignInUnavailable` within 5 s.
        """
        try:
            uid, result = await self._answer(token)
        except SignInUnavailable:
            sign_ins.labels("unavailable").inc()
            raise
        sign_ins.labels(result).inc()
        return uid

    async def close(self) -> None:
        """Who still waits for an answer gets `CancelledError`. Threads in a call end by its own time limits."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        firebase_admin.delete_app(self._app)

    async def _answer(self, token: str) -> tuple[str | None, str]:
        if len(token) > TOKEN_CHARS_MAX or not _SHAPE.fullmatch(token):
            return None, "malformed"
        if self._asked >= WAITING_MAX:
            raise TooManySignIns
        self._asked += 1
        try:
            async with asyncio.timeout(WITHIN_S):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._verify, token)
        except TimeoutError:
            raise LookupUnavailable("no answer in time") from None
        finally:
            self._asked -= 1

    def _verify(self, token: str) -> tuple[str | None, str]:
        """(user id, what to count). Blocks. The SDK's errors quote tokens: none is passed on, not even as a cause."""
        try:
            claims: dict[str, Any] = auth.verify_id_token(
                token, self._app, check_revoked=True, clock_skew_seconds=CLOCK_SKEW_S
            )
        except auth.CertificateFetchError:
            raise CertificatesUnavailable from None
        except auth.InvalidIdTokenError as error:
            if not _is_about_the_token(error):
                raise CertificatesUnavailable from None
            return None, _REFUSALS.get(type(error), "not good")
        except (auth.UserDisabledError, auth.UserNotFoundError) as error:
            return None, _REFUSALS[type(error)]
        except (PermissionDeniedError, UnauthenticatedError):
            raise LookupRefused from None
        except (FirebaseError, GoogleAuthError) as error:
            raise LookupUnavailable(type(error).__name__) from None
        except RecursionError:
            return None, "malformed"  # JSON nested a thousand deep
        return str(claims["uid"]), "good"


def _is_about_the_token(error: Any) -> bool:
    """The SDK takes certificates it cannot read (a proxy's error page, say) for a bad token."""
    return error.cause is None or isinstance(error.cause, GoogleAuthError | binascii.Error)


_REFUSALS = {
    auth.ExpiredIdTokenError: "expired",
    auth.RevokedIdTokenError: "revoked",
    auth.UserDisabledError: "disabled",
    auth.UserNotFoundError: "deleted",
}
