"""The network of a NequIP-type model: energies per atom from numbers, vectors and neighbours.

arXiv:2101.03164 with the layer norm and the sizes of Nequix (arXiv:2508.16067). Node features are
lists of blocks, one for each l = 0, 1, …, as [n_atoms, 2l + 1, channels]; parity is (-1)^l
throughout. Nothing here differentiates; the foundation does.
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
#: Bounds of sizes: what lies beyond is a damaged file. parts.py names degrees up to the highest.
MAX_WIDTH, MAX_DEPTH, MAX_DEGREE = 4096, 32, 6
#: 1/√⟨SiLU(z)²⟩ for a standard normal z as the published networks were trained with: the mean over
#: a million quantiles. (The integral gives 1.676532; with it OMat energies are off by up to 6e-5
#: eV/atom.)
SILU_FACTOR = 1.676562056
#: Under the root of the layer norm.
NORM_EPS = 1e-12


@dataclass(frozen=True)
class Shape:
    """What fixes the network but for its weights.

    Attributes:
        species: number of elements.
        species_channels: channels that the species are embedded in.
        channels: of the hidden features by l.
        lmax: of the spherical harmonics.
        layers: interaction layers; the last one puts out scalars only.
        basis_size, radial_width, radial_depth: Bessel functions; width and number of the hidden
            layers of the radial network.
        cutoff: Å.
        cutoff_power: p of the polynomial cutoff.
        mean_neighbours: that sums over neighbours are divided by the root of.
        layer_norm: whether every layer ends in one.
        init_scale: variance of the radial network's hidden weights at first, times their fan-in.
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
            ValueError: one of them.
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
        """A network of this shape must not need more weights than a file holds.

        Raises:
            ValueError: it does.
        """
        depth = max(0, self.radial_depth - 1)
        radial = self.basis_size * self.radial_width + depth * self.radial_width**2
        linear = (self.layers - 1) * sum(n**2 for n in self.channels)
        needed = linear + (self.layers * radial if self.radial_depth else 0)
        if needed > held:
            raise ValueError(f"a network of at least {needed:,} weights, and there are {held:,}")

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "channels": list(self.channels)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Shape:
        """From plain data.

        Raises:
            TypeError, ValueError: an entry is missing, unknown, or no size of a network.
        """
        return cls(**{**plain, "channels": tuple(plain.get("channels", ()))})


class Linear(torch.nn.Module):
    """Equivariant linear layer: a matrix for every l that input and output share.

    One flat weight holds the blocks [n_in, n_out] in the order of l. A block acts as `weight /
    √n_in`, e3nn's convention for one path.

    Args:
        inputs, outputs: channels by l.
    """

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        super().__init__()
        self.shapes = tuple((a, b) for a, b in zip(inputs, outputs, strict=False) if a and b)
        self.sizes = [a * b for a, b in self.shapes]
        self.weight = torch.nn.Parameter(torch.randn(sum(self.sizes)))

    @property
    def path_weights(self) -> tuple[float, ...]:
        """1/√n_in of every block."""
        return tuple(n_in**-0.5 for n_in, _ in self.shapes)

    def matrices(self) -> Blocks:
        """[n_in, n_out] of every block, as it acts."""
        parts = self.weight.split(self.sizes)
        return [
            part.view(shape) * factor
            for part, shape, factor in zip(parts, self.shapes, self.path_weights, strict=True)
        ]

    def forward(self, features: Blocks) -> Blocks:
        return [x @ w for x, w in zip(features, self.matrices(), strict=False)]


class Radial(torch.nn.Module):
    """The weights of all paths from the radial basis: a network without biases, SiLU between."""

    def __init__(self, sizes: Sequence[int], init_scale: float) -> None:
        super().__init__()
        # No activation follows the last layer, and none has to be made up for there.
        variances = [init_scale] * (len(sizes) - 2) + [1.0]
        self.weights = torch.nn.ParameterList(
            torch.nn.Parameter(torch.randn(a, b) * math.sqrt(variance / a))
            for a, b, variance in zip(sizes[:-1], sizes[1:], variances, strict=True)
        )

    def hidden(self, basis: torch.Tensor) -> torch.Tensor:
        """Hidden units [n_edges, width] from [n_edges, basis_size]; zero for a basis of zero. The
        weights of the paths are their product with the last of `weights`."""
        hidden = basis
        for weight in list(self.weights)[:-1]:
            hidden = torch.nn.functional.silu(hidden @ weight)
        return hidden


class LayerNorm(torch.nn.Module):
    """Norm over all blocks together, without centring; one weight per channel.

    The square is Σ_l Σ_channels ⟨x²⟩ / ((2l + 1) · blocks), ⟨⟩ the mean over the components of l.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        self.weight = torch.nn.Parameter(torch.ones(sum(channels)))

    def forward(self, features: Blocks) -> Blocks:
        squares = [x.pow(2).sum(dim=(1, 2)) / (x.shape[1] ** 2) for x in features]
        scale = (torch.stack(squares).mean(dim=0) + NORM_EPS).rsqrt()[:, None, None]
        weights = self.weight.split(self.channels)
        return [x * scale * w for x, w in zip(features, weights, strict=True)]


class Gate(torch.nn.Module):
    """SiLU on the scalars of the output; the scalars beyond them gate the other blocks.

    SiLU is normalised to unit second moment under a normal distribution.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.sizes = list(channels)

    def forward(self, features: Blocks) -> Blocks:
        scalars, *gates = features[0].split(self.sizes, dim=2)
        silu = torch.nn.functional.silu
        out = [silu(scalars) * SILU_FACTOR]
        out += [x * (silu(g) * SILU_FACTOR) for x, g in zip(features[1:], gates, strict=True)]
        return out


class Layer(torch.nn.Module):
    """One interaction: messages from the neighbours, update, norm and gate.

    Args:
        inputs: channels of the features that come in, by l.
        outputs: channels of the features that go out, by l.
        shape: of the network.
        embedded: the first linear layer is the species embedding, which stands before.
    """

    def __init__(
        self, inputs: Sequence[int], outputs: Sequence[int], shape: Shape, *, embedded: bool
    ) -> None:
        super().__init__()
        raw = [sum(outputs), *outputs[1:]]  # scalars and the gates of all other channels
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
        """Features of the atoms after the layer.

        Args:
            features: what the skip connection reads.
            sent: what is sent to the neighbours, before `linear_up`.
            basis: [n_edges, basis_size] radial basis.
            harmonics: [n_edges, (lmax + 1)²].
            around: neighbours of the atoms.
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
    """Interaction energies of atoms, in eV, and their invariant features.

    Args:
        shape: sizes.
        scale, shift: eV by head; an atom's energy is scale · readout + shift.
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
        """The interaction layers in their order."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def features(
        self, columns: torch.Tensor, vectors: torch.Tensor, edge_index: torch.Tensor
    ) -> list[torch.Tensor]:
        """Scalars of every layer, each [n_atoms, channels].

        Args:
            columns: [n_atoms] position of the element in the model.
            vectors: [n_edges, 3] Å, from sender to receiver.
            edge_index: [2, n_edges].
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
        """Interaction energy of every atom, [n_atoms] eV, read by the head of each.

        Args:
            columns, vectors, edge_index: as for `features`.
            heads: [n_atoms] head that predicts the atom.
        """
        scalars = self.features(columns, vectors, edge_index)[-1]
        by_head = self.readout([scalars[:, None, :]])[0].squeeze(1)
        energies = by_head.gather(1, heads[:, None]).squeeze(1)
        return energies * self.scale[heads].to(energies) + self.shift[heads].to(energies)


def bessel(lengths: torch.Tensor, size: int, cutoff: float) -> torch.Tensor:
    """[n, size] 2/r_c · sin(kπr/r_c)/r for k = 1 … size."""
    k = torch.arange(1, size + 1, dtype=lengths.dtype, device=lengths.device) * (math.pi / cutoff)
    return 2.0 / cutoff * torch.sin(lengths[:, None] * k) / lengths[:, None]


def smooth_cutoff(x: torch.Tensor, p: float) -> torch.Tensor:
    """The polynomial that goes from 1 at x = 0 to 0 at x = 1 with two vanishing derivatives
    (arXiv:2003.03123, Eq. 8)."""
    value = (
        1.0
        - (p + 1.0) * (p + 2.0) / 2.0 * x.pow(p)
        + p * (p + 2.0) * x.pow(p + 1.0)
        - p * (p + 1.0) / 2.0 * x.pow(p + 2.0)
    )
    return torch.where(x < 1.0, value, torch.zeros_like(value))
