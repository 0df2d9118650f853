"""What FCM refuses: first what its description says, then what only its pages say. Pure.

Sources: FCM v1 `projects.messages`, "About FCM messages" (4096 bytes, reserved keys), "Message lifespan" (28 days);
Apple, "Sending notification requests to APNs".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import best_match

from infra.standins.fcm_schema import validator

PAYLOAD_BYTES = 4096
TTL_MAX_S = 28 * 24 * 3600
COLLAPSE_ID_BYTES = 64
PUSH_TYPES = frozenset(
    {"alert", "background", "location", "voip", "complication", "fileprovider", "mdm", "liveactivity"}
    | {"pushtotalk", "widgets", "controls"}
)
_TARGETS = ("fid", "token", "topic", "condition")

Json = Mapping[str, Any]


def violation(body: object) -> str | None:
    """The first thing that is wrong with a decoded body of `messages:send`, or None."""
    error = best_match(validator().iter_errors(body))
    if error is not None:
        return f"{error.json_path}: {error.message[:200]}"
    message: Json = body["message"]  # type: ignore[index]
    return next(_beyond_the_schema(message), None)


def violation_in(raw: bytes) -> str | None:
    """The same of a body as it came. A wave says the same to many: what was found for one target holds for all."""
    try:
        body = json.loads(raw)
    except ValueError:
        return "not JSON"
    fid = body["message"].get("fid") if isinstance(body, dict) and isinstance(body.get("message"), dict) else None
    if not (isinstance(fid, str) and fid):
        return violation(body)
    return _violation_in_text(json.dumps({**body, "message": {**body["message"], "fid": "somebody"}}))


@lru_cache(maxsize=256)
def _violation_in_text(text: str) -> str | None:
    return violation(json.loads(text))


def target_of(message: Json) -> str:
    """Whom a message that passes the rules is for."""
    return next(str(message[name]) for name in _TARGETS if message.get(name))


def _beyond_the_schema(message: Json) -> Iterator[str]:
    if sum(bool(message.get(name)) for name in _TARGETS) != 1:
        yield "exactly one of fid, token, topic or condition is needed"
    if "android" in message and ("androidV2" in message or "android_v2" in message):
        yield "android and android_v2 exclude each other"
    yield from _of_data(message)
    yield from _of_apns(message.get("apns", {}).get("headers", {}))
    yield from _of_ttl(message)
    if (size := payload_bytes(message)) > PAYLOAD_BYTES:
        yield f"payload of {size} bytes; at most {PAYLOAD_BYTES}"


def _of_data(message: Json) -> Iterator[str]:
    for block in (message, message.get("android", {}), message.get("webpush", {})):
        for key in block.get("data", {}):
            if key in ("from", "message_type") or key.startswith(("google.", "gcm")):
                yield f"data: {key} is a reserved key"


def _of_apns(headers: Json) -> Iterator[str]:
    if len(headers.get("apns-collapse-id", "").encode()) > COLLAPSE_ID_BYTES:
        yield f"apns-collapse-id: at most {COLLAPSE_ID_BYTES} bytes"
    if headers.get("apns-priority", "10") not in ("1", "5", "10"):
        yield "apns-priority: 1, 5 or 10"
    if headers.get("apns-push-type", "alert") not in PUSH_TYPES:
        yield "apns-push-type: unknown"
    if not re.fullmatch(r"[0-9]{1,12}", headers.get("apns-expiration", "0")):
        yield "apns-expiration: seconds since 1970"


def _of_ttl(message: Json) -> Iterator[str]:
    ttl = message.get("android", {}).get("ttl", "0s")
    if float(ttl[:-1]) > TTL_MAX_S:
        yield "android.ttl: at most 28 days"
    headers = {name.lower(): value for name, value in message.get("webpush", {}).get("headers", {}).items()}
    if not re.fullmatch(r"[0-9]{1,12}", headers.get("ttl", "0")) or int(headers.get("ttl", "0")) > TTL_MAX_S:
        yield "webpush TTL: whole seconds, at most 28 days"
    if headers.get("urgency", "normal") not in ("very-low", "low", "normal", "high"):
        yield "webpush Urgency: RFC 8030, 5.3"


def payload_bytes(message: Json) -> int:
    """The largest of what the platforms would be handed, as JSON in UTF-8."""
    common = {name: message[name] for name in ("data", "notification") if name in message}
    apns = message.get("apns", {}).get("payload", {})
    blocks = [{**common, **_shown(message.get(name, {}))} for name in ("android", "webpush")]
    blocks.append({**common.get("data", {}), **apns, **_shown(common, "notification")})
    return max(len(json.dumps(block, ensure_ascii=False, separators=(",", ":")).encode()) for block in blocks)


def _shown(block: Json, *names: str) -> dict[str, Any]:
    return {name: block[name] for name in names or ("data", "notification") if name in block}
