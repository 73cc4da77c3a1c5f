"""Define the network of a NequIP-type model, which gives the energies of atoms.

The architecture is that of NequIP (arXiv:2101.03164) with the layer norm and the sizes of Nequix
(arXiv:2508.16067). Features of atoms are lists of blocks, one tensor [n_atoms, 2l + 1, channels]
for each l = 0, 1, …; the parity of degree l is (-1)^l. The network only gives energies; the
foundation differentiates them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from pestle.foundations.messages.neighbourhoods import Neighbourhoods, neighbourhoods
from pestle.foundations.nequip.messages import Messages, Paths
from pestle.foundations.nequip.runtime import o3

Blocks = list[torch.Tensor]
#: Largest sizes: a file with larger ones is damaged. parts.py names the degrees up to MAX_DEGREE.
MAX_WIDTH, MAX_DEPTH, MAX_DEGREE = 4096, 32, 6
#: 1/√⟨SiLU(z)²⟩ for a standard normal z, with the value that the published networks were trained
#: with: a mean over a million quantiles. (The exact integral is 1.676532; with it OMat energies
#: would be wrong by up to 6e-5 eV/atom.)
SILU_FACTOR = 1.676562056
#: Small number that is added under the square root of the layer norm.
NORM_EPS = 1e-12


@dataclass(frozen=True)
class Shape:
    """This record holds everything that determines the network except its weights.

    Attributes:
        species: number of elements.
        species_channels: number of channels of the element embedding.
        channels: number of channels of the hidden features for each l.
        lmax: highest degree of the spherical harmonics.
        layers: number of interaction layers; the last one gives only scalars.
        basis_size: number of Bessel functions.
        radial_width: width of the hidden layers of the radial network.
        radial_depth: number of hidden layers of the radial network.
        cutoff: neighbour cutoff in Å.
        cutoff_power: power p of the polynomial cutoff.
        mean_neighbours: mean number of neighbours; sums over neighbours are divided by its square
            root.
        layer_norm: whether every layer has a layer norm.
        init_scale: variance of the random hidden weights of the radial network, times their number
            of inputs.
        heads: number of readouts.
    """

    species: int
    species_channels: int
    channels: tuple[int, ...]
    lmax: int
    layers: int
    basis_size: int
    radial_width: int
    radial_depth: int
    cutoff: float
    cutoff_power: float
    mean_neighbours: float
    layer_norm: bool
    init_scale: float
    heads: int

    def __post_init__(self) -> None:
        """Refuse sizes that no network has.

        Raises:
            ValueError: a size is not a number or out of range.
        """
        counts = {
            "species": (self.species, 1, 200),
            "species_channels": (self.species_channels, 1, 200),
            "channels": (min(self.channels, default=0), 1, MAX_WIDTH),
            "widest channels": (max(self.channels, default=0), 1, MAX_WIDTH),
            "degrees": (len(self.channels), 1, self.lmax + 1),
            "lmax": (self.lmax, 0, MAX_DEGREE),
            "layers": (self.layers, 1, MAX_DEPTH),
            "basis_size": (self.basis_size, 1, MAX_WIDTH),
            "radial_width": (self.radial_width, 1, MAX_WIDTH),
            "radial_depth": (self.radial_depth, 0, MAX_DEPTH),
            "heads": (self.heads, 1, 200),
        }
        for name, (value, least, most) in counts.items():
            if not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} is {value}")
        for name in ("cutoff", "cutoff_power", "mean_neighbours", "init_scale"):
            value = getattr(self, name)
            if not isinstance(value, float | int) or not 0 < value < 1e4:
                raise ValueError(f"{name} is {value}")

    def require_weights(self, held: int) -> None:
        """Check that a network of this shape does not need more weights than a file holds.

        A damaged file could otherwise ask for more memory than there is.

        Args:
            held: number of weights in the file.

        Raises:
            ValueError: the network needs more.
        """
        depth = max(0, self.radial_depth - 1)
        radial = self.basis_size * self.radial_width + depth * self.radial_width**2
        linear = (self.layers - 1) * sum(n**2 for n in self.channels)
        needed = linear + (self.layers * radial if self.radial_depth else 0)
        if needed > held:
            raise ValueError(f"a network of at least {needed:,} weights, and there are {held:,}")

    def to_json(self) -> dict[str, Any]:
        """Return the shape as data that JSON can hold."""
        return {**asdict(self), "channels": list(self.channels)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Shape:
        """Make a shape from the data that `to_json` gave.

        Args:
            plain: the data, which may come from a damaged file.

        Raises:
            TypeError, ValueError: an entry is missing, unknown or out of range.
        """
        return cls(**{**plain, "channels": tuple(plain.get("channels", ()))})


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


class Network(torch.nn.Module):
    """This network gives the interaction energies of atoms in eV, and their invariant features.

    Args:
        shape: the sizes.
        scale: eV, one number per head; an atom's energy is scale · readout + shift.
        shift: eV, one number per head.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, shape: Shape, scale: Sequence[float], shift: Sequence[float]) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = Linear([shape.species], [shape.species_channels])
        inputs: tuple[int, ...] = (shape.species,)
        layers = []
        for k in range(shape.layers):
            outputs = shape.channels if k < shape.layers - 1 else shape.channels[:1]
            layers.append(Layer(inputs, outputs, shape, embedded=k == 0))
            inputs = outputs
        self.layers = torch.nn.ModuleList(layers)
        self.readout = Linear(inputs, [shape.heads])
        self.register_buffer("scale", torch.tensor(list(scale), dtype=torch.float64))
        self.register_buffer("shift", torch.tensor(list(shift), dtype=torch.float64))

    @property
    def stack(self) -> list[Layer]:
        """Return the interaction layers in their order."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def features(
        self, columns: torch.Tensor, vectors: torch.Tensor, edge_index: torch.Tensor
    ) -> list[torch.Tensor]:
        """Compute the scalar features of every layer.

        Args:
            columns: [n_atoms] index of each atom's element in the model's list.
            vectors: [n_edges, 3] Å, from sender to receiver.
            edge_index: [2, n_edges] indices of senders and receivers.

        Returns:
            For each layer a tensor [n_atoms, channels].
        """
        shape = self.shape
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        harmonics = o3.spherical_harmonics(
            list(range(shape.lmax + 1)), vectors, normalize=True, normalization="component"
        )
        basis = bessel(lengths, shape.basis_size, shape.cutoff)
        basis = basis * smooth_cutoff(lengths / shape.cutoff, shape.cutoff_power)[:, None]
        species = torch.nn.functional.one_hot(columns, shape.species).to(vectors.dtype)
        numbers = max(layer.messages.coupled.numbers_per_edge for layer in self.stack)
        size = numbers * vectors.element_size()
        around = neighbourhoods(edge_index[0], edge_index[1], len(columns), size)
        features, sent = [species[:, None, :]], self.embedding([species[:, None, :]])
        found = []
        for layer in self.stack:
            features = layer(features, sent, basis, harmonics, around)
            sent = features
            found.append(features[0].squeeze(1))
        return found

    def forward(
        self,
        columns: torch.Tensor,
        vectors: torch.Tensor,
        edge_index: torch.Tensor,
        heads: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the interaction energy of every atom.

        Args:
            columns: as for `features`.
            vectors: as for `features`.
            edge_index: as for `features`.
            heads: [n_atoms] index of the head that predicts the atom.

        Returns:
            [n_atoms] eV.
        """
        scalars = self.features(columns, vectors, edge_index)[-1]
        by_head = self.readout([scalars[:, None, :]])[0].squeeze(1)
        energies = by_head.gather(1, heads[:, None]).squeeze(1)
        return energies * self.scale[heads].to(energies) + self.shift[heads].to(energies)


def bessel(lengths: torch.Tensor, size: int, cutoff: float) -> torch.Tensor:
    """Compute the Bessel basis 2/r_c · sin(kπr/r_c)/r for k = 1 … size (arXiv:2101.03164).

    Args:
        lengths: [n_edges] r in Å.
        size: number of functions.
        cutoff: r_c in Å.

    Returns:
        [n_edges, size] 1/Å².
    """
    k = torch.arange(1, size + 1, dtype=lengths.dtype, device=lengths.device) * (math.pi / cutoff)
    return 2.0 / cutoff * torch.sin(lengths[:, None] * k) / lengths[:, None]


def smooth_cutoff(x: torch.Tensor, p: float) -> torch.Tensor:
    """Compute the polynomial cutoff of arXiv:2003.03123, Eq. 8.

    It falls from 1 at x = 0 to 0 at x = 1, where its first two derivatives vanish too.

    Args:
        x: [n_edges] distance divided by the cutoff.
        p: power of the polynomial.
    """
    value = (
        1.0
        - (p + 1.0) * (p + 2.0) / 2.0 * x.pow(p)
        + p * (p + 2.0) * x.pow(p + 1.0)
        - p * (p + 1.0) / 2.0 * x.pow(p + 2.0)
    )
    return torch.where(x < 1.0, value, torch.zeros_like(value))
