"""A node's settings: read once from the environment, checked together, handed on as one frozen value.

Every setting is an environment variable `EYELINE_...`; `docs/operations.md` has the table. An empty variable counts as
not set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from environs import Env, EnvValidationError, ValidationError

from server.setting_checks import (
    base_url,
    between,
    file,
    firebase_project,
    host_and_port,
    long_enough,
    network,
    one_of,
    origin,
    scheme,
    service_account,
    vapid_private_key,
    vapid_subject,
)

PREFIX = "EYELINE_"
EMULATOR_HOST = "FIREBASE_AUTH_EMULATOR_HOST"
"""Google's own variable, read by its SDK: with it, tokens are believed without a signature."""
VALKEY_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
YEAR_S = 366 * 86_400
HEARTBEAT_S_MAX = 5.0
"""Absence is judged from 10 s of silence on: a slower heartbeat would make everybody absent."""


_Rule = tuple[Any, str, str, str]
"""What is truthy when it is broken, whose fault that is, the other variable that must be good itself, the sentence."""


class SettingsError(Exception):
    """Some settings are missing or wrong; `problems` has one sentence per environment variable."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("bad settings: " + "; ".join(f"{name}: {problem}" for name, problem in self.problems.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a node is told from outside. Names ending in `_s` are seconds."""

    database_url: str = field(repr=False)
    valkey_url: str = field(repr=False)
    token_secret: str = field(repr=False)
    """Signs access tokens; at least 32 characters, the same on every node."""
    host: str = "127.0.0.1"
    port: int = 8080
    dev_sign_in: bool = False
    """Whether `{"provider": "dev", "token": <any name>}` signs in. Never in production."""
    probe_secret: str | None = field(default=None, repr=False)
    """By which `eyeline probe` signs in; at least 32 characters."""
    environment: Literal["production", "development"] = "production"
    """`production` refuses what lets strangers in or sends pushes astray."""
    origins: tuple[str, ...] = ()
    """Origins besides the node's own whose pages may open a socket."""
    request_deadline_s: float = 180.0
    offer_s: float = 30.0
    connecting_s: float = 15.0
    grace_s: float = 30.0
    heartbeat_s: float = 5.0
    frame_rate: int = 50
    """Frames a socket may send per second on average; four seconds' worth may come at once."""
    waves: Literal["adaptive", "fixed", "be_my_eyes_2015"] = "adaptive"
    """How it is decided how many more people to ask."""
    wave_size: int = 10
    """Of fixed waves, as the interval."""
    wave_interval_s: float = 10.0
    wave_horizon_s: float = 10.0
    """Adaptive waves: how soon an answer is to be likely."""
    wave_first_target: float = 0.65
    """How likely, to begin with."""
    wave_last_target: float = 0.95
    """How likely after `wave_grows_s`."""
    wave_grows_s: float = 40.0
    answer_median_s: float = 8.0
    """Half of those who answer do within this: by `answer_sigma` the delays are lognormal."""
    answer_sigma: float = 0.7
    chance_hot: float = 0.45
    """That somebody who said ready answers, until more is learned."""
    chance_cold: float = 0.17
    chance_idle: float = 0.05
    chance_weight: float = 20.0
    """So many offers have to disagree with that to be believed half."""
    chance_half_life_days: float = 14.0
    """What was learned so long ago counts half."""
    cooldown_s: float = 60.0
    """How long somebody who said not now, or ignored an offer, is left alone."""
    cooldown_growth: float = 4.0
    """So many times longer for each further offer ignored in a row."""
    cooldown_most_s: float = 86_400.0
    weekly_rings: int = 30
    """How often somebody's closed app is rung in a week; whoever says they are ready is asked all the same."""
    next_language_s: float = 20.0
    """How long the most wanted language is asked alone; each further one opens so much later."""
    group_first_s: float = 30.0
    """When a request for a group opens to everyone, should its requester not have said."""
    same_person_s: float = 12.0
    """How long whoever helped a moment ago is asked alone."""
    keep_hot_s: float = 180.0
    """How long somebody who said yes a moment too late is taken to be there."""
    callback_s: float = 86_400.0
    """After so long a requester is not told any more that somebody is free."""
    callback_reserved_s: float = 60.0
    """How long nobody else is told of the same person that they are free."""
    wrap_up_s: float = 5.0
    delivery_s: float = 1.5
    """How long an offer may stay unacknowledged before its delivery counts as failed."""
    stun_urls: tuple[str, ...] = ()
    turn_urls: tuple[str, ...] = ()
    turn_secret: str | None = field(default=None, repr=False)
    """Shared with the TURN server (coturn's `static-auth-secret`)."""
    turn_relay_nets: tuple[str, ...] = ()
    """Networks (CIDR) that the TURN servers give relayed addresses from: with `relay` no other candidate passes."""
    ice_policy: Literal["relay", "all"] = "all"
    """Becomes `relay` as soon as there are TURN servers: strangers then never learn each other's address."""
    ice_lifetime_s: float = 300.0
    practice_calls: int = 3
    """At once on this node; one takes up to half a core."""
    access_token_s: float = 900.0
    shards: int = 1
    """Of the volunteer index; the same on every node."""
    database_pool: int = 10
    log_format: Literal["json", "console"] = "json"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    firebase_project: str | None = None
    firebase_credentials: Path | None = None
    """Key file of a service account of the project."""
    firebase_sign_in: bool = False
    """Whether the project's ID tokens sign in. Becomes true with its credentials, unless it is said to be false."""
    fcm_url: str = "https://fcm.googleapis.com"
    vapid_private_key: str | None = field(default=None, repr=False)
    """32 bytes in base64url; the public key is derived from it."""
    vapid_subject: str | None = None
    """Whom push services may write to about our pushes (RFC 8292, section 2.1)."""
    webpush_via: str | None = None
    """Every web push goes to `<this>/<host of the endpoint>/...` instead. For development."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read and check all variables; raises `SettingsError` naming every bad one."""
        env = _MappingEnv(environ)
        with env.prefixed(PREFIX):
            values = _read(env)
        problems: dict[str, str] = {}
        try:
            env.seal()
        except EnvValidationError as error:
            messages = cast("Mapping[str, Any]", error.error_messages)
            problems = {name: _sentence(texts) for name, texts in messages.items()}
        problems |= _relations(values, problems)
        problems |= _emulation(values, environ, problems)
        if problems:
            raise SettingsError(problems)
        return cls(**values)


class _MappingEnv(Env):
    """environs over a given mapping instead of the process's own environment; errors wait for `seal`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(eager=False)
        self._given = environ

    def _get_value(self, env_key: str, default: Any) -> Any:
        return self._given.get(env_key) or default


def _read(env: Env) -> dict[str, Any]:
    """Every setting by its name; those that failed are None (their errors are kept in `env`)."""
    turn_urls = _texts(env, "TURN_URLS", scheme("turn", "turns"))  # RFC 7065
    return {
        "database_url": env.str("DATABASE_URL", validate=scheme("postgresql", "postgres")),
        "valkey_url": env.str("VALKEY_URL", validate=scheme(*VALKEY_SCHEMES)),
        "token_secret": env.str("TOKEN_SECRET", validate=long_enough),
        "host": env.str("HOST", "127.0.0.1"),
        "port": env.int("PORT", 8080, validate=between(1, 65535)),
        "probe_secret": env.str("PROBE_SECRET", None, validate=long_enough),
        "dev_sign_in": env.bool("DEV_SIGN_IN", False),
        "environment": env.str("ENVIRONMENT", "production", validate=one_of("production", "development")),
        "origins": _texts(env, "ORIGINS", origin),
        "request_deadline_s": _seconds(env, "REQUEST_DEADLINE_S", 180.0),
        "offer_s": _seconds(env, "OFFER_S", 30.0),
        "connecting_s": _seconds(env, "CONNECTING_S", 15.0),
        "grace_s": _seconds(env, "GRACE_S", 30.0),
        "heartbeat_s": _seconds(env, "HEARTBEAT_S", 5.0, most=HEARTBEAT_S_MAX),
        "frame_rate": env.int("FRAME_RATE", 50, validate=between(10, 1_000_000)),
        "waves": env.str("WAVES", "adaptive", validate=one_of("adaptive", "fixed", "be_my_eyes_2015")),
        "wave_size": env.int("WAVE_SIZE", 10, validate=between(1, 1000)),
        "wave_interval_s": _seconds(env, "WAVE_INTERVAL_S", 10.0),
        "wave_horizon_s": _seconds(env, "WAVE_HORIZON_S", 10.0),
        "wave_first_target": env.float("WAVE_FIRST_TARGET", 0.65, validate=between(0.01, 0.999)),
        "wave_last_target": env.float("WAVE_LAST_TARGET", 0.95, validate=between(0.01, 0.999)),
        "wave_grows_s": _seconds(env, "WAVE_GROWS_S", 40.0, zero=True),
        "answer_median_s": _seconds(env, "ANSWER_MEDIAN_S", 8.0),
        "answer_sigma": env.float("ANSWER_SIGMA", 0.7, validate=between(0.05, 5)),
        "chance_hot": env.float("CHANCE_HOT", 0.45, validate=between(0.01, 0.99)),
        "chance_cold": env.float("CHANCE_COLD", 0.17, validate=between(0.01, 0.99)),
        "chance_idle": env.float("CHANCE_IDLE", 0.05, validate=between(0.01, 0.99)),
        "chance_weight": env.float("CHANCE_WEIGHT", 20.0, validate=between(0.1, 1e6)),
        "chance_half_life_days": env.float("CHANCE_HALF_LIFE_DAYS", 14.0, validate=between(0.01, 3650)),
        "cooldown_s": _seconds(env, "COOLDOWN_S", 60.0, zero=True),
        "cooldown_growth": env.float("COOLDOWN_GROWTH", 4.0, validate=between(1, 100)),
        "cooldown_most_s": _seconds(env, "COOLDOWN_MOST_S", 86_400.0, zero=True),
        "weekly_rings": env.int("WEEKLY_RINGS", 30, validate=between(1, 10_000)),
        "next_language_s": _seconds(env, "NEXT_LANGUAGE_S", 20.0, zero=True),
        "group_first_s": _seconds(env, "GROUP_FIRST_S", 30.0, zero=True),
        "same_person_s": _seconds(env, "SAME_PERSON_S", 12.0, zero=True),
        "keep_hot_s": _seconds(env, "KEEP_HOT_S", 180.0, zero=True),
        "callback_s": _seconds(env, "CALLBACK_S", 86_400.0),
        "callback_reserved_s": _seconds(env, "CALLBACK_RESERVED_S", 60.0),
        "wrap_up_s": _seconds(env, "WRAP_UP_S", 5.0, zero=True),
        "delivery_s": _seconds(env, "DELIVERY_S", 1.5),
        "stun_urls": _texts(env, "STUN_URLS", scheme("stun", "stuns")),  # RFC 7064
        "turn_urls": turn_urls,
        "turn_secret": env.str("TURN_SECRET", None),
        "turn_relay_nets": _texts(env, "TURN_RELAY_NETS", network),
        "ice_policy": env.str("ICE_POLICY", "relay" if turn_urls else "all", validate=one_of("relay", "all")),
        "ice_lifetime_s": _seconds(env, "ICE_LIFETIME_S", 300.0),
        "practice_calls": env.int("PRACTICE_CALLS", 3, validate=between(1, 100)),
        "access_token_s": _seconds(env, "ACCESS_TOKEN_S", 900.0),
        "shards": env.int("SHARDS", 1, validate=between(1, 4096)),
        "database_pool": env.int("DATABASE_POOL", 10, validate=between(2, 1000)),
        "log_format": env.str("LOG_FORMAT", "json", validate=one_of("json", "console")),
        "tls_certificate": env.path("TLS_CERTIFICATE", None, validate=file),
        "tls_key": env.path("TLS_KEY", None, validate=file),
        **_read_firebase(env),
        "vapid_private_key": env.str("VAPID_PRIVATE_KEY", None, validate=vapid_private_key),
        "vapid_subject": env.str("VAPID_SUBJECT", None, validate=vapid_subject),
        "webpush_via": env.str("WEBPUSH_VIA", None, validate=base_url),
    }


def _read_firebase(env: Env) -> dict[str, Any]:
    project = env.str("FIREBASE_PROJECT", None, validate=firebase_project)
    credentials = env.path("FIREBASE_CREDENTIALS", None, validate=service_account)
    return {
        "firebase_project": project,
        "firebase_credentials": credentials,
        "firebase_sign_in": env.bool("FIREBASE_SIGN_IN", bool(project and credentials)),
        "fcm_url": env.str("FCM_URL", "https://fcm.googleapis.com", validate=base_url),
    }


def _relations(values: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """What can only be judged of two settings together; those already known to be bad are not judged again."""
    certificate, key = values["tls_certificate"], values["tls_key"]
    relayed = values["ice_policy"] == "relay"
    delivery_s, offer_s = values["delivery_s"], values["offer_s"]
    rules = (
        (certificate and not key, "TLS_KEY", "TLS_CERTIFICATE", "needed with EYELINE_TLS_CERTIFICATE"),
        (key and not certificate, "TLS_CERTIFICATE", "TLS_KEY", "needed with EYELINE_TLS_KEY"),
        (relayed and not values["turn_urls"], "ICE_POLICY", "TURN_URLS", "relay needs EYELINE_TURN_URLS"),
        (
            values["turn_urls"] and not values["turn_secret"],
            "TURN_SECRET",
            "TURN_URLS",
            "needed with EYELINE_TURN_URLS",
        ),
        (
            relayed and values["turn_urls"] and not values["turn_relay_nets"],
            "TURN_RELAY_NETS",
            "TURN_URLS",
            "needed with EYELINE_ICE_POLICY=relay",
        ),
        (delivery_s and offer_s and delivery_s >= offer_s, "DELIVERY_S", "OFFER_S", "must be below EYELINE_OFFER_S"),
        *_push_rules(values),
        *_production_rules(values),
    )
    return {
        PREFIX + name: problem
        for broken, name, other, problem in rules
        if broken and PREFIX + name not in known and PREFIX + other not in known
    }


def _push_rules(values: Mapping[str, Any]) -> Iterator[_Rule]:
    project, credentials = values["firebase_project"], values["firebase_credentials"]
    key, subject = values["vapid_private_key"], values["vapid_subject"]
    yield (
        credentials and not project,
        "FIREBASE_PROJECT",
        "FIREBASE_CREDENTIALS",
        "needed with EYELINE_FIREBASE_CREDENTIALS",
    )
    yield key and not subject, "VAPID_SUBJECT", "VAPID_PRIVATE_KEY", "needed with EYELINE_VAPID_PRIVATE_KEY"
    yield subject and not key, "VAPID_PRIVATE_KEY", "VAPID_SUBJECT", "needed with EYELINE_VAPID_SUBJECT"
    signs_in = values["firebase_sign_in"]
    yield signs_in and not project, "FIREBASE_PROJECT", "FIREBASE_SIGN_IN", "needed with EYELINE_FIREBASE_SIGN_IN"


def _production_rules(values: Mapping[str, Any]) -> Iterator[_Rule]:
    """What is fine on one's own machine only."""
    if values["environment"] != "production":
        return
    escape = f"set {PREFIX}ENVIRONMENT=development on your own machine"
    sign_in = f"never in production: anyone signs in by any name; {escape}"
    yield values["dev_sign_in"], "DEV_SIGN_IN", "ENVIRONMENT", sign_in
    plain = str(values["fcm_url"]).startswith("http:")
    yield plain, "FCM_URL", "ENVIRONMENT", f"https only in production: access tokens travel with every push; {escape}"
    astray = f"never in production: pushes would reach no browser; {escape}"
    yield values["webpush_via"], "WEBPUSH_VIA", "ENVIRONMENT", astray


def _emulation(values: Mapping[str, Any], environ: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """What must hold of sign-in with and without the Firebase Auth emulator."""
    host = environ.get(EMULATOR_HOST)
    if not host:
        needy = values["firebase_sign_in"] and not values["firebase_credentials"]
        name, switch = PREFIX + "FIREBASE_CREDENTIALS", PREFIX + "FIREBASE_SIGN_IN"
        return {name: f"needed with {switch}"} if needy and name not in known and switch not in known else {}
    if values["environment"] == "production":
        why = "with it, unsigned tokens are accepted and anyone signs in as anyone"
        return {EMULATOR_HOST: f"never in production: {why}; unset it"}
    if not host_and_port(host):
        return {EMULATOR_HOST: "must be host:port"}
    return {}


def _sentence(messages: Any) -> str:
    """marshmallow's list (or, for lists, mapping by position) of messages as one sentence."""
    if isinstance(messages, Mapping):
        messages = [text for texts in messages.values() for text in texts]
    text = " ".join(str(message).rstrip(".") for message in messages)
    text = text.removeprefix("Environment variable ")
    return text[:1].lower() + text[1:]


def _seconds(env: Env, name: str, default: float, *, zero: bool = False, most: float = YEAR_S) -> float | None:
    limits = (", 0 or more" if zero else " above 0") + (f", at most {most:g}" if most < YEAR_S else "")

    def check(value: float) -> None:
        if value < 0 or value > most or (value == 0 and not zero):
            raise ValidationError("must be a number of seconds" + limits)

    return env.float(name, default, validate=check)


def _texts(env: Env, name: str, check: Callable[[str], None]) -> tuple[str, ...]:
    """A comma-separated list, each part checked."""

    def each(values: list[str]) -> None:
        for value in values:
            check(value)

    return tuple(env.list(name, [], subcast=str.strip, validate=each) or ())
