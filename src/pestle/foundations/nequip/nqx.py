"""Read and write the `.nqx` files of Nequix models.

A file has a line of JSON with the settings, then arrays in NumPy's format; neither holds code.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from ase.data import chemical_symbols

from pestle.checksums import replacing_with_sum
from pestle.errors import PestleError
from pestle.foundations.nequip.layers import Linear
from pestle.foundations.nequip.network import Network
from pestle.foundations.nequip.runtime import making, o3
from pestle.foundations.nequip.shape import MAX_DEGREE, Shape

#: Settings that this network only supports with these values.
FIXED = {"index_weights": False}


def read(path: Path) -> tuple[Network, tuple[int, ...], list[float]]:
    """Read a file.

    Args:
        path: the file.

    Returns:
        The network (float32), the atomic numbers, and the E0s in eV (float64) in the same order.

    Raises:
        PestleError: it is not such a file, is damaged, or holds another kind of network.
    """
    try:
        with path.open("rb") as stream:
            return _read(stream)
    except (OSError, ValueError, TypeError, ArithmeticError, MemoryError, RecursionError) as error:
        raise PestleError(
            f"it cannot be read as a Nequix model: {error}", where=str(path)
        ) from error


def _read(stream: BinaryIO) -> tuple[Network, tuple[int, ...], list[float]]:
    """Read an open file; errors are those of Python, which `read` explains."""
    settings = _settings(stream.readline())
    elements = tuple(settings["atomic_numbers"])
    e0s = [_number(settings["atom_energies"], str(z)) for z in elements]
    shape = shape_of(settings)
    shape.require_weights(os.fstat(stream.fileno()).st_size // 4)
    with making():
        scale, shift = _number(settings, "scale"), _number(settings, "shift")
        network = Network(shape, [scale], [shift])
    network.to(torch.float32)
    stored = _array(stream, (len(elements),))
    if not np.allclose(stored, e0s, rtol=1e-5, atol=1e-5):
        raise ValueError("its E0s differ from those in its settings")
    with torch.no_grad():
        for target in weights(network):
            array = _array(stream, tuple(target.shape))
            target.copy_(torch.from_numpy(array.astype(np.float32)))
    _require_end(stream)
    return network, elements, e0s


def _require_end(stream: BinaryIO) -> None:
    """Check that the file holds no more weights.

    Single numbers, which some programs of Nequix's authors wrote there, and a line break may follow
    the weights. A further array would be a weight that this network does not have.
    """
    while rest := stream.read(1).strip():
        stream.seek(-len(rest), 1)
        if np.lib.format.read_array(stream, allow_pickle=False).ndim:
            raise ValueError("it holds more weights than its settings say")


def _settings(line: bytes) -> dict[str, Any]:
    """Read and check the first line of a file."""
    try:
        settings = json.loads(line)
    except ValueError as error:
        raise ValueError(f"its first line is not JSON ({error})") from error
    if not isinstance(settings, dict):
        raise ValueError("its first line holds no settings")
    for name in ("atomic_numbers", "atom_energies"):
        if name not in settings:
            raise ValueError(f"its settings lack {name}")
    for name, value in FIXED.items():
        if settings.get(name, value) != value:
            raise ValueError(f"{name} is {settings[name]}")
    numbers = settings["atomic_numbers"]
    known = range(1, len(chemical_symbols))
    if not numbers or len(set(numbers)) < len(numbers) or any(z not in known for z in numbers):
        raise ValueError(f"atomic_numbers are {numbers}")
    if not isinstance(settings["atom_energies"], dict):
        raise ValueError("atom_energies are not by element")
    return settings


def _array(stream: BinaryIO, shape: tuple[int, ...]) -> np.ndarray:
    """Read the next array and check its shape and that its numbers are finite."""
    array = np.lib.format.read_array(stream, allow_pickle=False)
    if array.dtype.kind != "f":
        raise ValueError(f"an array holds {array.dtype} in place of real numbers")
    if array.shape != shape:
        raise ValueError(f"an array is {array.shape} where {shape} belongs")
    if not np.isfinite(array).all():
        raise ValueError("a weight is not finite")
    return array


def _number(settings: dict[str, Any], name: str, *, above: float = -math.inf) -> float:
    """Return a setting that must be a real number larger than `above`."""
    if name not in settings:
        raise ValueError(f"its settings lack {name}")
    value = settings[name]
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value <= above:
        raise ValueError(f"{name} is {value}")
    return float(value)


def _count(settings: dict[str, Any], name: str, *, least: int = 1) -> int:
    """Return a setting that must be a whole number, at least `least`."""
    value = _number(settings, name, above=least - 1)
    if value != int(value):
        raise ValueError(f"{name} is {value}")
    return int(value)


def shape_of(settings: dict[str, Any]) -> Shape:
    """Return the shape of the network that the settings of a file describe.

    Args:
        settings: the first line of the file.

    Raises:
        ValueError: a setting is missing or wrong, or would need another kind of network.
    """
    n_species, lmax = len(settings["atomic_numbers"]), _count(settings, "lmax", least=0)
    hidden = str(settings.get("hidden_irreps"))
    try:
        irreps = o3.Irreps(hidden)
    except ValueError as error:
        raise ValueError(f"hidden_irreps are {hidden}") from error
    natural = [f"{degree}{'eo'[degree % 2]}" for degree in range(len(irreps))]
    if not irreps or [str(ir) for _, ir in irreps] != natural or 0 in [mul for mul, _ in irreps]:
        raise ValueError(f"hidden_irreps {hidden} are not channels of 0e, 1o, 2e, … in this order")
    if not len(irreps) - 1 <= lmax <= MAX_DEGREE:
        raise ValueError(f"lmax is {lmax} with hidden_irreps {hidden}")
    return Shape(
        species=n_species,
        species_channels=n_species,
        channels=tuple(mul for mul, _ in irreps),
        lmax=lmax,
        layers=_count(settings, "n_layers"),
        basis_size=_count(settings, "radial_basis_size"),
        radial_width=_count(settings, "radial_mlp_size"),
        radial_depth=_count(settings, "radial_mlp_layers", least=0),
        cutoff=_number(settings, "cutoff", above=0.0),
        cutoff_power=_number(settings, "radial_polynomial_p", above=0.0),
        mean_neighbours=_number(settings, "avg_n_neighbors", above=0.0),
        layer_norm=bool(_number(settings, "layer_norm")),
        init_scale=_number(settings, "mlp_init_scale", above=0.0),
        heads=1,
    )


def weights(network: Network) -> Iterator[torch.Tensor]:
    """Yield the network's weights in the order of a file, as views that can be written to."""
    for layer in network.stack:
        yield from layer.radial.weights
        yield from _matrices(layer.linear_up or network.embedding)
        yield from _matrices(layer.linear_down)
        yield from _matrices(layer.skip)
        if layer.norm is not None:
            yield from layer.norm.weight.split(layer.norm.channels)
    yield from _matrices(network.readout)


def _matrices(linear: Linear) -> Iterator[torch.Tensor]:
    """Yield the matrices of a linear layer as views of its flat weight."""
    for part, shape in zip(linear.weight.split(linear.sizes), linear.shapes, strict=True):
        yield part.view(shape)


def write(path: Path, network: Network, elements: Sequence[int], e0s: Sequence[float]) -> None:
    """Write a network in float32, so that `read` and Nequix's own programs can read it.

    The hash of the file is written beside it.

    Args:
        path: file to write.
        network: the network, with one head and all its elements.
        elements: atomic numbers in the network's order.
        e0s: E0s in eV in the same order.
    """
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
    with replacing_with_sum(path) as temporary, temporary.open("wb") as stream:
        stream.write(json.dumps(settings).encode() + b"\n")
        np.save(stream, np.asarray(e0s, dtype=np.float32))
        for tensor in weights(network):
            np.save(stream, tensor.detach().cpu().numpy().astype(np.float32))
