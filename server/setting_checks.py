"""What one setting's value must look like; each check raises a sentence that never quotes the value."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from environs import ValidationError

SECRET_LENGTH_MIN = 32
_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
"""Google Cloud, "Creating and managing projects": 6 to 30 lowercase letters, digits and hyphens."""
_ACCOUNT = {"project_id", "private_key", "client_email", "token_uri"}
_VAPID_KEY = re.compile(r"[A-Za-z0-9_-]{43}")
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Private keys are from 1 to below this (SEC 2, section 2.4.2)."""


def scheme(*schemes: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        scheme, _, rest = value.partition(":")
        if scheme not in schemes or not rest.strip("/"):
            raise ValidationError("must begin with " + " or ".join(f"{scheme}:" for scheme in schemes))

    return check


def origin(value: str) -> None:
    """scheme://host[:port], as browsers send it (RFC 6454)."""
    if not _is_origin(value):
        raise ValidationError("each must be an origin such as https://help.example, without a path")


def base_url(value: str | None) -> None:
    if value is not None and not _is_origin(value):
        raise ValidationError("must be an address such as https://push.example, without a path")


def _is_origin(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:  # brackets that are no IPv6 address
        return False
    return parts.scheme in ("http", "https") and value == f"{parts.scheme}://{parts.netloc}" and bool(parts.hostname)


def between(low: float, high: float) -> Callable[[float], None]:
    def check(value: float) -> None:
        if not low <= value <= high:
            raise ValidationError(f"only {low} is possible for now" if low == high else f"must be from {low} to {high}")

    return check


def network(value: str) -> None:
    """An IP network in CIDR notation."""
    try:
        ip_network(value)
    except ValueError:
        raise ValidationError("must be networks like 203.0.113.0/24") from None


def one_of(*choices: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value not in choices:
            raise ValidationError("must be " + " or ".join(choices))

    return check


def long_enough(value: str) -> None:
    if len(value) < SECRET_LENGTH_MIN:
        raise ValidationError(f"must have at least {SECRET_LENGTH_MIN} characters")


def file(value: Path | None) -> None:
    if value is not None and not value.is_file():
        raise ValidationError("there is no such file")


def service_account(value: Path | None) -> None:
    """A key file as the Firebase console gives it out."""
    file(value)
    if value is None:
        return
    try:
        account = json.loads(value.read_bytes())
    except (OSError, ValueError):
        account = None
    if not isinstance(account, dict) or account.get("type") != "service_account" or not account.keys() >= _ACCOUNT:
        raise ValidationError("must be the key file (JSON) of a service account")


def firebase_project(value: str | None) -> None:
    if value is not None and not _PROJECT.fullmatch(value):
        raise ValidationError("must be the id of a Firebase project, such as eyeline-1a2b3")


def vapid_private_key(value: str | None) -> None:
    if value is None:
        return
    if _VAPID_KEY.fullmatch(value):
        scalar = int.from_bytes(base64.urlsafe_b64decode(value + "="))
        if 0 < scalar < _P256_ORDER:
            return
    raise ValidationError("must be a P-256 private key: 32 bytes in base64url, 43 characters")


def vapid_subject(value: str | None) -> None:
    """RFC 8292, section 2.1."""
    if value is None:
        return
    kind, _, rest = value.partition(":")
    mail = kind == "mailto" and re.fullmatch(r"[^@\s]+@[^@\s]+", rest)
    page = kind == "https" and re.fullmatch(r"//[^/\s]+\S*", rest)
    if not (mail or page) or not value.isascii():
        raise ValidationError("must be a mailto: or https: address of yours")


def host_and_port(value: str) -> bool:
    host, _, port = value.rpartition(":")
    return bool(re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]", host)) and port.isdecimal()
