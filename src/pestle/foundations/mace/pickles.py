"""Read mace's own `.model` files, which are pickles, after they were trusted."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from pestle.errors import PestleError
from pestle.foundations.interface import Provenance
from pestle.foundations.mace import architecture
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.foundations.mace.runtime import Network, local_seed
from pestle.foundations.safe_files import require_finite
from pestle.structures.frame import Frame
from pestle.structures.graphs import collate, make_graphs

#: Largest relative difference in float64 between a rebuilt network and the one in the file.
FIDELITY = 1e-10


def _check_kind(content: bytes, path: Path) -> None:
    """Raise a `PestleError` if a file is not a pickled module, before anything in it runs."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise PestleError(
            "it is not a PyTorch file, or it is damaged or cut short", where=str(path)
        ) from error
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise PestleError(
            "it is a TorchScript file, whose weights cannot be fine-tuned",
            where=str(path),
            fix="Give the .model file it was compiled from.",
        )


def read_module(content: bytes, path: Path) -> Network:
    """Unpickle a trusted file, which runs code that the file names.

    Args:
        content: the bytes of the file.
        path: the file, for errors.

    Raises:
        PestleError: the file cannot be loaded, or holds something else than a model.
    """
    _check_kind(content, path)
    try:
        # Only here does Pestle let a file run code. Callers have made sure that it is trusted.
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise PestleError(
            f"it cannot be loaded, it may be damaged ({error})", where=str(path)
        ) from error
    except (ImportError, AttributeError) as error:
        raise PestleError(
            f"it needs a library or a version of one that is not installed ({error})",
            where=str(path),
        ) from error
    if isinstance(found, dict):
        raise PestleError(
            "it holds weights only (a state dict or checkpoint), not a whole model",
            where=str(path),
            fix="Give the .model file that the training wrote at its end.",
        )
    if not isinstance(found, torch.nn.Module):
        raise PestleError(f"it holds a {type(found).__name__}, not a model", where=str(path))
    return found


def _samples(network: Network) -> list[Frame]:
    """Make a few random clusters and single atoms of the model's elements."""
    numbers = np.array([int(z) for z in network.atomic_numbers])
    generator = np.random.default_rng(0)
    reach = float(network.r_max)
    frames = [Frame(Atoms(numbers=[numbers[k]])) for k in {0, len(numbers) - 1}]
    for _ in range(3):
        spread = generator.uniform(0.0, reach, (6, 3))
        frames.append(Frame(Atoms(numbers=generator.choice(numbers, 6), positions=spread)))
    return frames


def _assert_faithful(original: MaceFoundation, rebuilt: MaceFoundation, path: Path) -> None:
    """Raise a `PestleError` unless both models give the same energies and forces for every head."""
    graphs = collate(make_graphs(_samples(original.network), original.cutoff))
    for row, head in enumerate(original.heads):
        wanted = original.predict(graphs.with_head(row))
        found = rebuilt.predict(graphs.with_head(row))
        for quantity in ("interaction_energy", "forces"):
            a, b = getattr(wanted, quantity), getattr(found, quantity)
            if not torch.allclose(a, b, rtol=FIDELITY, atol=FIDELITY * float(1 + a.abs().max())):
                error = architecture.unsupported(
                    f"rebuilt from its description it gives other {quantity} for head {head}"
                )
                raise PestleError(error.what, where=str(path), fix=error.fix)


def from_pickle(content: bytes, path: Path, *, provenance: Provenance) -> MaceFoundation:
    """Load the foundation in a trusted `.model` file and rebuild it from its description.

    Rebuilding shows at once whether the model can be saved, reduced and trained. The rebuilt
    network is compared with the one in the file before it is returned.

    Args:
        content: the bytes of the file.
        path: the file, for errors.
        provenance: where the model comes from.

    Raises:
        PestleError: the file holds no MACE energy model, a weight is not finite, or the rebuilt
            network gives other predictions.
    """
    module = read_module(content, path)
    if not hasattr(module, "atomic_energies_fn"):
        raise PestleError(
            f"it holds a {type(module).__name__}, which is not a MACE energy model", where=str(path)
        )
    require_finite(module.state_dict(), path)
    dtype = next(module.parameters()).dtype
    e0s = torch.atleast_2d(module.atomic_energies_fn.atomic_energies.detach()).double().clone()
    try:
        network = architecture.build(architecture.describe(module))
        state = module.to(dtype).state_dict()
        state["atomic_energies_fn.atomic_energies"] = network.atomic_energies_fn.atomic_energies
        architecture.load_tensors(network, state)
    except PestleError as error:
        raise PestleError(error.what, where=str(path), fix=error.fix) from error
    made = MaceFoundation(network, provenance=provenance, e0s=e0s)
    with local_seed(0):
        original = MaceFoundation(module, provenance=made.provenance, e0s=e0s).to(torch.float64)
        original.use_kernels("mace")  # runs the network of the file as mace does
        _assert_faithful(original, made.with_dtype(torch.float64), path)
    return made
