"""Compute the convolution of a mace interaction.

It consists of the radial network, the messages, the sum over neighbours, and the linear layer that
follows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pestle.foundations.mace.kernels.activation import scaled_silu
from pestle.foundations.mace.kernels.linear import Blocks, Linear, product
from pestle.foundations.mace.runtime import FullyConnectedNet, Network, o3
from pestle.foundations.messages import Path, Paths, message_sums
from pestle.foundations.messages.neighbourhoods import Neighbourhoods


class Convolution:
    """This class runs the convolution of an interaction.

    Args:
        radial: mace's radial network (`conv_tp_weights`).
        product: mace's tensor product (`conv_tp`), whose paths all have weights ("uvu").
        linear: mace's linear layer for the messages.
    """

    def __init__(self, radial: Network, product: o3.TensorProduct, linear: o3.Linear) -> None:
        self.radial, self.linear = radial, Linear(linear)
        inputs, harmonics, outputs = product.irreps_in1, product.irreps_in2, product.irreps_out
        starts = [part.start for part in harmonics.slices()]
        # The linear layer reads outputs of the same irrep together, so all of them get the index of
        # the first one.
        irreps = [ir for _, ir in outputs]
        self._joined = [irreps.index(ir) for ir in irreps]
        degrees = (
            (inputs[i.i_in1].ir.l, harmonics[i.i_in2].ir.l, outputs[i.i_out].ir.l)
            for i in product.instructions
        )
        self.paths = Paths(
            [
                Path(
                    i.i_in1,
                    starts[i.i_in2],
                    self._joined[i.i_out],
                    _coefficients(product, *ls) * i.path_weight,
                )
                for i, ls in zip(product.instructions, degrees, strict=True)
            ],
            channels=[mul for mul, _ in inputs],
            components=[ir.dim for _, ir in inputs],
            n_harmonics=harmonics.dim,
        )
        self._sizes = [inputs[i.i_in1].mul for i in product.instructions]
        #: Index of the tensor product's output block for each path, in the order of `paths`.
        self._outputs = [product.instructions[k].i_out for k in self.paths.order]

    def hidden(self, inputs: torch.Tensor, cutoff: torch.Tensor | None) -> torch.Tensor:
        """Compute the last hidden units of the radial network.

        If the network has biases, a unit of value 1 is added at the end before the cutoff is
        applied.

        Args:
            inputs: [n_edges, n_inputs] input of the radial network.
            cutoff: [n_edges, 1] factor of the weights, if mace applies the cutoff function to them.

        Returns:
            [n_edges, width].
        """
        layers = list(self.radial if self._plain else self.radial.net)
        found = inputs
        for layer in layers[:-1]:
            found = _activated(layer, found) if self._plain else layer(found)
        if not self._plain:
            found = torch.cat([found, torch.ones_like(found[:, :1])], dim=1)
        return found if cutoff is None else found * cutoff

    @property
    def _plain(self) -> bool:
        """Return whether the radial network is e3nn's, which has no biases."""
        return isinstance(self.radial, FullyConnectedNet)

    def _last(self) -> list[torch.Tensor]:
        """Return the last layer of the radial network.

        It is split by block of the features into tensors [width, n_paths · channels].
        """
        if self._plain:
            last = list(self.radial)[-1]
            scale = (last.h_in * last.var_in / last.var_out) ** -0.5
            weight = last.weight * scale
        else:
            last = self.radial.net[-1]
            weight = torch.cat([last.weight.T, last.bias[None]])
        parts = weight.split(self._sizes, dim=1)
        return [
            torch.cat([parts[self.paths.order[k]] for k in own], dim=1)
            if own
            else weight.new_zeros(len(weight), 0)
            for own in self.paths.of_block
        ]

    def __call__(
        self,
        features: Sequence[torch.Tensor],
        harmonics: torch.Tensor,
        hidden: torch.Tensor,
        around: Neighbourhoods,
    ) -> Blocks:
        """Compute the messages after the linear layer.

        Args:
            features: one tensor [n_atoms, 2l + 1, channels] per block.
            harmonics: [n_edges, (lmax + 1)²] spherical harmonics.
            hidden: [n_edges, width], as the method `hidden` gives it.
            around: the neighbours of the atoms.

        Returns:
            One tensor [n_atoms, 2l + 1, channels] per block.
        """
        couplings = self.paths.coupled(harmonics)
        weights = [hidden @ last for last in self._last()]
        found = message_sums(self.paths, around, couplings, weights, features)
        messages = {
            output: (message, [self._outputs[k] for k in into])
            for message, (output, into) in zip(found, self.paths.outputs, strict=True)
        }
        matrices, blocks = self.linear.matrices(), []
        for output, (dim, mul) in enumerate(self.linear.outputs):
            read = self.linear.reads(output)
            if not read:
                blocks.append(features[0].new_zeros(around.n_receivers, dim, mul))
                continue
            message, inputs = messages[self._joined[read[0]]]
            blocks.append(product(message, self.linear.matrix(matrices, output, inputs)))
        return blocks


def _coefficients(product: o3.TensorProduct, l1: int, l2: int, l3: int) -> torch.Tensor:
    """Return the Clebsch–Gordan coefficients of mace's own module, [2·l3 + 1, 2·l2 + 1, 2·l1 + 1].

    They are float64. They are rounded to float32 if the network was made in float32, even if it was
    converted to float64 later.
    """
    for name, buffer in product.named_buffers():
        if name.rsplit(".", 1)[-1] == f"_w3j_{l1}_{l2}_{l3}":
            return buffer.detach().cpu().double().permute(2, 1, 0)
    return o3.wigner_3j(l1, l2, l3, dtype=torch.float64).permute(2, 1, 0)


def _activated(layer: Network, x: torch.Tensor) -> torch.Tensor:
    """Apply a layer of e3nn's `FullyConnectedNet` with its activation."""
    if getattr(layer.act, "f", None) is not torch.nn.functional.silu:
        return layer(x)
    weight = layer.weight * (layer.h_in * layer.var_in) ** -0.5
    return scaled_silu(x @ weight, float(layer.act.cst) * layer.var_out**0.5)
