"""The command that adds an extra to this installation, in the way that escsr itself was installed."""

from __future__ import annotations

import json
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["install_line"]


def install_line(*extras: str) -> str:
    """The line that a message shows where a package is missing.

    escsr from an index is named by its name, one from a folder or a file by that path, since its name may
    mean nothing, or another version, to the index.

    Args:
        extras: Names of extras, as in pyproject.toml.

    Returns:
        A command for a shell.

    Example:
        >>> install_line("heic", "jxl")  # doctest: +SKIP
        'pip install "escsr[heic,jxl]"'
    """
    wanted = f"[{','.join(extras)}]"
    try:
        installed = distribution("escsr")
    except PackageNotFoundError:  # run from its source, without an installation
        return f'pip install "escsr{wanted}"'
    return f"{_installer(installed)} {_requirement(installed, wanted)}"


def _installer(installed: Distribution) -> str:
    by = (installed.read_text("INSTALLER") or "").strip()
    return "uv pip install" if by == "uv" else "pip install"


def _requirement(installed: Distribution, wanted: str) -> str:
    """What comes behind the installer: PEP 610 says where a package came from, if not from an index."""
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        if path.exists():
            editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
            return f'{editable}"{path}{wanted}"'
    elif version_control := origin.get("vcs_info"):
        return f'"escsr{wanted} @ {version_control["vcs"]}+{url}"'
    return f'"escsr{wanted}"'
