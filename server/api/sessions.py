"""Signing in, staying signed in, signing out: `/v1/sessions`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from server.accounts import Account, Accounts
from server.auth import AccessTokens, SignIn, Unauthorized, new_refresh_token, refresh_hash
from server.errors import invalid_body, not_found, unauthorized
from server.http_messages import RefreshBody, SessionReply, SessionsReply, SessionView, SignInBody
from server.routing import Exchange, Route
from server.views import UserView, timestamp

SessionEnded = Callable[[UUID], Awaitable[None]]


class SessionsApi:
    """A session is one sign-in on one device. `on_ended` is awaited after a session's end was committed."""

    def __init__(
        self, accounts: Accounts, tokens: AccessTokens, providers: Mapping[str, SignIn], on_ended: SessionEnded
    ) -> None:
        """`providers`: the sign-in providers that are switched on, by the contract's name."""
        self._accounts = accounts
        self._tokens = tokens
        self._providers = providers
        self._on_ended = on_ended

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/v1/sessions",
                self.sign_in,
                body=SignInBody,
                reply=SessionReply,
                status=201,
                auth="none",
                limit="sign_in",
                errors=("unauthorized",),
                no_store=True,
                summary="Sign in on a device",
            ),
            Route(
                "POST",
                "/v1/sessions/refresh",
                self.refresh,
                body=RefreshBody,
                reply=SessionReply,
                auth="none",
                limit="sign_in",
                errors=("unauthorized",),
                no_store=True,
                summary="Exchange a refresh token for a new pair of tokens",
            ),
            Route("GET", "/v1/sessions", self.mine, reply=SessionsReply, summary="My sessions, newest first"),
            Route(
                "DELETE",
                "/v1/sessions/{id}",
                self.end,
                status=204,
                errors=("not_found",),
                while_suspended=True,
                summary="End a session of mine, or the `current` one",
            ),
        ]

    async def sign_in(self, exchange: Exchange[SignInBody]) -> SessionReply:
        body = exchange.body
        provider = self._providers.get(body.provider)
        if provider is None:
            raise invalid_body("provider", "is not switched on here")
        try:
            identity = await provider.identify(body.token)
        except Unauthorized:
            raise unauthorized() from None
        token = new_refresh_token()
        session_id = await self._accounts.sign_in(
            provider=identity.provider,
            subject=identity.subject,
            display_name=identity.display_name,
            device_id=body.device.id,
            platform=body.device.platform,
            refresh_hash=refresh_hash(token),
        )
        if identity.languages and (found := await self._accounts.by_session(session_id)) is not None:
            await self._accounts.change(found[1].id, {"languages": list(identity.languages)})
        return await self._pair(session_id, token)

    async def refresh(self, exchange: Exchange[RefreshBody]) -> SessionReply:
        token = new_refresh_token()
        rotation = await self._accounts.rotate(
            shown_hash=refresh_hash(exchange.body.refresh_token),
            successor_hash=refresh_hash(token),
            device_id=exchange.body.device_id,
        )
        if rotation.session_id is None:
            raise unauthorized()
        if rotation.ended:
            await self._on_ended(rotation.session_id)
            raise unauthorized()
        return await self._pair(rotation.session_id, token)

    async def mine(self, exchange: Exchange[None]) -> SessionsReply:
        current = exchange.caller.session_id
        found = await self._accounts.sessions(exchange.caller.user_id)
        views = [
            SessionView(
                id=session.id,
                device_id=session.device_id,
                platform=session.platform,
                created_at=timestamp(session.created_at),
                seen_at=timestamp(session.seen_at),
                current=session.id == current,
            )
            for session in found
        ]
        return SessionsReply(views)

    async def end(self, exchange: Exchange[None]) -> None:
        caller = exchange.caller
        session_id = caller.session_id if exchange.path["id"] == "current" else exchange.uuid("id")
        if not await self._accounts.end_session(caller.user_id, session_id):
            raise not_found()
        await self._on_ended(session_id)

    async def _pair(self, session_id: UUID, refresh_token: str) -> SessionReply:
        found = await self._accounts.by_session(session_id)
        if found is None:  # ended between the two transactions
            raise unauthorized()
        account = found[1]
        access = self._tokens.issue(account.id, session_id)
        return SessionReply(
            access_token=access.token,
            expires_at=timestamp(access.expires_at),
            refresh_token=refresh_token,
            session_id=session_id,
            user=user_view(account),
        )


def user_view(account: Account) -> UserView:
    """The person as they see themselves."""
    return UserView(
        id=account.id,
        role=account.role,
        admin_roles=list(account.admin_roles),
        display_name=account.display_name,
        languages=list(account.languages),
        time_zone=account.time_zone,
        status=account.status,
    )
