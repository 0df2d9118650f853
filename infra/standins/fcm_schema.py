"""Google's own description of FCM's v1 API as a JSON Schema (draft 2020-12).

The description ships with google-api-python-client. JSON is read as protobuf's JSON mapping says: a field by its
camelCase or its original name, a 32-bit integer also as text, a duration as "30s", and nothing unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator

_DURATION = r"^[0-9]{1,12}(\.[0-9]{1,9})?s$"
_MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"
_FORMATS: Mapping[str, Mapping[str, Any]] = {
    "google-duration": {"type": "string", "pattern": _DURATION},
    "google-datetime": {"type": "string", "pattern": _MOMENT},
    "int32": {
        "anyOf": [
            {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
            {"type": "string", "pattern": r"^-?[0-9]{1,10}$"},
        ]
    },
    "float": {"type": "number"},
}
_ANY_CASE = frozenset({("AndroidConfig", "priority")})
"""Enums that Google's pages and SDKs write in lower case, and FCM takes so."""


@cache
def validator() -> Draft202012Validator:
    """Of a body of `messages:send`."""
    return Draft202012Validator(schema())


@cache
def schema() -> Mapping[str, Any]:
    file = resources.files("googleapiclient").joinpath("discovery_cache", "documents", "fcm.v1.json")
    described: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))["schemas"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": "#/$defs/SendMessageRequest",
        "$defs": {name: _object(name, one) for name, one in described.items()},
    }


def _object(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field, of_field in described["properties"].items():
        one = _value(of_field, lower_too=(name, field) in _ANY_CASE)
        properties[field] = properties[_original_name(field)] = one
    required = ["message"] if name == "SendMessageRequest" else []
    return {"type": "object", "properties": properties, "additionalProperties": False, "required": required}


def _value(described: Mapping[str, Any], lower_too: bool = False) -> dict[str, Any]:
    if "$ref" in described:
        return {"$ref": f"#/$defs/{described['$ref']}"}
    if described.get("format") in _FORMATS:
        return dict(_FORMATS[described["format"]])
    match described["type"]:
        case "any":
            return {}
        case "object":
            return {"type": "object", "additionalProperties": _value(described["additionalProperties"])}
        case "array":
            return {"type": "array", "items": _value(described["items"])}
        case "string" if "enum" in described:
            names = list(described["enum"])
            return {"enum": names + [name.lower() for name in names] if lower_too else names}
        case plain:
            return {"type": plain}


def _original_name(field: str) -> str:
    """As in the .proto file: `collapseKey` -> `collapse_key`."""
    return re.sub(r"([A-Z])", lambda letter: "_" + letter[1].lower(), field)
