"""Layers of a NequIP-type network.

Features of atoms are lists of blocks, one tensor [n_atoms, 2l + 1, channels] for each l = 0, 1, …;
the parity of degree l is (-1)^l.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from pestle.foundations.messages.neighbourhoods import Neighbourhoods
from pestle.foundations.nequip.messages import Messages, Paths
from pestle.foundations.nequip.shape import Shape

Blocks = list[torch.Tensor]
#: 1/√⟨SiLU(z)²⟩ for a standard normal z, with the value that the published networks were trained
#: with: a mean over a million quantiles. (The exact integral is 1.676532; with it OMat energies
#: would be wrong by up to 6e-5 eV/atom.)
SILU_FACTOR = 1.676562056
#: Small number that is added under the square root of the layer norm.
NORM_EPS = 1e-12


class Linear(torch.nn.Module):
    """This equivariant linear layer has one matrix for every l that input and output share.

    One flat weight holds the matrices [n_in, n_out] in the order of l. A matrix acts on the
    features as `weight / √n_in`, which is e3nn's convention for a single path.

    Args:
        inputs: number of input channels for each l.
        outputs: number of output channels for each l.
    """

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        super().__init__()
        self.shapes = tuple((a, b) for a, b in zip(inputs, outputs, strict=False) if a and b)
        self.sizes = [a * b for a, b in self.shapes]
        self.weight = torch.nn.Parameter(torch.randn(sum(self.sizes)))

    @property
    def path_weights(self) -> tuple[float, ...]:
        """Return the factor 1/√n_in of every matrix."""
        return tuple(n_in**-0.5 for n_in, _ in self.shapes)

    def matrices(self) -> Blocks:
        """Return every matrix [n_in, n_out] with its factor, as it acts on the features."""
        parts = self.weight.split(self.sizes)
        return [
            part.view(shape) * factor
            for part, shape, factor in zip(parts, self.shapes, self.path_weights, strict=True)
        ]

    def forward(self, features: Blocks) -> Blocks:
        """Apply the layer to blocks [n_atoms, 2l + 1, channels], one for each l."""
        return [x @ w for x, w in zip(features, self.matrices(), strict=False)]


class Radial(torch.nn.Module):
    """This network computes the weights of all paths from the radial basis.

    It has SiLU between its layers and no biases.

    Args:
        sizes: widths of its layers, from the number of Bessel functions to the number of path
            weights.
        init_scale: variance of the random hidden weights, times their number of inputs.
    """

    def __init__(self, sizes: Sequence[int], init_scale: float) -> None:
        super().__init__()
        # `init_scale` compensates for the activation after a layer; the last layer has none.
        variances = [init_scale] * (len(sizes) - 2) + [1.0]
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter(torch.randn(a, b) * math.sqrt(variance / a))
            for a, b, variance in zip(sizes[:-1], sizes[1:], variances, strict=True)
        )

    def hidden(self, basis: torch.Tensor) -> torch.Tensor:
        """Compute the last hidden units, which are zero if the basis is zero.

        The weights of the paths are the product of these units with the last of `weights`.

        Args:
            basis: [n_edges, basis_size] radial basis.

        Returns:
            [n_edges, radial_width].
        """
        hidden = basis
        for weight in list(self.weights)[:-1]:
            hidden = torch.nn.functional.silu(hidden @ weight)
        return hidden


class LayerNorm(torch.nn.Module):
    """This layer divides the blocks of an atom by one common norm and weights every channel.

    The square of the norm is Σ_l Σ_channels ⟨x²⟩ / ((2l + 1) · n_blocks), where ⟨⟩ is the mean over
    the components of l. No mean is subtracted.

    Args:
        channels: number of channels for each l.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        self.weight = torch.nn.Parameter(torch.ones(sum(channels)))

    def forward(self, features: Blocks) -> Blocks:
        """Normalise blocks [n_atoms, 2l + 1, channels], one for each l."""
        squares = [x.pow(2).sum(dim=(1, 2)) / (x.shape[1] ** 2) for x in features]
        scale = (torch.stack(squares).mean(dim=0) + NORM_EPS).rsqrt()[:, None, None]
        weights = self.weight.split(self.channels)
        return [x * scale * w for x, w in zip(features, weights, strict=True)]


class Gate(torch.nn.Module):
    """This gate applies SiLU to the scalars and multiplies the other blocks by gates.

    The input has more scalars than the output. SiLU of the additional scalars gives the gates, one
    per channel of the other blocks. SiLU is normalised so that its second moment is one for
    normally distributed input.

    Args:
        channels: number of output channels for each l.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.sizes = list(channels)

    def forward(self, features: Blocks) -> Blocks:
        """Apply the gate to blocks [n_atoms, 2l + 1, channels], one for each l."""
        scalars, *gates = features[0].split(self.sizes, dim=2)
        silu = torch.nn.functional.silu
        out = [silu(scalars) * SILU_FACTOR]
        out += [x * (silu(g) * SILU_FACTOR) for x, g in zip(features[1:], gates, strict=True)]
        return out


class Layer(torch.nn.Module):
    """This layer sends messages between neighbours and updates the features of the atoms.

    Args:
        inputs: number of channels of the incoming features for each l.
        outputs: number of channels of the outgoing features for each l.
        shape: shape of the network.
        embedded: whether this is the first layer. It has no `linear_up`, because the element
            embedding takes its place.
    """

    def __init__(
        self, inputs: Sequence[int], outputs: Sequence[int], shape: Shape, *, embedded: bool
    ) -> None:
        super().__init__()
        raw = [sum(outputs), *outputs[1:]]  # the scalars include one gate per other channel
        self.paths = Paths(
            tuple(shape.species_channels for _ in inputs[:1]) if embedded else tuple(inputs),
            len(outputs) - 1,
            shape.lmax,
        )
        hidden = [shape.radial_width] * shape.radial_depth
        self.linear_up = None if embedded else Linear(inputs, inputs)
        self.radial = Radial([shape.basis_size, *hidden, self.paths.n_weights], shape.init_scale)
        self.messages = Messages(self.paths, shape.mean_neighbours)
        self.linear_down = Linear(self.paths.outputs, raw)
        self.skip = Linear(inputs, raw)
        self.norm = LayerNorm(raw) if shape.layer_norm else None
        self.gate = Gate(outputs)

    def forward(
        self,
        features: Blocks,
        sent: Blocks,
        basis: torch.Tensor,
        harmonics: torch.Tensor,
        around: Neighbourhoods,
    ) -> Blocks:
        """Compute the features of the atoms after the layer.

        Args:
            features: blocks that the skip connection reads, [n_atoms, 2l + 1, channels] for each l.
            sent: blocks that are sent to the neighbours, before `linear_up`.
            basis: [n_edges, basis_size] radial basis.
            harmonics: [n_edges, (lmax + 1)²] spherical harmonics.
            around: the neighbours of the atoms.
        """
        if self.linear_up is not None:
            sent = self.linear_up(sent)
        hidden = self.radial.hidden(basis)
        weights = [hidden @ last for last in self.messages.by_block(self.radial.weights[-1])]
        received = self.messages(sent, harmonics, weights, around)
        new = self.linear_down(received)
        kept = self.skip(features)
        new = [x + kept[k] if k < len(kept) else x for k, x in enumerate(new)]
        if self.norm is not None:
            new = self.norm(new)
        return self.gate(new)
