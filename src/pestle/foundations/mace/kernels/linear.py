"""Apply mace's linear layers to features in blocks, one tensor [n, 2l + 1, channels] per irrep.

mace stores features flat, channel by channel. If the components come before the channels, a linear
layer is one matrix product for all components. The weights stay in mace's modules.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pestle.foundations.constants import Constant
from pestle.foundations.mace.runtime import o3

Blocks = list[torch.Tensor]


def to_blocks(flat: torch.Tensor, irreps: o3.Irreps) -> Blocks:
    """Split flat features into blocks.

    Args:
        flat: [n, irreps.dim] features in mace's layout.
        irreps: irreps of the features.
    """
    return [
        flat[:, part].view(len(flat), mul, ir.dim).transpose(1, 2)
        for (mul, ir), part in zip(irreps, irreps.slices(), strict=True)
    ]


def to_flat(blocks: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join features in blocks to mace's layout, [n, irreps.dim].

    Args:
        blocks: one tensor [n, 2l + 1, channels] per irrep.
    """
    return torch.cat([b.transpose(1, 2).reshape(len(b), -1) for b in blocks], dim=1)


def product(features: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Multiply features with a matrix, always as one two-dimensional product.

    torch would choose the kind of product by which gradients are needed, and the choice changes the
    rounding.

    Args:
        features: [n, m, n_in].
        matrix: [n_in, n_out].

    Returns:
        [n, m, n_out].
    """
    flat = torch.mm(features.reshape(-1, features.shape[2]), matrix)
    return flat.view(*features.shape[:2], matrix.shape[1])


class Linear:
    """This class applies an `o3.Linear` without biases to features in blocks.

    Args:
        layer: mace's module; its weight is read at every call.
    """

    def __init__(self, layer: o3.Linear) -> None:
        self.layer = layer
        #: Number of components and of channels of every output block.
        self.outputs = [(ir.dim, mul) for mul, ir in layer.irreps_out]
        shapes = [i.path_shape for i in layer.instructions]
        sizes = [a * b for a, b in shapes]
        scales = [
            torch.full((size,), i.path_weight, dtype=torch.float64)
            for i, size in zip(layer.instructions, sizes, strict=True)
        ]
        self._scale = Constant(torch.cat(scales) if scales else torch.ones(0))
        self._sizes = sizes
        #: Index of the matrix for each pair (output block, input block).
        self._parts = {(i.i_out, i.i_in): k for k, i in enumerate(layer.instructions) if sizes[k]}

    def reads(self, output: int) -> list[int]:
        """Return the indices of the input blocks that feed an output block."""
        return [i_in for i_out, i_in in self._parts if i_out == output]

    def matrices(self) -> tuple[torch.Tensor, ...]:
        """Return the weight with its normalisation factors.

        It is split into one flat tensor per instruction of mace's module.
        """
        return (self.layer.weight * self._scale.like(self.layer.weight)).split(self._sizes)

    def matrix(
        self, matrices: Sequence[torch.Tensor], output: int, inputs: Sequence[int]
    ) -> torch.Tensor:
        """Return the matrix from some input blocks to an output block.

        The input blocks are joined along their channels.

        Args:
            matrices: as the method `matrices` gives them.
            output: index of the output block.
            inputs: indices of the input blocks.

        Returns:
            [n_in, n_out].
        """
        n_out = self.outputs[output][1]
        parts = [matrices[self._parts[output, i_in]].view(-1, n_out) for i_in in inputs]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def __call__(self, features: Sequence[torch.Tensor]) -> Blocks:
        """Apply the layer.

        Args:
            features: one tensor [n, 2l + 1, channels] per input block.

        Returns:
            One tensor [n, 2l + 1, channels] per output block.
        """
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
