"""Writes the reference of the HTTP API from its routes and message types (OpenAPI 3.0.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from server.errors import STATUS_OF_CODE, ErrorEnvelope
from server.routing import Route

REF = "#/components/schemas/{name}"
INTRODUCTION = (
    "Bodies are UTF-8 JSON. Ids are UUIDv7. Times are RFC 3339 UTC with milliseconds. Languages are BCP 47. Unknown "
    "fields are ignored; clients treat unknown codes as the general case. 429 and 503 carry `Retry-After` (seconds). "
    "The socket is described at `/docs/socket` and `/asyncapi.json`."
)
_PATH_PARAMETER = re.compile(r"{(\w+)}")


def openapi(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document, ready to be encoded as JSON."""
    listed = sorted(routes, key=lambda route: (route.path, route.method))
    types = _types(listed)
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    schema_of = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.0.3",
        "info": {"title": "Eyeline", "version": "1", "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {name: to_openapi_30(schema) for name, schema in components.items()},
            "securitySchemes": {"access_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _types(routes: Sequence[Route]) -> list[type[msgspec.Struct]]:
    used = [kind for route in routes for kind in (route.body, route.reply) if kind is not None]
    return list(dict.fromkeys([ErrorEnvelope, *used]))


def _operation(route: Route, schema_of: Mapping[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__qualname__.replace("Api.", "."),
        "summary": route.summary,
        "tags": [_tag(route.path)],
        "responses": _responses(route, schema_of),
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.body is not None:
        required = any(field.required for field in msgspec.structs.fields(route.body))
        operation["requestBody"] = {"required": required, "content": _json(schema_of[route.body])}
    if route.auth == "session":
        operation["security"] = [{"access_token": []}]
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    text = {"type": "string"}
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in _PATH_PARAMETER.findall(route.path)
    ]
    return in_path + [{"name": name, "in": "header", "required": False, "schema": text} for name in route.headers]


def _responses(route: Route, schema_of: Mapping[type[msgspec.Struct], dict[str, Any]]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in (route.status, *route.also):
        responses[str(status)] = {"description": "Done"}
        if route.reply is not None and status != 204:
            responses[str(status)]["content"] = _json(schema_of[route.reply])
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys([*route.errors, *general_errors(route)]):
        by_status.setdefault(STATUS_OF_CODE.get(code, 409), []).append(code)
    for error_status, codes in sorted(by_status.items()):
        words = " or ".join(f"`{code}`" for code in codes)
        responses[str(error_status)] = {"description": words, "content": _json(schema_of[ErrorEnvelope])}
    return responses


def general_errors(route: Route) -> list[str]:
    """The codes that follow from what kind of route it is."""
    applies = {
        "unauthorized": route.auth == "session",
        "suspended": route.auth == "session" and not route.while_suspended,
        "wrong_role": route.role is not None,
        "not_allowed": route.admin is not None,
        "invalid_body": route.body is not None,
        "too_large": route.body is not None,
        "not_found": "{" in route.path,
        "too_fast": route.limit != "none",
        "unavailable": True,
    }
    return [code for code, does in applies.items() if does]


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": to_openapi_30(schema)}}


def _tag(path: str) -> str:
    parts = path.strip("/").split("/")
    return parts[1] if parts[0] == "v1" and len(parts) > 1 else "operations"


def to_openapi_30(schema: Any) -> Any:
    """JSON Schema 2020-12 as msgspec writes it, in the words of OpenAPI 3.0 (which the page at `/docs` reads)."""
    if isinstance(schema, list):
        return [to_openapi_30(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: to_openapi_30(value) for key, value in schema.items() if (key, value) != ("required", [])}
    if "anyOf" in changed and {"type": "null"} in changed["anyOf"]:
        return _nullable(changed)
    if "enum" in changed:
        changed.setdefault("type", "string")
        if None in changed["enum"]:
            changed["nullable"] = True
    return changed


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    others = [choice for choice in schema.pop("anyOf") if choice != {"type": "null"}]
    if len(others) > 1:
        return {**schema, "anyOf": others, "nullable": True}
    only = others[0]
    return {**schema, **({"allOf": [only]} if "$ref" in only else only), "nullable": True}
