"""Reading mace's own `.model` files, which are pickled programs, once they are trusted."""

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

#: A rebuilt network may differ from the file's by this much, relative, in float64.
FIDELITY = 1e-10


def _check_kind(content: bytes, path: Path) -> None:
    """Say what a file is, if it is not a pickled module, before anything in it runs."""
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
    """Unpickle a trusted file: this runs code that the file names.

    Args:
        content: what the file holds.
        path: the file, for errors.

    Raises:
        PestleError: the file holds something else than a MACE model.
    """
    _check_kind(content, path)
    try:
        # The only place where Pestle lets a file run code; callers ask for trust before.
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
    """A few random clusters and single atoms over the model's elements."""
    numbers = np.array([int(z) for z in network.atomic_numbers])
    generator = np.random.default_rng(0)
    reach = float(network.r_max)
    frames = [Frame(Atoms(numbers=[numbers[k]])) for k in {0, len(numbers) - 1}]
    for _ in range(3):
        spread = generator.uniform(0.0, reach, (6, 3))
        frames.append(Frame(Atoms(numbers=generator.choice(numbers, 6), positions=spread)))
    return frames


def _assert_faithful(original: MaceFoundation, rebuilt: MaceFoundation, path: Path) -> None:
    """Every head of both gives the same energies and forces in float64."""
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
    """The foundation in a trusted `.model` file, rebuilt from its description.

    Rebuilding shows at once whether the model can be saved, cut down and trained; the rebuilt
    network is compared with the one in the file before it is handed out.
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
        original.use_kernels("mace")  # the file as its own program runs it
        _assert_faithful(original, made.with_dtype(torch.float64), path)
    return made
