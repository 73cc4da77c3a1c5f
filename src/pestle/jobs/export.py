"""`pestle export`: a model as the files that ASE and LAMMPS load."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from pestle.checksums import sum_beside
from pestle.errors import PestleError
from pestle.files import sha256
from pestle.foundations.capabilities import LammpsFiles, OwnFile, require
from pestle.foundations.devices import DTYPES
from pestle.foundations.dispersion import correction_for
from pestle.foundations.interface import TARGET_HEAD
from pestle.jobs.export_dispersion import (
    dispersion_notes,
    require_absent,
    script_beside,
    write_script,
)
from pestle.jobs.export_files import files_to_write, formats_of, name_and_folder, require_target
from pestle.jobs.export_model import chosen_head, in_own_precision, in_precision, with_chosen_head
from pestle.jobs.models import load_model
from pestle.locks import locked_file
from pestle.progress import stage
from pestle.views import Shown, Table


@dataclass(frozen=True, repr=False)
class Exported(Shown):
    """Files that an export wrote.

    Attributes:
        model: name of the model.
        head: exported head of the model.
        heads: heads in the files; the last one is the default.
        dtype: precision of the network in the files.
        elements: chemical symbols of the model in the files.
        cutoff: cutoff radius of neighbours, Å.
        licence: licence of the weights.
        files: kind of file → path.
        notes: what the user should know about the files.
        dispersion: whether the model includes dispersion: included, none or unknown.
        correction: D3 correction to add to the model, as requested; empty for none.
        sha256: kind of file → SHA-256; it is also in `NAME.sha256` beside the file.
    """

    model: str
    head: str
    heads: tuple[str, ...]
    dtype: str
    elements: tuple[str, ...]
    cutoff: float
    licence: str
    files: dict[str, str]
    notes: tuple[str, ...]
    dispersion: str = "unknown"
    correction: str = ""
    sha256: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Exported {self.lines()[0]}>"

    def lines(self) -> list[str]:
        """Return the model, and what the user should know about its files."""
        return [f"{self.model}, head {self.head}, {self.dtype}", *self.notes]

    def tables(self) -> list[Table]:
        """Return a table of the files."""
        rows = [[kind, path] for kind, path in self.files.items()]
        return [Table("files", ["kind", "file"], rows)]

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as plain data."""
        return asdict(self)


def export(
    model: str,
    *,
    to: str,
    foundation: str | None = None,
    head: str | None = None,
    all_heads: bool = False,
    dtype: str | None = None,
    dispersion: str | None = None,
    trust: bool = False,
    out: str | Path | None = None,
) -> Exported:
    """Write a model as files for ASE or LAMMPS.

    >>> pestle.export("runs/mine", to="lammps").files

    Args:
        model: run folder, model folder, `.model` file (with trust), `.nqx` file, catalogue name,
            or an `adapter.safetensors`.
        to: `ase` (one file for the architecture's own calculator, such as MACECalculator),
            `lammps` (all files that the architecture offers for LAMMPS, compared with the model)
            or `lammps-FORMAT` for one of these.
        foundation: foundation of an adapter; by default the one that its file names.
        head: head of the model; by default the only one, or Default. It is called Default in the
            files.
        all_heads: keep the other heads in the file for ASE; the chosen one is the last.
        dtype: precision of the files, float32 or float64; by default the model's, but float64 if
            its reference energies are too large for float32.
        dispersion: functional of the D3 correction to add to the model (`pbe`), or `removed`: the
            correction that was taken from its training labels. For ASE, a file `NAME_d3.py` beside
            the model file makes the calculator of the sum; for LAMMPS, the notes say which lines
            add the correction.
        trust: allow a `.model` file.
        out: folder to write to, or a file with the ending of the format; by default the folder
            `export` beside the model.

    Returns:
        The files that were written, and notes on them.

    Raises:
        PestleError: the target, head or dtype is unknown, a file exists already, or the model
            cannot be written for this target.
    """
    require_target(to, all_heads)
    if dtype is not None and dtype not in DTYPES:
        raise PestleError(f"unknown dtype '{dtype}'", where="--dtype", fix="float32 or float64.")
    loaded = load_model(model, foundation=foundation, trust=trust)
    chosen = chosen_head(loaded, head)
    formats = formats_of(loaded, to)
    correction = None if dispersion is None else correction_for(loaded, dispersion)
    name, folder = name_and_folder(model)
    if chosen != TARGET_HEAD and len(loaded.heads) > 1:
        name += f"-{chosen}"
    files = files_to_write(name + ("-heads" if all_heads else ""), folder, formats, out)
    script = None
    if correction is not None and to == "ase":
        script = script_beside(files["ase"])
        require_absent(script)
    written = with_chosen_head(loaded, chosen, all_heads)
    if to == "ase" and require(written, OwnFile).own_dtype is not None:
        written, notes = in_own_precision(require(written, OwnFile), dtype)
    else:
        written, notes = in_precision(written, dtype)
    with ExitStack() as stack:
        for path in files.values():
            stack.enter_context(locked_file(path))
            stack.enter_context(locked_file(sum_beside(path)))
            require_absent(path)  # another command may have written it in the meantime
        if to == "ase":
            own = require(written, OwnFile)
            with stage("writing the file for ASE"):
                own.export(files["ase"], head=None if all_heads else TARGET_HEAD)
        else:
            with stage("writing and checking files for LAMMPS: takes up to a minute"):
                require(written, LammpsFiles).export_lammps(files)
    digests = {kind: sha256(path) for kind, path in files.items()}
    notes += dispersion_notes(written.provenance, correction, to)
    if script is not None and correction is not None:
        own_calculator = require(written, OwnFile).own_calculator
        write_script(script, files["ase"], own_calculator, correction)
        files["ase with D3"] = script
    if "non-commercial" in written.provenance.licence.lower():
        notes.append(
            f"the weights are under {written.provenance.licence}: no commercial use, and the "
            "files must keep this licence"
        )
    return Exported(
        model=written.provenance.name,
        head=chosen,
        heads=written.heads,
        dtype=str(written.dtype).removeprefix("torch."),
        elements=tuple(chemical_symbols[z] for z in written.elements),
        cutoff=written.cutoff,
        licence=written.provenance.licence,
        files={kind: str(path) for kind, path in files.items()},
        notes=tuple(notes),
        dispersion=written.provenance.dispersion,
        correction="" if correction is None else correction.name,
        sha256=digests,
    )
