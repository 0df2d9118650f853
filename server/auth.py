"""Who is calling: access tokens (short JWTs, RFC 7519), refresh tokens, and the port to sign-in providers."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import jwt

from matching.languages import PROBE_LANGUAGE
from server.accounts import ADMIN_ROLES, Account, Accounts, AdminRole, LiveSession, Role, Status

ALGORITHM = "HS256"
ISSUER = "eyeline"
AUDIENCE = "eyeline"
REFRESH_TOKEN_BYTES = 32
TOKEN_CHARS_MAX = 8 * 1024
DEV_NAME_CHARS_MAX = 80
PROBE_TOKEN_S = 60
"""How old a probe's token may be, and how far ahead its clock."""


class Unauthorized(Exception):
    """The token is missing, wrong or expired, or its session has ended: refresh, or sign in."""


class Forged(Unauthorized):
    """The token was never one of ours. An honest client shows an expired one now and then, and never this."""


class Suspended(Exception):
    """The token is good and the account is suspended; `caller` may still be shown who they are."""

    def __init__(self, caller: Caller) -> None:
        super().__init__("suspended")
        self.caller = caller


@dataclass(frozen=True, slots=True)
class Caller:
    """The person and the session behind one call or one socket, as of when the token was shown."""

    user_id: UUID
    session_id: UUID
    device_id: str
    role: Role | None
    status: Status
    admin_roles: tuple[str, ...]
    languages: tuple[str, ...]
    time_zone: str
    display_name: str | None
    token_expires_at: datetime

    @property
    def is_probe(self) -> bool:
        """Nobody else speaks their language. They stay among themselves."""
        return self.languages == (PROBE_LANGUAGE,)

    def may(self, role: AdminRole) -> bool:
        """Whether an admin role of theirs covers `role`: an owner may what a moderator may, and so on."""
        return any(held in self.admin_roles for held in ADMIN_ROLES[ADMIN_ROLES.index(role) :])


@dataclass(frozen=True, slots=True)
class Identity:
    """What a sign-in provider says of the owner of a token: a subject that stays the same for ever."""

    provider: str
    subject: str
    display_name: str | None = None
    languages: tuple[str, ...] = ()
    """What they speak from now on, where that is not theirs to choose."""


class SignIn(Protocol):
    """A sign-in provider."""

    async def identify(self, token: str) -> Identity:
        """Raises `Unauthorized` for a token that is not good."""


class DevSignIn:
    """Believes any name. For one's own machine and for tests only."""

    async def identify(self, token: str) -> Identity:
        name = " ".join(token.split())
        if not name or len(name) > DEV_NAME_CHARS_MAX or not name.isprintable():
            raise Unauthorized
        return Identity("dev", name, display_name=name)


class ProbeSignIn:
    """`<name>.<Unix time>.<HMAC-SHA256 of what is before>` by a secret of ours, good for a minute: people of
    `eyeline probe`, who meet one another only."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    async def identify(self, token: str) -> Identity:
        signed, _, proof = token.rpartition(".")
        expected = hmac.new(self._secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(proof.encode(), expected.encode()):
            raise Unauthorized
        name, _, signed_at = signed.rpartition(".")
        if not signed_at.isdecimal() or abs(self._clock() - int(signed_at)) > PROBE_TOKEN_S:
            raise Unauthorized
        return Identity("probe", name, languages=(PROBE_LANGUAGE,))


class FirebaseUids(Protocol):
    """A Firebase project; `infra.firebase.sign_in.FirebaseSignIn`."""

    async def uid_of(self, token: str) -> str | None:
        """The user who owns an ID token; None when it is not good. Raises when Firebase cannot be asked."""


class FirebaseProvider:
    """ID tokens of a Firebase project. A guest who later adds an e-mail address keeps the uid: the same person."""

    def __init__(self, uids: FirebaseUids) -> None:
        self._uids = uids

    async def identify(self, token: str) -> Identity:
        uid = await self._uids.uid_of(token)
        if uid is None:
            raise Unauthorized
        return Identity("firebase", uid)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token to hand out, and when it ends."""

    token: str
    expires_at: datetime


class AccessTokens:
    """Makes and reads access tokens: `sub` the session's person, `sid` the session."""

    def __init__(self, secret: str, life_s: float, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._life_s = life_s
        self._clock = clock

    def issue(self, user_id: UUID, session_id: UUID) -> AccessToken:
        now = self._clock()
        # Whole seconds, rounded up: the claim has no fractions, and the token lives no shorter than promised.
        expires = -int(-(now + self._life_s) // 1)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": int(now),
            "exp": expires,
        }
        token = jwt.encode(claims, self._secret, algorithm=ALGORITHM)
        return AccessToken(token, datetime.fromtimestamp(expires, UTC))

    def read(self, token: str) -> tuple[UUID, UUID, datetime]:
        """(person, session, end of the token). Raises `Unauthorized`, or more exactly `Forged`."""
        if len(token) > TOKEN_CHARS_MAX:
            raise Forged
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Expiry is judged below by our own clock.
                options={"require": ["sub", "sid", "exp", "iat"], "verify_exp": False, "verify_iat": False},
            )
            return self._checked(claims)
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
            raise Forged from error

    def _checked(self, claims: dict[str, Any]) -> tuple[UUID, UUID, datetime]:
        if claims["exp"] <= self._clock():
            raise Unauthorized
        return UUID(claims["sub"]), UUID(claims["sid"]), datetime.fromtimestamp(claims["exp"], UTC)


class Authenticator:
    """Turns an access token into the caller. Reads the session from Postgres each time: an end is an end at once."""

    def __init__(self, tokens: AccessTokens, accounts: Accounts, seen: Callable[[UUID], None]) -> None:
        """`seen`: any authenticated call counts as the session being seen; must be cheap."""
        self._tokens = tokens
        self._accounts = accounts
        self._seen = seen

    async def authenticate(self, token: str) -> Caller:
        """Raises `Unauthorized` or `Suspended`."""
        user_id, session_id, expires_at = self._tokens.read(token)
        found = await self._accounts.by_session(session_id)
        if found is None or found[1].id != user_id:
            raise Unauthorized
        caller = _caller(*found, expires_at)
        if caller.status == "suspended":
            raise Suspended(caller)
        self._seen(session_id)
        return caller


def _caller(session: LiveSession, account: Account, token_expires_at: datetime) -> Caller:
    return Caller(
        user_id=account.id,
        session_id=session.id,
        device_id=session.device_id,
        role=account.role,
        status=account.status,
        admin_roles=account.admin_roles,
        languages=account.languages,
        time_zone=account.time_zone,
        display_name=account.display_name,
        token_expires_at=token_expires_at,
    )


def new_refresh_token() -> str:
    return secrets.token_urlsafe(REFRESH_TOKEN_BYTES)


def refresh_hash(token: str) -> bytes:
    """What is stored of a refresh token. It is random and long, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).digest()
