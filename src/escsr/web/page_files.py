"""The page in the browser, read from the package, and the page about the API."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, Response

from escsr.web.api_page import api_page

__all__ = ["add_page"]

_FILES = {
    "app.js": "text/javascript; charset=utf-8",
    "before-after.js": "text/javascript; charset=utf-8",
    "zip.js": "text/javascript; charset=utf-8",
    "app.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""All there is beside index.html; nothing else can be asked for."""

_REUSE = {"cache-control": "no-cache"}


def add_page(app: FastAPI) -> None:
    """Adds the page, its files, and the documentation of the API to an application."""

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(_read("index.html"), headers=_REUSE)

    @app.head("/page/{name}", include_in_schema=False)
    @app.get("/page/{name}", include_in_schema=False)
    async def show_file(name: str) -> Response:
        if name not in _FILES:
            raise HTTPException(404, "No such file.")
        return Response(_read(name), media_type=_FILES[name], headers=_REUSE)

    @app.head("/docs", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def show_docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()))


@cache
def _read(name: str) -> bytes:
    return (files("escsr.web") / "page" / name).read_bytes()
