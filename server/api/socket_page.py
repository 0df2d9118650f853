"""Shows the socket's reference as a page to read: every message with its fields, from the AsyncAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

_SCHEMA = "#/components/schemas/"
_DIRECTIONS = (("receive", "From the client"), ("send", "From the server"))


def socket_page(document: dict[str, Any]) -> str:
    """The whole page. No script; the styles are the docs' own."""
    channels = "".join(_channel(document, name, channel) for name, channel in document["channels"].items())
    shared = "".join(_shared(name, schema) for name, schema in sorted(_shared_types(document).items()))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Eyeline: the sockets</title>'
        '<link rel="icon" href="/docs/favicon-32x32.png"><link rel="stylesheet" href="/docs/docs.css"></head>'
        '<body><nav><a href="/docs">HTTP</a> · '
        '<strong>Sockets</strong> · <a href="/asyncapi.json">asyncapi.json</a></nav>'
        f"<main><h1>{escape(document['info']['title'])}</h1><p>{_words(document['info']['description'])}</p>"
        f"{channels}<h2>Types</h2>{shared}</main></body></html>"
    )


def _channel(document: dict[str, Any], name: str, channel: dict[str, Any]) -> str:
    parts = [f"<h2><code>{escape(channel['address'])}</code></h2><p>{_words(channel['summary'])}</p>"]
    for action, title in _DIRECTIONS:
        parts.append(f"<h3>{title}</h3>")
        for reference in document["operations"][f"{name}.{action}"]["messages"]:
            parts.append(_message(document, reference["$ref"].rpartition("/")[2]))
    return "".join(parts)


def _message(document: dict[str, Any], key: str) -> str:
    message = document["components"]["messages"][key]
    frame = _resolved(document, message["payload"])
    data = _resolved(document, frame["properties"]["data"])
    words = f"<h4><code>{escape(message['name'])}</code></h4><p>{_words(message['summary'])}</p>"
    return f"<section>{words}{_table(data)}</section>"


def _shared_types(document: dict[str, Any]) -> dict[str, Any]:
    """Types that are neither a frame nor the data of just one."""
    schemas: dict[str, Any] = document["components"]["schemas"]
    frames = {name for name in schemas if name.endswith("Frame")}
    data = {schemas[name]["properties"]["data"].get("$ref", "").removeprefix(_SCHEMA) for name in frames}
    return {name: schema for name, schema in schemas.items() if name not in frames | data}


def _shared(name: str, schema: dict[str, Any]) -> str:
    words = _words(schema.get("description", ""))
    return f'<section id="{escape(name)}"><h4>{escape(name)}</h4><p>{words}</p>{_table(schema)}</section>'


def _table(schema: dict[str, Any]) -> str:
    fields = schema.get("properties", {})
    if not fields:
        return "<p>No data.</p>"
    required = set(schema.get("required", ()))
    rows = (
        f"<tr><th scope=row><code>{escape(name)}</code></th><td>{_type(field)}</td>"
        f"<td>{'' if name in required else 'optional'}</td></tr>"
        for name, field in fields.items()
    )
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _type(schema: dict[str, Any]) -> str:
    """A field's type in a few words, shared types as links."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_SCHEMA))
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(" ".join([schema.get("format", schema.get("type", "anything")), *_bounds(schema)]))


def _bounds(schema: dict[str, Any]) -> Iterator[str]:
    for key, words in (("minimum", "from"), ("maximum", "to"), ("minLength", "at least"), ("maxLength", "at most")):
        if key in schema:
            yield f"{words} {schema[key]}"


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].removeprefix(_SCHEMA)]
    return found


def _words(text: str) -> str:
    """Text with its `code` marked up."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
