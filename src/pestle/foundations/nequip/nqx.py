"""The `.nqx` files of Nequix models: settings on a line of JSON, then arrays. No code in either."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from pestle.errors import PestleError
from pestle.files import replacing
from pestle.foundations.nequip.network import Linear, Network, Shape
from pestle.foundations.nequip.runtime import making, o3

#: Settings whose other values would need another network.
FIXED = {"index_weights": False}


def read(path: Path) -> tuple[Network, tuple[int, ...], list[float]]:
    """Network (float32), atomic numbers, and E0s in eV (float64) of a file.

    Raises:
        PestleError: it is no such file, is damaged, or holds another kind of network.
    """
    try:
        with path.open("rb") as stream:
            return _read(stream)
    except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
        raise PestleError(
            f"it cannot be read as a Nequix model ({type(error).__name__}: {error})",
            where=str(path),
        ) from error


def _read(stream: BinaryIO) -> tuple[Network, tuple[int, ...], list[float]]:
    settings = json.loads(stream.readline())
    for name, value in FIXED.items():
        if settings.get(name, value) != value:
            raise ValueError(f"{name} is {settings[name]}")
    elements = tuple(int(z) for z in settings["atomic_numbers"])
    table = {int(z): float(e) for z, e in settings["atom_energies"].items()}
    e0s = [table[z] for z in elements]
    with making():
        network = Network(shape_of(settings), [settings["scale"]], [settings["shift"]])
    network.to(torch.float32)
    stored = np.load(stream, allow_pickle=False)
    if not np.allclose(stored, e0s, rtol=1e-5, atol=1e-5):
        raise ValueError("its E0s differ from those in its settings")
    with torch.no_grad():
        for target in weights(network):
            array = np.load(stream, allow_pickle=False)
            if array.shape != tuple(target.shape):
                raise ValueError(f"an array is {array.shape} where {tuple(target.shape)} belongs")
            target.copy_(torch.from_numpy(array.astype(np.float32)))
    if not all(bool(p.isfinite().all()) for p in network.parameters()):
        raise ValueError("a weight is not finite")
    return network, elements, e0s


def shape_of(settings: dict[str, Any]) -> Shape:
    """Sizes of the network from the settings of a file."""
    irreps = o3.Irreps(settings["hidden_irreps"])
    natural = [f"{degree}{'eo'[degree % 2]}" for degree in range(len(irreps))]
    if [str(ir) for _, ir in irreps] != natural:
        raise ValueError(f"hidden_irreps {irreps} are not 0e, 1o, 2e, … in this order")
    n_species = len(settings["atomic_numbers"])
    return Shape(
        species=n_species,
        species_channels=n_species,
        channels=tuple(mul for mul, _ in irreps),
        lmax=int(settings["lmax"]),
        layers=int(settings["n_layers"]),
        basis_size=int(settings["radial_basis_size"]),
        radial_width=int(settings["radial_mlp_size"]),
        radial_depth=int(settings["radial_mlp_layers"]),
        cutoff=float(settings["cutoff"]),
        cutoff_power=float(settings["radial_polynomial_p"]),
        mean_neighbours=float(settings["avg_n_neighbors"]),
        layer_norm=bool(settings["layer_norm"]),
        init_scale=float(settings["mlp_init_scale"]),
        heads=1,
    )


def weights(network: Network) -> Iterator[torch.Tensor]:
    """The network's weights in the order of a file, as views that can be written to."""
    for layer in network.stack:
        yield from layer.radial.weights
        yield from _matrices(layer.linear_up or network.embedding)
        yield from _matrices(layer.linear_down)
        yield from _matrices(layer.skip)
        if layer.norm is not None:
            yield from layer.norm.weight.split(layer.norm.channels)
    yield from _matrices(network.readout)


def _matrices(linear: Linear) -> Iterator[torch.Tensor]:
    for part, shape in zip(linear.weight.split(linear.sizes), linear.shapes, strict=True):
        yield part.view(shape)


def write(path: Path, network: Network, elements: Sequence[int], e0s: Sequence[float]) -> None:
    """Write a network with one head and all its elements as `read` and Nequix's own programs read
    it, in float32."""
    shape = network.shape
    letters = ("e", "o")
    settings = {
        "cutoff": shape.cutoff,
        "atomic_numbers": list(elements),
        "atom_energies": {str(z): e for z, e in zip(elements, e0s, strict=True)},
        "avg_n_neighbors": shape.mean_neighbours,
        "scale": float(network.scale[0]),
        "shift": float(network.shift[0]),
        "hidden_irreps": " + ".join(
            f"{mul}x{degree}{letters[degree % 2]}" for degree, mul in enumerate(shape.channels)
        ),
        "lmax": shape.lmax,
        "n_layers": shape.layers,
        "radial_basis_size": shape.basis_size,
        "radial_mlp_size": shape.radial_width,
        "radial_mlp_layers": shape.radial_depth,
        "radial_polynomial_p": shape.cutoff_power,
        "mlp_init_scale": shape.init_scale,
        "layer_norm": shape.layer_norm,
        **FIXED,
    }
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(json.dumps(settings).encode() + b"\n")
        np.save(stream, np.asarray(e0s, dtype=np.float32))
        for tensor in weights(network):
            np.save(stream, tensor.detach().cpu().numpy().astype(np.float32))
