"""Compute the activation of radial networks with hand-written derivatives.

If the first derivative of SiLU may be differentiated again, torch splits it into five operations,
and splits each of these in the second derivative. Here each derivative is one operation.
"""

from __future__ import annotations

from typing import Any

import torch


def scaled_silu(x: torch.Tensor, scale: float) -> torch.Tensor:
    """Compute scale · x / (1 + exp(−x)); it can be differentiated twice with respect to x."""
    return _Silu.apply(scale, x)


class _Silu(torch.autograd.Function):
    """This function computes the scaled SiLU from scale and x."""

    @staticmethod
    def forward(ctx: Any, scale: float, x: torch.Tensor) -> torch.Tensor:
        ctx.scale = scale
        ctx.save_for_backward(x)
        return torch.nn.functional.silu(x).mul_(scale)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> Any:
        return None, _SiluGradient.apply(ctx.scale, g, *ctx.saved_tensors)


class _SiluGradient(torch.autograd.Function):
    """This function multiplies g with the slope of the scaled SiLU. Inputs: scale, g, x."""

    @staticmethod
    def forward(ctx: Any, scale: float, g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.scale = scale
        ctx.save_for_backward(g, x)
        return torch.ops.aten.silu_backward(g, x).mul_(scale)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, v: torch.Tensor) -> Any:
        (g, x), scale = ctx.saved_tensors, ctx.scale
        by_g = torch.ops.aten.silu_backward(v, x).mul_(scale)
        s = torch.sigmoid(x)
        # σ (1 − σ) (2 + x (1 − 2σ))
        curvature = (x * (1 - 2 * s)).add_(2).mul_(s).mul_(1 - s)
        return None, by_g, curvature.mul_(v).mul_(g).mul_(scale)
