"""The authors' published checkpoints: which there are, and their download into the cache folder."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from platformdirs import user_cache_path

from escsr.errors import CheckpointError, ConfigError, ModelNotFoundError, OutputError
from escsr.files import atomic_path, read_json, sha256_of
from escsr.models.downloads import DownloadError, discard, download, note_path

if TYPE_CHECKING:
    from escsr.models.checkpoints import Checkpoint

__all__ = ["RELEASED", "RELEASE_URL", "ReleasedModel", "cache_folder", "fetch"]

RELEASE_URL = "https://github.com/dslisleedh/ESC/releases/download/1.0.0/"
"""Where the authors published their files: the mirror that is used when no other is given."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReleasedModel:
    """One published checkpoint.

    Attributes:
        name: Ours: `published-`, the variant, what sets it apart, the scale where it has one.
        file_name: The authors' name of the file.
        summary: What it is.
        data_licence: Licences of the training pictures, set by set.
        sha256: Digest of the file, hexadecimal; None where nobody has stated it.
        weights_licence: Licence of the weights.
        code_licence: Licence of the code that runs them, which is this package.
    """

    name: str
    file_name: str
    summary: str
    data_licence: str
    sha256: str | None = None
    weights_licence: str = "MIT"
    code_licence: str = "MIT"


_DIV2K = "DIV2K: academic research only"
_DF2K = f"{_DIV2K}; Flickr2K: unknown"
_DFLIP = f"{_DF2K}; LSDIR: unknown; DiverSeg-IP: unknown"
_REAL = f"{_DF2K}; OST: unknown"

_MODELS = (
    ReleasedModel("published-esc-x2", "ESC_DIV2K_X2.pth", "ESC ×2.", _DIV2K),
    ReleasedModel("published-esc-x3", "ESC_DIV2K_X3.pth", "ESC ×3.", _DIV2K),
    ReleasedModel("published-esc-x4", "ESC_DIV2K_X4.pth", "ESC ×4.", _DIV2K),
    ReleasedModel("published-esc-dflip-x2", "ESC_DFLIP_X2.pth", "ESC ×2, more training data.", _DFLIP),
    ReleasedModel("published-esc-dflip-x3", "ESC_DFLIP_X3.pth", "ESC ×3, more training data.", _DFLIP),
    ReleasedModel("published-esc-dflip-x4", "ESC_DFLIP_X4.pth", "ESC ×4, more training data.", _DFLIP),
    ReleasedModel("published-esc-light-x2", "ESC_light_X2.pth", "ESC-light ×2.", _DIV2K),
    ReleasedModel("published-esc-light-x3", "ESC_light_X3.pth", "ESC-light ×3.", _DIV2K),
    ReleasedModel("published-esc-light-x4", "ESC_light_X4.pth", "ESC-light ×4.", _DIV2K),
    ReleasedModel("published-esc-fp-x2", "ESC_FP_X2.pth", "ESC-FP ×2.", _DIV2K),
    ReleasedModel("published-esc-fp-x3", "ESC_FP_X3.pth", "ESC-FP ×3.", _DIV2K),
    ReleasedModel("published-esc-fp-x4", "ESC_FP_X4.pth", "ESC-FP ×4.", _DIV2K),
    # XL by its file names: DF2K is the data, PT and FT stand for pretrained and fine-tuned.
    ReleasedModel(
        "published-esc-xl-pretrained-x2", "ESC_XL_DF2K_X2_PT.pth", "ESC-XL ×2 before fine-tuning.", _DF2K
    ),
    ReleasedModel("published-esc-xl-x2", "ESC_XL_DF2K_X2_FT.pth", "ESC-XL ×2, fine-tuned.", _DF2K),
    ReleasedModel("published-esc-xl-x3", "ESC_XL_DF2K_X3_FT.pth", "ESC-XL ×3, fine-tuned.", _DF2K),
    ReleasedModel("published-esc-xl-x4", "ESC_XL_DF2K_X4_FT.pth", "ESC-XL ×4, fine-tuned.", _DF2K),
    ReleasedModel("published-esc-lte", "esc_lte.pth", "ESC with LTE: any scale.", _DIV2K),
    ReleasedModel(
        "published-esc-real-x4",
        "ESC_Real_X4_GAN.pth",
        "ESC-Real ×4 for photographs as they are, trained with a GAN: sharper, detail invented.",
        _REAL,
        "d6932bd01e29c9335f5f678b0e9b31ede906a42244887ab8888b1d39a8667f2d",
    ),
    ReleasedModel(
        "published-esc-real-mse-x4",
        "ESC_Real_X4_MSE.pth",
        "ESC-Real ×4 for photographs as they are, trained for fidelity: softer.",
        _REAL,
        "ba22ae75b5f77382b1046e68634f58a53fc7ff5ffa46714133bfba30811ad943",
    ),
    ReleasedModel(
        "published-esc-flashbias-x2",
        "ESC_DIV2K_FB_R48_X2.pth",
        "ESC ×2 with a bias of rank 48; the authors ask not to use it in academic comparisons.",
        _DIV2K,
    ),
    ReleasedModel(
        "published-esc-real-flashbias-x4",
        "ESC_Real_FB_R48_X4.pth",
        "ESC-Real ×4 with a bias of rank 48; the authors ask not to use it in academic comparisons.",
        _REAL,
    ),
)
RELEASED: dict[str, ReleasedModel] = {model.name: model for model in _MODELS}
"""All published checkpoints by our names."""


def cache_folder() -> Path:
    """Where downloads are kept: `escsr/models` in the platform's cache folder.

    Returns:
        The folder, which need not exist.
    """
    return user_cache_path("escsr") / "models"


def fetch(
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] = (),
    offline: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    timeout_seconds: float = 30,
) -> Path:
    """The verified file of a published checkpoint, downloaded where it is not there yet.

    The digest is the known one or, for want of that, the one recorded beside the file when it was first
    seen, and could be read as a checkpoint. A file that has it is returned without any network. An
    interrupted download is continued, by the next call too. Proxies and `SSL_CERT_FILE` are those of the
    environment.

    Args:
        name: One of `RELEASED`.
        folder: Where files are kept; None for `cache_folder`.
        mirrors: http or https addresses to which the file name is appended, tried in this order instead
            of `RELEASE_URL`.
        offline: Never download.
        on_progress: Called with the bytes received so far and the bytes in all.
        timeout_seconds: Longest silence of a server.

    Returns:
        An existing file with the right digest.

    Raises:
        ModelNotFoundError: There is no such name, it cannot be downloaded, or may not (`offline`).
        CheckpointError: What the mirrors sent has another digest, or is no checkpoint of that model.
        ConfigError: A mirror is not an http or https address.
        OutputError: The folder cannot be written to.

    Example:
        >>> network = load_network(fetch("published-esc-light-x2"))  # doctest: +SKIP
    """
    if name not in RELEASED:
        from escsr.runtime.settings import did_you_mean  # pydantic, which only a wrong name takes

        hint = did_you_mean(name, RELEASED) or " `escsr models` lists them."
        raise ModelNotFoundError(f"Unknown published model {name}.{hint}")
    model = RELEASED[name]
    urls = [_file_url(mirror, model.file_name) for mirror in mirrors or (RELEASE_URL,)]
    target = (cache_folder() if folder is None else Path(folder).expanduser()) / model.file_name
    if _is_intact(model, target):
        return target
    if offline:
        problem = f"{target} is missing or damaged, and offline forbids to download it."
        raise ModelNotFoundError(f"{problem} {_by_hand(model, target)}")
    receive = partial(download, on_progress=on_progress, timeout_seconds=timeout_seconds)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not _is_intact(model, target):  # nobody else has fetched it meanwhile
                _obtain(model, target, urls, receive)
    except OSError as error:
        raise OutputError(f"Cannot write to {target.parent}: {error.strerror or error}.") from error
    return target


def _obtain(
    model: ReleasedModel, target: Path, urls: Sequence[str], receive: Callable[[str, Path], None]
) -> None:
    """Downloads from the first mirror that has the right file."""
    expected = _expected_digest(model, target)
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        _LOG.warning("%s is damaged and is downloaded again.", target)
    failures, is_wrong = [], False
    for url in urls:
        try:
            receive(url, part)
            _check(model, part, expected)
        except DownloadError as error:
            failures.append(f"{url}: {error}.")
            continue
        except CheckpointError as error:
            discard(part)
            is_wrong = True
            failures.append(f"{url}: {error}")
            continue
        _record(target, part, url)
        with atomic_path(target) as temporary:
            part.replace(temporary)
        discard(part)  # its note is left
        return
    problem = f"Cannot download {model.name}. {' '.join(failures)}"
    if is_wrong:
        if expected != model.sha256:
            problem += f" If the authors replaced the file, delete {note_path(target)} and {target}."
        raise CheckpointError(problem)
    if part.exists():
        problem += f" {part.stat().st_size:,} bytes are kept; running again continues."
    raise ModelNotFoundError(f"{problem} {_by_hand(model, target)}")


def _file_url(mirror: str, file_name: str) -> str:
    if not re.match("https?://[^/]", mirror, re.IGNORECASE) or not mirror.isascii():
        raise ConfigError(f"A mirror is an http or https address to append a file name to, not {mirror!r}.")
    return f"{mirror.rstrip('/')}/{file_name}"


def _by_hand(model: ReleasedModel, target: Path) -> str:
    digest = _expected_digest(model, target) or "not known, and recorded when first seen"
    way = f"from {RELEASE_URL} into {target.parent}"
    return f"You may put {model.file_name} {way} yourself; its sha256 is {digest}."


def _is_intact(model: ReleasedModel, target: Path) -> bool:
    """Whether the file is there with its digest; one put there by hand is recorded if nothing is known."""
    if not target.is_file():
        return False
    expected = _expected_digest(model, target)
    try:
        _check(model, target, expected)
    except (CheckpointError, OSError):
        return False
    if expected is None:
        with suppress(OutputError):  # the folder may be for reading only
            _record(target, target, "")
    return True


def _check(model: ReleasedModel, file: Path, expected: str | None) -> None:
    """Refuses a file that is not the published one, so far as that can be known."""
    if expected is None:
        from escsr.models.checkpoints import read_checkpoint  # PyTorch, which a digest needs not

        _check_shape(model, read_checkpoint(file))
    elif (digest := sha256_of(file)) != expected:
        raise CheckpointError(f"sha256 is {digest}, expected is {expected}.")


def _check_shape(model: ReleasedModel, checkpoint: Checkpoint) -> None:
    """Refuses a network of another variant, scale or bias than the name of a published model says."""
    from escsr.networks import variant_name

    named = re.fullmatch(
        r"published-(esc(?:-light|-fp|-xl|-lte|-real)?)(?:-[a-z]+)*?(?:-x(\d))?", model.name
    )
    if named is None:
        return
    scale = int(named[2]) if named[2] else None
    expected = named[1], scale, "flashbias" in model.name
    config = checkpoint.config
    if (variant_name(config), config.scale, config.bias_rank is not None) != expected:
        bias = "" if config.bias_rank is None else f" with a bias of rank {config.bias_rank}"
        found = f"{variant_name(config) or 'of no named variant'}, ×{config.scale or 'any'}{bias}"
        raise CheckpointError(f"The network in it ({found}) is not {model.name}.")


def _record(target: Path, file: Path, url: str) -> None:
    """Writes beside the target what there is to know of the file that is it, or becomes it."""
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    fields = {"url": url, "size": file.stat().st_size, "sha256": sha256_of(file), "date": date}
    with atomic_path(note_path(target)) as temporary:
        temporary.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


def _expected_digest(model: ReleasedModel, target: Path) -> str | None:
    record = note_path(target)
    try:
        return model.sha256 or str(re.findall(r"\A[0-9a-f]{64}\Z", read_json(record)["sha256"])[0])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{record}: unreadable; delete it and {target} to download again.") from error
