"""The published network in plain e3nn, straight from the arrays of a `.nqx` file.

Independent of `pestle.foundations.nequip`: one `o3.TensorProduct` over all paths, `o3.Linear` on
its sorted output, features as e3nn's flat vectors. It is what a speed-up is compared with too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from scipy.special import ndtri

from pestle.foundations.nequip.runtime import o3


def silu_factor() -> float:
    """1/√⟨SiLU²⟩ over a million quantiles of the normal distribution, as e3nn-jax normalises."""
    x = ndtri(np.linspace(0.0, 1.0, 1_000_003)[1:-1])
    return float(np.mean((x / (1.0 + np.exp(-x))) ** 2) ** -0.5)


SILU = silu_factor()


def read(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The settings, and every array that follows them."""
    arrays = []
    with path.open("rb") as stream:
        settings = json.loads(stream.readline())
        while stream.peek(1)[:6] == b"\x93NUMPY":
            arrays.append(np.load(stream))
    return settings, arrays


class Layer(torch.nn.Module):
    """One layer; takes its arrays off the front of the list."""

    def __init__(
        self, irreps_in: o3.Irreps, irreps_out: o3.Irreps, settings: dict, arrays: list[np.ndarray]
    ) -> None:
        super().__init__()
        gates = sum(mul for mul, ir in irreps_out if ir.l > 0)
        scalars = irreps_out.count("0e")
        raw = o3.Irreps([(scalars + gates, "0e"), *[x for x in irreps_out if x.ir.l > 0]])
        self.irreps_in, self.irreps_out, self.raw = irreps_in, irreps_out, raw
        harmonics = o3.Irreps.spherical_harmonics(settings["lmax"])
        middle, instructions = [], []
        for i, (mul, ir_in) in enumerate(irreps_in):
            for j, (_, ir_edge) in enumerate(harmonics):
                for ir in ir_in * ir_edge:
                    if ir in [x.ir for x in raw]:
                        instructions.append((i, j, len(middle), "uvu", True))
                        middle.append((mul, ir))
        middle, order, _ = o3.Irreps(middle).sort()
        instructions = sorted(
            ((i, j, order[k], mode, train) for i, j, k, mode, train in instructions),
            key=lambda instruction: instruction[2],
        )
        self.product = o3.TensorProduct(
            irreps_in, harmonics, middle, instructions, shared_weights=False,
            internal_weights=False,
        )  # fmt: skip
        self.radial = [_take(arrays) for _ in range(settings["radial_mlp_layers"] + 1)]
        self.up = _linear(irreps_in, irreps_in)
        self.down = _linear(middle, raw)
        self.skip = _linear(irreps_in, raw)
        self.up_weight = _blocks(arrays, len(irreps_in))
        self.down_weight = _blocks(arrays, len(raw))
        self.skip_weight = _blocks(arrays, sum(x.ir in irreps_in for x in raw))
        self.norm = [_take(arrays) for _ in raw] if settings["layer_norm"] else None
        self.neighbours = settings["avg_n_neighbors"]

    def forward(self, features, basis, harmonics, sender, receiver):
        weights = basis
        for matrix in self.radial[:-1]:
            weights = torch.nn.functional.silu(weights @ matrix)
        weights = weights @ self.radial[-1]
        sent = self.up(features, self.up_weight)
        messages = self.product(sent[sender], harmonics, weights)
        received = features.new_zeros(len(features), messages.shape[1])
        received.index_add_(0, receiver, messages)
        new = self.down(received / self.neighbours**0.5, self.down_weight)
        new = new + self.skip(features, self.skip_weight)
        return self.gate(self.normed(new))

    def _parts(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """[n, mul, 2l + 1] of every block."""
        return [
            flat[:, part].reshape(len(flat), x.mul, x.ir.dim)
            for x, part in zip(self.raw, self.raw.slices(), strict=True)
        ]

    def normed(self, flat: torch.Tensor) -> torch.Tensor:
        if self.norm is None:
            return flat
        parts = self._parts(flat)
        square = 0.0
        for x in parts:
            dim = x.shape[2]
            square = square + x.square().mean(dim=2).sum(dim=1) / (dim * len(parts))
        root = (square + 1e-12).sqrt()[:, None, None]
        scaled = [x / root * w[:, None] for x, w in zip(parts, self.norm, strict=True)]
        return torch.cat([x.flatten(1) for x in scaled], dim=1)

    def gate(self, flat: torch.Tensor) -> torch.Tensor:
        scalars, *others = self._parts(flat)
        scalars = SILU * torch.nn.functional.silu(scalars.squeeze(2))
        found, start = [], self.irreps_out.count("0e")
        found.append(scalars[:, :start])
        for x in others:
            gates = scalars[:, start : start + x.shape[1]]
            start += x.shape[1]
            found.append((x * gates[:, :, None]).flatten(1))
        return torch.cat(found, dim=1)


class Reference(torch.nn.Module):
    """Energy and forces of structures, in float64.

    Args:
        path: a `.nqx` file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.settings, arrays = read(path)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # e3nn's constants
        try:
            self._build(arrays)
        finally:
            torch.set_default_dtype(before)

    def _build(self, arrays: list[np.ndarray]) -> None:
        settings = self.settings
        assert len(arrays.pop(0)) == len(settings["atomic_numbers"])
        hidden = o3.Irreps(settings["hidden_irreps"])
        irreps = o3.Irreps([(len(settings["atomic_numbers"]), "0e")])
        layers = []
        for k in range(settings["n_layers"]):
            last = k == settings["n_layers"] - 1
            outputs = o3.Irreps([x for x in hidden if x.ir.l == 0]) if last else hidden
            layers.append(Layer(irreps, outputs, settings, arrays))
            irreps = outputs
        self.layers = torch.nn.ModuleList(layers)
        self.readout, self.readout_weight = _linear(irreps, "0e"), _blocks(arrays, 1)

    def energy_and_forces(self, atoms: Atoms) -> tuple[float, np.ndarray]:
        """eV, and eV/Å [n_atoms, 3]."""
        settings = self.settings
        i, j, shifts = neighbor_list("ijS", atoms, settings["cutoff"])
        sender, receiver = torch.from_numpy(i), torch.from_numpy(j)
        positions = torch.tensor(atoms.positions, requires_grad=True)
        vectors = positions[receiver] - positions[sender]
        vectors = vectors + torch.from_numpy(shifts @ atoms.cell.array)
        columns = [settings["atomic_numbers"].index(z) for z in atoms.numbers]
        shares = self.shares(torch.tensor(columns), vectors, sender, receiver)
        (gradient,) = torch.autograd.grad(shares.sum(), positions)
        e0s = sum(settings["atom_energies"][str(z)] for z in atoms.numbers)
        return shares.sum().item() + e0s, -gradient.numpy()

    def shares(self, columns, vectors, sender, receiver) -> torch.Tensor:
        """Interaction energies of the atoms."""
        settings = self.settings
        n_species, cutoff = len(settings["atomic_numbers"]), settings["cutoff"]
        lengths = vectors.norm(dim=1, keepdim=True)
        x, p = lengths / cutoff, settings["radial_polynomial_p"]
        inside = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1)
        envelope = (inside - p * (p + 1) / 2 * x ** (p + 2)) * (x < 1)
        n = torch.arange(1, settings["radial_basis_size"] + 1, dtype=torch.float64)
        basis = 2 / cutoff * torch.sin(n * torch.pi * x) / lengths * envelope
        irreps = o3.Irreps.spherical_harmonics(settings["lmax"])
        harmonics = o3.spherical_harmonics(irreps, vectors, True, normalization="component")
        features = torch.nn.functional.one_hot(columns, n_species).double()
        for layer in self.layers:
            features = layer(features, basis, harmonics, sender, receiver)
        out = self.readout(features, self.readout_weight).squeeze(1)
        # Single precision, as the authors' program has them.
        return float(np.float32(settings["scale"])) * out + float(np.float32(settings["shift"]))


def _linear(irreps_in, irreps_out) -> o3.Linear:
    return o3.Linear(irreps_in, irreps_out, internal_weights=False, shared_weights=True)


def _take(arrays: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(arrays.pop(0).astype(float))


def _blocks(arrays: list[np.ndarray], count: int) -> torch.Tensor:
    """Flat weight of an `o3.Linear`: the rows of a block are its paths, one after the other."""
    return torch.cat([_take(arrays).flatten() for _ in range(count)])
