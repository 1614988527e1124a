"""Models of the Hugging Face Hub, by the optional package huggingface_hub; each stays as first seen."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from escsr.errors import CheckpointError, ModelNotFoundError
from escsr.files import atomic_path, read_json, sha256_of
from escsr.models.published import cache_folder
from escsr.runtime.extras import install_line

__all__ = ["fetch_from_hub", "find_on_hub", "hub_name", "is_hub_name"]

_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([A-Za-z0-9][\w./-]*))?")
_FILES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".onnx")
"""Endings of what is meant as a file."""

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


def is_hub_name(name: str) -> bool:
    """Whether a name reads "organisation/name" or "organisation/name@revision", and is no path.

    What ends like a file of weights, or begins with a folder that is there, is a path.

    Example:
        >>> is_hub_name("someone/esc-x2"), is_hub_name("someone/esc-x2.pth"), is_hub_name("./esc-x2")
        (True, False, False)
    """
    if _NAME.fullmatch(name) is None or name.lower().endswith(_FILES):
        return False
    return not Path(name.partition("/")[0]).is_dir()


def hub_name(path: Path) -> str | None:
    """Name of a model of the hub by where its file lies in the hub's cache; None for another file.

    Example:
        >>> hub_name(Path("hub/models--someone--esc-x2/snapshots/0a1b/model.safetensors"))
        'someone/esc-x2'
    """
    *_, repository, folder, _, _ = ("",) * 3 + path.absolute().parts
    if folder != "snapshots" or not repository.startswith("models--"):
        return None
    return repository.removeprefix("models--").replace("--", "/")


def find_on_hub(name: str) -> Path:
    """The file of a model of the hub, downloaded at its first use and the same ever after.

    Which commit was seen first, and the digest of its weights, is noted in `cache_folder`; later calls take
    that from the hub's own cache, without any network, and refuse another digest. `fetch_from_hub` takes
    what the hub has now. `HF_HUB_OFFLINE`, `HF_HOME` and access tokens are the hub's own.

    Args:
        name: "organisation/name", or with "@" and a branch, tag or commit.

    Returns:
        The weights, beside which `config.json` lies where the model has one.

    Raises:
        ModelNotFoundError: huggingface_hub is not installed, there is no such model, or it cannot be
            downloaded.
        CheckpointError: The weights are others than those first seen, or what was noted is damaged.
    """
    note = _note_path(name)
    if not note.exists():
        return fetch_from_hub(name)
    try:
        seen = read_json(note)
        commit, digest = str(seen["commit"]), str(seen["sha256"])
    except (OSError, ValueError, LookupError) as error:
        raise CheckpointError(f"{note}: unreadable; delete it to download {name} again.") from error
    path = _cached(name, commit) or _download(name, commit)
    if (found := sha256_of(path)) != digest:
        raise CheckpointError(
            f"{name}: the sha256 of its weights is {found}, but was {digest} at the first download. To use "
            f"the new weights: escsr models fetch {name}"
        )
    return path


def fetch_from_hub(name: str, *, offline: bool = False) -> Path:
    """Downloads what the hub has under a name now, and notes it as the one to use.

    Args:
        name: As for `find_on_hub`.
        offline: Take the newest that is in the hub's cache, without any network.

    Returns:
        The weights.

    Raises:
        ModelNotFoundError: As `find_on_hub`.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ModelNotFoundError(f"{name:.200} is not a name on the hub; they look like organisation/name.")
    revision = match[2] or "main"
    path = _cached(name, revision) if offline else _download(name, revision)
    if path is None:
        raise ModelNotFoundError(
            f"{name} is not whole in the hub's cache, and --offline does not download it."
        )
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    fields = {"name": name, "commit": path.parent.name, "sha256": sha256_of(path), "date": date}
    with atomic_path(_note_path(name)) as temporary:
        temporary.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
    return path


def _note_path(name: str) -> Path:
    return cache_folder() / "hub" / (re.sub("[/@]", "--", name) + ".json")


def _download(name: str, revision: str) -> Path:
    """Weights and configuration of a revision, through the hub's cache."""
    hub = _hub(name)
    repository = name.partition("@")[0]

    def get(file: str, revision: str) -> Path:
        options = {"revision": revision, "tqdm_class": _silent_bar()}
        return Path(hub.hf_hub_download(repository, file, library_name="escsr", **options))

    try:
        path = get(_WEIGHTS, revision)
    except hub.errors.LocalEntryNotFoundError as error:
        _refuse(name, error)
    except hub.errors.EntryNotFoundError as error:
        raise ModelNotFoundError(f"{name} has no {_WEIGHTS}; download its file and give that.") from error
    except Exception as error:  # whatever the hub and the network raise
        _refuse(name, error)
    try:
        get(_CONFIG, path.parent.name)
    except hub.errors.LocalEntryNotFoundError as error:  # not known to be missing: no answer
        _refuse(name, error)
    except hub.errors.EntryNotFoundError:
        return path  # the weights tell their shape
    except Exception as error:
        _refuse(name, error)
    return path


def _cached(name: str, revision: str) -> Path | None:
    """Weights of a revision in the hub's cache, without any network; None where they are not.

    Nor where it is not known whether a configuration belongs to them: without it they may be read wrongly.
    `hf_hub_download(local_files_only=True)` is not that: it asks the hub what calls it.
    """
    hub, repository = _hub(name), name.partition("@")[0]
    found = hub.try_to_load_from_cache(repository, _WEIGHTS, revision=revision)
    if not isinstance(found, str):
        return None
    path = Path(found)
    config = hub.try_to_load_from_cache(repository, _CONFIG, revision=path.parent.name)
    return None if config is None else path  # else its path, or the mark that the hub has none


def _hub(name: str) -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise ModelNotFoundError(
            f"{name:.200}: there is no such file of weights. To take it from the Hugging Face Hub: "
            f"{install_line('hub')}"
        ) from error
    return huggingface_hub


def _silent_bar() -> type:
    from tqdm import tqdm

    class Silent(tqdm):  # type: ignore[misc]
        """A library does not draw on its user's terminal."""

        def __init__(self, *arguments: object, **settings: object) -> None:
            super().__init__(*arguments, **{**settings, "disable": True})

    return Silent


def _refuse(name: str, error: Exception) -> NoReturn:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise ModelNotFoundError(
        f"{name}: there is no such file or folder, and it cannot be downloaded from the Hugging Face Hub "
        f"({reason:.300})."
    ) from error
