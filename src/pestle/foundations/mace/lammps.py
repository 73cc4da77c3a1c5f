"""Writing a MACE foundation as the files that LAMMPS loads.

Both are mace-torch's own: the pickled ML-IAP object (`pair_style mliap unified`) and the
TorchScript module (`pair_style mace`). mace's converter is not called, because it wants CUDA
libraries for the first and asks questions about heads. Every file is run on small structures before
it gets its name (`lammps_check`).

Importing `mace.calculators` sets `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD` for the rest of the process; it
stays, because mace's calculator needs it and is imported only once.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pestle.checksums import replacing_with_sum
from pestle.errors import PestleError
from pestle.foundations.interface import TARGET_HEAD
from pestle.foundations.mace.exporting import module_for_export, with_default_head
from pestle.foundations.mace.lammps_check import check
from pestle.foundations.mace.runtime import default_dtype

if TYPE_CHECKING:
    from pestle.foundations.mace.foundation import MaceFoundation

#: Formats and how the names of their files end, as mace names them.
FORMATS = {"mliap": "-mliap_lammps.pt", "torchscript": "-lammps.pt"}


def _refuse_unsupported(foundation: MaceFoundation) -> None:
    """Models whose inputs LAMMPS does not have."""
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


def single_head(foundation: MaceFoundation, head: str | None) -> MaceFoundation:
    """The chosen head alone, called Default, on the CPU and in the precision to write."""
    made = with_default_head(foundation, foundation.heads[foundation.head_index(head)])
    if made.needs_double and made.dtype != torch.float64:
        made = made.with_dtype(torch.float64)
    if made.device.type != "cpu":
        made = (made.copy() if made is foundation else made).to("cpu")
    return made


def write_mliap(single: MaceFoundation, path: Path) -> None:
    """Pickle mace's ML-IAP object; nothing in it is Pestle's."""
    with redirect_stdout(io.StringIO()):
        from mace.calculators.lammps_mliap_mace import LAMMPS_MLIAP_MACE

    network = module_for_export(single)
    network.lammps_mliap = True
    with default_dtype(single.dtype):
        made = LAMMPS_MLIAP_MACE(network, head=TARGET_HEAD)
    # mace reads this from MACE_ALLOW_CPU, but when the object is made, not when LAMMPS runs.
    made.config.allow_cpu = True
    buffer = io.BytesIO()  # torch says nothing of the disk when it writes to a file itself
    torch.save(made, buffer)
    path.write_bytes(buffer.getbuffer())


def write_torchscript(single: MaceFoundation, path: Path) -> None:
    """Compile mace's LAMMPS module.

    Raises:
        PestleError: TorchScript does not understand some block of this architecture.
    """
    with redirect_stdout(io.StringIO()):
        from e3nn.util import jit
        from mace.calculators.lammps_mace import LAMMPS_MACE

    module = LAMMPS_MACE(module_for_export(single), head=TARGET_HEAD)
    try:
        with default_dtype(single.dtype), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of blocks that TorchScript types loosely
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


def export(
    foundation: MaceFoundation, files: Mapping[str, Path], *, head: str | None = None
) -> None:
    """Write the files of one head, checked, and the hash of each beside it; all of them complete
    or none.

    Args:
        foundation: the model.
        files: format (a key of `FORMATS`) → file to write.
        head: name of the head; by default the only one, or Default.

    Raises:
        PestleError: the model cannot run in LAMMPS, or a file that was written does not give the
            foundation's energies and forces.
    """
    _refuse_unsupported(foundation)
    single = single_head(foundation, head)
    with ExitStack() as stack:
        for name, path in files.items():
            temporary = stack.enter_context(replacing_with_sum(Path(path)))
            _WRITERS[name](single, temporary)
            check(single, name, temporary)
