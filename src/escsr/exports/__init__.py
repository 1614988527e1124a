"""Networks as graphs of ONNX: files for other programs, and stages that other runtimes compute.

`graph` holds nodes and weights, `operations` says what each stage of a network is in them, `whole` makes a
graph of a network, `files` writes it, `stages` lets ONNX Runtime or OpenVINO compute stages for streaming.
"""

from __future__ import annotations




