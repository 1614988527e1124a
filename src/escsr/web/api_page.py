"""The description of the API as a page of its own: plain HTML, made from OpenAPI, without a script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

__all__ = ["api_page"]

_METHODS = ("get", "post", "delete")


def api_page(openapi: Mapping[str, Any]) -> str:
    """Writes the page.

    Args:
        openapi: The description, as FastAPI makes it.

    Returns:
        HTML.
    """
    about = openapi["info"]
    body = "\n".join(_operations(openapi))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>escsr: API</title>
<link rel="icon" href="/page/icon.svg">
<link rel="stylesheet" href="/page/app.css">
</head>
<body class="api">
<header class="top">
<a class="brand" href="/"><img src="/page/icon.svg" alt="" width="28" height="28"> escsr</a>
</header>
<main>
<h1>HTTP API</h1>
<p class="lead">{escape(about["description"])}</p>
<p>Version {escape(about["version"])}. For programs: <a href="/openapi.json">OpenAPI as JSON</a>.</p>
{body}
</main>
</body>
</html>
"""


def _operations(openapi: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in openapi["paths"].items():
        for method in _METHODS:
            if method in operations:
                yield _operation(openapi, path, method, operations[method])


def _operation(openapi: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f"<section><h2><code><b>{method.upper()}</b> {escape(path)}</code></h2>",
        f"<p>{escape(operation.get('description', ''))}</p>",
    ]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>Body: {escape(media_type)}</h3>{_fields(openapi, content['schema'])}")
    parts.append("<h3>Answers</h3><table><tbody>")
    for status, answer in sorted(operation["responses"].items()):
        text = escape(answer.get("description", ""))
        parts.append(f"<tr><th scope=row>{status}</th><td>{text}</td></tr>")
    parts.append("</tbody></table>")
    for media_type, content in operation["responses"].get("200", {}).get("content", {}).items():
        parts.append(_answer(openapi, media_type, content.get("schema", {})))
    parts += [
        _answer(openapi, media_type, content.get("schema", {}))
        for media_type, content in operation["responses"].get("202", {}).get("content", {}).items()
    ]
    return "\n".join([*parts, "</section>"])


def _answer(openapi: Mapping[str, Any], media_type: str, schema: Mapping[str, Any]) -> str:
    fields = _fields(openapi, schema.get("items", schema))
    many = " (a list)" if "items" in schema else ""
    return f"<h3>{escape(media_type)}{many}</h3>{fields}" if fields else ""


def _fields(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """A table of an object's fields; nothing for what has none."""
    schema = _resolved(openapi, schema)
    rows = []
    for name, field in schema.get("properties", {}).items():
        needed = "Needed. " if name in schema.get("required", ()) and "default" not in field else ""
        rows.append(
            f"<tr><th scope=row><code>{escape(name)}</code></th><td>{escape(_kind(openapi, field))}</td>"
            f"<td>{needed}{escape(field.get('description', ''))}</td></tr>"
        )
    return f"<table><tbody>{''.join(rows)}</tbody></table>" if rows else ""


def _kind(openapi: Mapping[str, Any], field: Mapping[str, Any]) -> str:
    """What a field holds, in a few words."""
    field = _resolved(openapi, field)
    if "anyOf" in field:
        return " or ".join(_kind(openapi, each) for each in field["anyOf"])
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    if field.get("format") == "binary" or "contentMediaType" in field:
        return "file"
    return str(field.get("type", "any"))


def _resolved(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        inner: Any = openapi
        for part in schema["$ref"].removeprefix("#/").split("/"):
            inner = inner[part]
        schema = inner
    return schema
