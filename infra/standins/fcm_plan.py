"""What the stand-in of FCM is told to answer, and how that looks (FCM's page "ErrorCode"; Google's API error model)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Act(StrEnum):
    """One way to answer a message that is in order."""

    OK = "ok"
    INVALID = "invalid"
    """400."""
    UNAUTHENTICATED = "unauthenticated"
    """401, though the token is good."""
    SENDER_ID_MISMATCH = "sender_id_mismatch"
    """403: a device of another project."""
    UNREGISTERED = "unregistered"
    """404."""
    QUOTA_EXCEEDED = "quota_exceeded"
    """429."""
    INTERNAL = "internal"
    """500."""
    UNAVAILABLE = "unavailable"
    """503."""
    BAD_JSON = "bad_json"
    """200, and a body nobody can read."""
    HANG = "hang"
    """No answer for as long as the connection lasts."""
    RESET = "reset"
    """The connection breaks before an answer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of the API: HTTP status, canonical status, FCM's own code."""

    http: int
    status: str
    code: str
    message: str

    def body(self) -> Mapping[str, Any]:
        error_type = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        details = [{"@type": error_type, "errorCode": self.code}] if self.code else []
        return {
            "error": {"code": self.http, "status": self.status, "message": self.message, "details": details},
        }


REFUSALS: Mapping[Act, Refusal] = {
    Act.INVALID: Refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "Request contains an invalid argument."),
    Act.UNAUTHENTICATED: Refusal(401, "UNAUTHENTICATED", "", "Request had invalid authentication credentials."),
    Act.SENDER_ID_MISMATCH: Refusal(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "SenderId mismatch"),
    Act.UNREGISTERED: Refusal(404, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found."),
    Act.QUOTA_EXCEEDED: Refusal(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota exceeded."),
    Act.INTERNAL: Refusal(500, "INTERNAL", "INTERNAL", "Internal error encountered."),
    Act.UNAVAILABLE: Refusal(503, "UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable."),
}
OTHER_PROJECT = Refusal(403, "PERMISSION_DENIED", "", "Permission denied on the project.")
