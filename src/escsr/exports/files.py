"""`escsr export`: a model as a file that other programs run."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path
from typing import Any

from escsr._version import __version__
from escsr.errors import ConfigError, OutputError
from escsr.exports.packages import package
from escsr.exports.whole import OPSET, whole_graph
from escsr.files import atomic_path, check_not_source, check_writable, sha256_of
from escsr.models.bundled import find_model, model_name
from escsr.models.checkpoints import network_of, read_checkpoint
from escsr.networks import NetworkConfig, variant_name
from escsr.runtime.choices import ExportFormat, check_choice

__all__ = ["export"]

_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
_MOST_STATIC = 8192


def export(
    model: str | os.PathLike[str],
    *,
    to: ExportFormat = "onnx",
    output: str | os.PathLike[str] | None = None,
    static: int | None = None,
    half: bool = False,
    opset: int = OPSET,
) -> Path:
    """Writes a model as a file for ONNX Runtime, OpenVINO and the programs built on them.

    The file takes "input", (1, 3, H, W), RGB in [0, 1], and gives "output", (1, 3, rH, rW), not clamped.
    Its metadata tell what it is, see docs/integrations.md.

    Args:
        model: Bundled name; a downloaded one; a file of weights; or the folder of a training run.
        to: "onnx", or "openvino" for an .xml with its .bin beside it.
        output: The file; None for the model's name in the current folder, "esc-light-x2.onnx".
        static: Side of the only picture size that it takes, LR pixels; None for a file that takes any.
        half: ONNX: numbers of float16, input and output too, while norms, softmax and pooled means are
            float32. OpenVINO: weights are stored as float16.
        opset: Version of ONNX's operators, 17 to 23.

    Returns:
        The file written.

    Raises:
        ModelNotFoundError: There is no such model.
        CheckpointError: Its weights cannot be used.
        ConfigError: A setting is impossible, the model takes any scale, or a package is not installed.
        OutputError: The file has another ending, is the model's own, or cannot be written.
    """
    check_choice("to", to, ExportFormat)
    if static is not None:
        is_whole = isinstance(static, Integral) and not isinstance(static, bool)
        if not (is_whole and 1 <= static <= _MOST_STATIC):
            raise ConfigError(
                f"static must be a whole number of pixels from 1 to {_MOST_STATIC}, not {static!r}."
            )
        static = int(static)
    source, suffix = find_model(model), _SUFFIXES[to]
    name, kind = model_name(source), f"{'' if static is None else f'-{static}'}{'-fp16' if half else ''}"
    target = Path(f"{name.replace('/', '-')}{kind}{suffix}" if output is None else output)
    ending = target.suffix if to == "openvino" else target.suffix.lower()  # OpenVINO writes no .XML
    if ending != suffix:
        raise OutputError(f"{target}: a file for {to} must end in {suffix}.")
    for path in (target, target.with_suffix(".bin")) if to == "openvino" else (target,):
        check_not_source(path, source)
        check_writable(path)
    for needed in ("onnx", to):  # before the work
        package(needed, extra=to)
    checkpoint = read_checkpoint(source)
    graph = whole_graph(
        network_of(checkpoint, name=name).requires_grad_(False),
        static=None if static is None else (static, static),
        half=half and to == "onnx",
        opset=opset,
        for_openvino=to == "openvino",
        metadata={**_about(checkpoint.config), "model": name, "sha256": sha256_of(source)}
        | {key: checkpoint.metadata[key] for key in ("licence", "training") if key in checkpoint.metadata},
    )
    package("onnx").checker.check_model(graph, full_check=True)
    if to == "onnx":
        with atomic_path(target) as temporary:
            temporary.write_bytes(graph.SerializeToString())
    else:
        _write_openvino(graph, target, half=half)
    return target


def _about(config: NetworkConfig) -> dict[str, str]:
    """What a program, or a person, must know to run the graph."""
    window = config.window_size
    return {
        "scale": f"{config.scale}",
        "window": f"{window}",
        "tiles": f"sides and places in multiples of {window}; only the whole picture is exact",
        "colour_order": "RGB",
        "input_range": "0 to 1",
        "output_range": "about 0 to 1, not clamped",
        "layout": "NCHW, batch 1",
        "variant": variant_name(config) or "custom",
        "escsr_version": __version__,
    }


def _write_openvino(graph: Any, target: Path, *, half: bool) -> None:
    """The .bin first, so that whoever sees the .xml finds both."""
    openvino = package("openvino")
    model = openvino.Core().read_model(graph.SerializeToString())
    for entry in graph.metadata_props:
        model.set_rt_info(entry.value, ["escsr", entry.key])
    with atomic_path(target) as temporary, atomic_path(target.with_suffix(".bin")) as weights:
        made = temporary.with_suffix(".bin")
        try:
            openvino.save_model(model, temporary, compress_to_fp16=half)
            made.replace(weights)
        except RuntimeError as error:
            raise OutputError(f"OpenVINO cannot write {target}, as on a full disk: {error}") from error
        finally:
            made.unlink(missing_ok=True)
