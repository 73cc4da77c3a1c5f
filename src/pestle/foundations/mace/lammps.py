"""Write a MACE foundation as the files that LAMMPS loads.

Both formats are mace-torch's own: the pickled ML-IAP object (`pair_style mliap unified`) and the
TorchScript module (`pair_style mace`). mace's converter is not called, because it needs CUDA
libraries for the first format and asks questions about heads. Every file is tested on small
structures before it gets its name (`lammps_check`).

Importing `mace.calculators` sets the environment variable `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` for
the rest of the process. It is not reset here, because mace's calculator needs it and is imported
only once.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

import torch

from pestle.checksums import replacing_with_sum
from pestle.errors import PestleError
from pestle.foundations.interface import TARGET_HEAD
from pestle.foundations.mace.exporting import module_for_export
from pestle.foundations.mace.lammps_check import check
from pestle.foundations.mace.runtime import default_dtype
from pestle.foundations.network_foundation import NetworkFoundation

#: Ending of the file names of each format, as mace names them.
FORMATS = {"mliap": "-mliap_lammps.pt", "torchscript": "-lammps.pt"}


def require_supported(foundation: NetworkFoundation) -> None:
    """Check that LAMMPS can give the model everything that it reads.

    Args:
        foundation: a MACE foundation.

    Raises:
        PestleError: the model reads charge and spin, or has a long-range part.
    """
    network, name = foundation.network, foundation.provenance.name
    if hasattr(network, "joint_embedding"):
        raise PestleError(
            f"{name} reads the total charge and spin of a structure, which LAMMPS does not pass on",
            where="--to lammps",
            fix="Use it through ASE: --to ase.",
        )
    if type(network).__name__ not in ("MACE", "ScaleShiftMACE"):
        raise PestleError(
            f"{name} is a {type(network).__name__} model, whose long-range part mace's LAMMPS "
            "files lack",
            where="--to lammps",
            fix="Use it through ASE: --to ase.",
        )


def write_mliap(single: NetworkFoundation, path: Path) -> None:
    """Write mace's ML-IAP object as a pickle that holds no class of Pestle.

    Args:
        single: model with one head, called Default, on the CPU.
        path: file to write.
    """
    with redirect_stdout(io.StringIO()):
        from mace.calculators.lammps_mliap_mace import LAMMPS_MLIAP_MACE

    network = module_for_export(single)
    network.lammps_mliap = True
    with default_dtype(single.dtype):
        made = LAMMPS_MLIAP_MACE(network, head=TARGET_HEAD)
    # mace reads this from MACE_ALLOW_CPU when the object is made, not when LAMMPS runs. Without it
    # the file would refuse to run on a CPU.
    made.config.allow_cpu = True
    buffer = io.BytesIO()  # torch's own errors do not say that a disk is full
    torch.save(made, buffer)
    path.write_bytes(buffer.getbuffer())


def write_torchscript(single: NetworkFoundation, path: Path) -> None:
    """Compile mace's LAMMPS module and write it.

    Args:
        single: model with one head, called Default, on the CPU.
        path: file to write.

    Raises:
        PestleError: TorchScript cannot compile a block of this architecture.
    """
    with redirect_stdout(io.StringIO()):
        from e3nn.util import jit
        from mace.calculators.lammps_mace import LAMMPS_MACE

    module = LAMMPS_MACE(module_for_export(single), head=TARGET_HEAD)
    try:
        with default_dtype(single.dtype), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript cannot type some blocks exactly
            compiled = jit.compile(module)
    except (RuntimeError, NotImplementedError) as error:
        blocks = sorted({type(block).__name__ for block in single.network.interactions})
        raise PestleError(
            "mace-torch cannot compile this architecture to TorchScript "
            f"({', '.join(blocks)}), so there is no file for pair_style mace",
            where="--to lammps",
            fix="Write the ML-IAP file alone: --to lammps-mliap.",
        ) from error
    path.write_bytes(compiled.save_to_buffer())


_WRITERS = {"mliap": write_mliap, "torchscript": write_torchscript}


def write(single: NetworkFoundation, files: Mapping[str, Path]) -> None:
    """Write the files of a model, test them, and write the hash of each beside it.

    Either all files are written or none.

    Args:
        single: model with one head, called Default, on the CPU (`exporting.single_head`).
        files: file to write for each format (a key of `FORMATS`).

    Raises:
        PestleError: a file cannot be made, or does not give the foundation's energies and forces.
    """
    with ExitStack() as stack:
        for name, path in files.items():
            temporary = stack.enter_context(replacing_with_sum(Path(path)))
            _WRITERS[name](single, temporary)
            check(single, name, temporary)
