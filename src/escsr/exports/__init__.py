"""Networks as graphs of ONNX: files for other programs, and other runtimes at work in streaming.

`graph` holds nodes and weights; `layers`, `attention` and `operations` say what the stages of a network
are in them; `whole` makes one graph of all and `files` writes it; `backends` lets `runtimes` compute it, at
once or stage by stage.
"""

from __future__ import annotations

from escsr.exports.files import export

__all__ = ["export"]
