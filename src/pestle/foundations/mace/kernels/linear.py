"""mace's linear layers on features by block, one [n, 2l + 1, channels] tensor for each irrep.

mace keeps features flat, channel by channel. With the components before the channels every linear
layer is one matrix product for all components. The weights stay where they are, in mace's modules.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pestle.foundations.constants import Constant
from pestle.foundations.mace.runtime import o3

Blocks = list[torch.Tensor]


def to_blocks(flat: torch.Tensor, irreps: o3.Irreps) -> Blocks:
    """Flat features [n, irreps.dim] by block."""
    return [
        flat[:, part].view(len(flat), mul, ir.dim).transpose(1, 2)
        for (mul, ir), part in zip(irreps, irreps.slices(), strict=True)
    ]


def to_flat(blocks: Sequence[torch.Tensor]) -> torch.Tensor:
    """Features by block as mace keeps them, [n, irreps.dim]."""
    return torch.cat([b.transpose(1, 2).reshape(len(b), -1) for b in blocks], dim=1)


def product(features: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """features [n, m, n_in] times matrix [n_in, n_out], as one product whoever needs a gradient
    (torch's own choice depends on that, and rounding with it)."""
    flat = torch.mm(features.reshape(-1, features.shape[2]), matrix)
    return flat.view(*features.shape[:2], matrix.shape[1])


class Linear:
    """An `o3.Linear` without biases.

    Args:
        layer: mace's module; its weight is read at every call.
    """

    def __init__(self, layer: o3.Linear) -> None:
        self.layer = layer
        #: Components and channels of every block of the output.
        self.outputs = [(ir.dim, mul) for mul, ir in layer.irreps_out]
        shapes = [i.path_shape for i in layer.instructions]
        sizes = [a * b for a, b in shapes]
        scales = [
            torch.full((size,), i.path_weight, dtype=torch.float64)
            for i, size in zip(layer.instructions, sizes, strict=True)
        ]
        self._scale = Constant(torch.cat(scales) if scales else torch.ones(0))
        self._sizes = sizes
        #: (block of the output, of the input) → which matrix stands between them.
        self._parts = {(i.i_out, i.i_in): k for k, i in enumerate(layer.instructions) if sizes[k]}

    def reads(self, output: int) -> list[int]:
        """Blocks of the input that feed a block of the output."""
        return [i_in for i_out, i_in in self._parts if i_out == output]

    def matrices(self) -> tuple[torch.Tensor, ...]:
        """The weight as it acts, flat, by instruction of mace's module."""
        return (self.layer.weight * self._scale.like(self.layer.weight)).split(self._sizes)

    def matrix(
        self, matrices: Sequence[torch.Tensor], output: int, inputs: Sequence[int]
    ) -> torch.Tensor:
        """[n_in, n_out] between some blocks of the input, one after the other, and one of the
        output.

        Args:
            matrices: as `matrices` gives.
        """
        n_out = self.outputs[output][1]
        parts = [matrices[self._parts[output, i_in]].view(-1, n_out) for i_in in inputs]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def __call__(self, features: Sequence[torch.Tensor]) -> Blocks:
        matrices, found = self.matrices(), []
        for output, (dim, mul) in enumerate(self.outputs):
            inputs = self.reads(output)
            if not inputs:
                found.append(features[0].new_zeros(len(features[0]), dim, mul))
                continue
            read = [features[k] for k in inputs]
            x = read[0] if len(read) == 1 else torch.cat(read, dim=2)
            found.append(product(x, self.matrix(matrices, output, inputs)))
        return found
