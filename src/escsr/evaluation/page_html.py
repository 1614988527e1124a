"""A page as one file for a browser, which needs nothing beside it: everything is inside."""

from __future__ import annotations

import base64
import json
import re
import tempfile
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from escsr import images
from escsr.evaluation.page import Page, Pixels
from escsr.images import Picture, WriteOptions

__all__ = ["render_page"]

_WEBP = images.WRITABLE[".webp"]


def render_page(page: Page) -> str:
    """Writes a page as HTML: a viewer with a wipe between two models, zoom, pan and keys.

    Pictures are inside as lossless WebP (PNG, where a side is too long for that).

    Args:
        page: What it shows. The viewer moves over whole results where all columns have one, else each
            crop is a picture of its own.

    Returns:
        The text of the file, UTF-8.
    """
    template = (files("escsr.evaluation") / "page.html").read_text(encoding="utf-8")
    # In a script nothing is escaped, and "</script" or "<!--" would end or change it.
    content = json.dumps(_content(page), ensure_ascii=True).replace("<", "\\u003c")
    values = {"title": escape(page.title), "page": content}
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _content(page: Page) -> dict[str, Any]:
    """What the script in `page.html` reads: scenes are pictures, places are where its buttons lead."""
    wholes = [column.whole for column in page.columns if column.whole is not None]
    if len(wholes) == len(page.columns):
        places = [crop.scaled(page.scale) for crop in page.crops]
        scenes = [_scene(wholes)]
        buttons = [{"label": "Whole", "scene": 0, "area": None}]
        for number, place in enumerate(places, 1):
            area = [place.x, place.y, place.width, place.height]
            buttons.append({"label": f"Crop {number}", "scene": 0, "area": area})
    else:
        numbers = range(len(page.crops))
        scenes = [_scene([column.crops[index] for column in page.columns]) for index in numbers]
        buttons = [{"label": f"Crop {index + 1}", "scene": index, "area": None} for index in numbers]
    columns = [{"label": column.label, "detail": column.detail} for column in page.columns]
    return {"lines": page.lines, "columns": columns, "scenes": scenes, "places": buttons}


def _scene(pictures: list[Pixels]) -> dict[str, Any]:
    height, width = pictures[0].shape[:2]
    return {"width": width, "height": height, "images": [_data_uri(pixels) for pixels in pictures]}


def _data_uri(pixels: Pixels) -> str:
    suffix = ".webp" if max(pixels.shape) <= _WEBP.max_side else ".png"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"picture{suffix}"
        images.write(Picture(pixels), path, WriteOptions(lossless=True))
        return f"data:image/{suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode()}"
