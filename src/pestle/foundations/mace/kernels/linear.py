"""mace's linear layers on features by block, one [n, 2l + 1, channels] tensor for each irrep.

mace keeps features flat, channel by channel. With the components before the channels every linear
layer is one matrix product for all components. The weights stay where they are, in mace's modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        #: (block of the output, of the input) → where the matrix between them stands, and its rows.
        self._parts = {
            (i.i_out, i.i_in): (sum(sizes[:k]), shape[0])
            for k, (i, shape) in enumerate(zip(layer.instructions, shapes, strict=True))
            if sizes[k]
        }

    def reads(self, output: int) -> list[int]:
        """Blocks of the input that feed a block of the output."""
        return [i_in for i_out, i_in in self._parts if i_out == output]

    def scaled_weight(self) -> torch.Tensor:
        """The flat weight as it acts."""
        return self.layer.weight * self._scale.like(self.layer.weight)

    def matrix(self, flat: torch.Tensor, output: int, inputs: Sequence[int]) -> torch.Tensor:
        """[n_in, n_out] between some blocks of the input, one after the other, and one of the
        output.

        Args:
            flat: `scaled_weight`.
        """
        n_out = self.outputs[output][1]
        runs: list[list[int]] = []
        for i_in in inputs:
            start, rows = self._parts[output, i_in]
            if runs and runs[-1][1] == start:  # e3nn keeps most of them next to each other
                runs[-1][1] += rows * n_out
            else:
                runs.append([start, start + rows * n_out])
        parts = [flat[start:end].view(-1, n_out) for start, end in runs]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def __call__(self, features: Sequence[torch.Tensor]) -> Blocks:
        flat, found = self.scaled_weight(), []
        for output, (dim, mul) in enumerate(self.outputs):
            inputs = self.reads(output)
            if not inputs:
                found.append(features[0].new_zeros(len(features[0]), dim, mul))
                continue
            read = [features[k] for k in inputs]
            x = read[0] if len(read) == 1 else torch.cat(read, dim=2)
            found.append(product(x, self.matrix(flat, output, inputs)))
        return found


@dataclass(frozen=True)
class Elements:
    """Which element every atom of a batch is.

    Attributes:
        present: positions, in the model's list, of the elements that are there.
        counts: how many atoms of each.
        order: [n_atoms] atoms sorted by element.
        place: [n_atoms] where each atom stands in that order.
    """

    present: torch.Tensor
    counts: tuple[int, ...]
    order: torch.Tensor
    place: torch.Tensor


def elements(columns: torch.Tensor) -> Elements:
    """The elements of a batch, from the position of each atom's element in the model's list."""
    present, counts = torch.unique(columns, return_counts=True)
    order = torch.argsort(columns, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return Elements(present, tuple(counts.tolist()), order, place)


class LinearByElement:
    """mace's product of features with one-hot elements: a linear layer for each element.

    Args:
        layer: an `o3.FullyConnectedTensorProduct` of features and element scalars.
    """

    def __init__(self, layer: o3.TensorProduct) -> None:
        self.layer = layer
        shapes = [i.path_shape for i in layer.instructions]
        self.sizes = [a * b * c for a, b, c in shapes]
        self.out = [(ir.dim, mul) for mul, ir in layer.irreps_out]

    def __call__(self, features: Sequence[torch.Tensor], which: Elements) -> Blocks:
        terms: list[Blocks] = [[] for _ in self.out]
        parts = self.layer.weight.split(self.sizes)
        for instruction, part in zip(self.layer.instructions, parts, strict=True):
            if not part.numel():
                continue
            dim = self.out[instruction.i_out][0]
            weights = part.view(instruction.path_shape).index_select(1, which.present)
            weights = weights.permute(1, 0, 2) * (instruction.path_weight * dim**-0.5)
            x = features[instruction.i_in1].index_select(0, which.order)
            made = [
                product(own, matrix)
                for own, matrix in zip(x.split(which.counts), weights.unbind(), strict=True)
            ]
            terms[instruction.i_out].append(torch.cat(made).index_select(0, which.place))
        n, like = len(which.order), features[0]
        return [
            sum(made[1:], made[0]) if made else like.new_zeros(n, *size)
            for made, size in zip(terms, self.out, strict=True)
        ]
