"""Optimisers: AdamW, and Muon for the matrices of the blocks."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from escsr.networks import ESC
from escsr.training.config import OptimizerSettings

__all__ = ["Muon", "build_optimizers", "matrix_parameters", "orthogonalise"]

_NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices, roughly (singular values in about [0.7, 1.2]).

    Five Newton–Schulz steps of a quintic (Jordan et al., "Muon", 2024).

    Args:
        matrices: (N, rows, columns).
        steps: Iterations.

    Returns:
        Same shape.
    """
    a, b, c = _NEWTON_SCHULZ
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised per matrix; convolution weights are seen as (out, in·k·k).

    The update is scaled by 0.2·√max(rows, columns), so that AdamW's rates hold. Weights of one shape
    are stacked and updated together. (`torch.optim.Muon` takes two-dimensional parameters only.)

    Args:
        params: Weights of at least two dimensions.
        learning_rate: Under "lr" in the groups, where PyTorch's own optimisers have it.
        momentum: Decay of the running gradient, Nesterov style.
        weight_decay: Decoupled decay.
    """

    def __init__(
        self, params: Any, learning_rate: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Updates every weight that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    shapes[(weight.shape[0], weight[0].numel())].append(weight)
            for (rows, columns), weights in shapes.items():
                directions = [self._direction(weight, group["momentum"]).flatten(1) for weight in weights]
                factor = -group["lr"] * 0.2 * max(rows, columns) ** 0.5
                for weight, update in zip(weights, orthogonalise(torch.stack(directions)), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(update.reshape(weight.shape), alpha=factor)

    def _direction(self, weight: nn.Parameter, momentum: float) -> Tensor:
        gradient = weight.grad
        assert gradient is not None
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        running: Tensor = state["momentum"]
        running.lerp_(gradient, 1 - momentum)
        return gradient.lerp(running, momentum)


def matrix_parameters(network: ESC) -> dict[str, nn.Parameter]:
    """Weights of the blocks that mix all channels: their 1×1 and dense 3×3 convolutions."""
    matrices: dict[str, nn.Parameter] = {}
    for name, module in network.blocks.named_modules(prefix="blocks"):
        if isinstance(module, nn.Conv2d) and module.groups == 1 and ".estimator." not in name:
            assert isinstance(module.weight, nn.Parameter)
            matrices[f"{name}.weight"] = module.weight
    return matrices


def build_optimizers(network: nn.Module, settings: OptimizerSettings) -> list[torch.optim.Optimizer]:
    """The optimisers of a module, which together hold every parameter once.

    Args:
        network: The module; Muon is for the blocks of an ESC network.
        settings: The recipe's.

    Returns:
        [Adam], [AdamW], or [AdamW, Muon].
    """
    matrices: dict[str, nn.Parameter] = {}
    if settings.type == "muon" and isinstance(network, ESC):
        matrices = matrix_parameters(network)
    rest = [weight for name, weight in network.named_parameters() if name not in matrices]
    adam = torch.optim.Adam if settings.type == "adam" else torch.optim.AdamW
    rate, decay = settings.learning_rate, settings.weight_decay
    element_wise = adam(rest, lr=rate, betas=settings.betas, weight_decay=decay, eps=1e-8, foreach=True)
    if not matrices:
        return [element_wise]
    return [element_wise, Muon(list(matrices.values()), rate, weight_decay=decay)]
