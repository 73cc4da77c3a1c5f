"""`pestle export`: a model as the files that ASE and LAMMPS load."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols

from pestle.checksums import sum_beside
from pestle.errors import PestleError, nearest
from pestle.files import sha256
from pestle.foundations import catalogue
from pestle.foundations.backends import known_backends
from pestle.foundations.capabilities import Heads, LammpsFiles, OwnFile, require
from pestle.foundations.devices import DTYPES
from pestle.foundations.dispersion import correction_for
from pestle.foundations.interface import TARGET_HEAD, Foundation
from pestle.jobs.export_dispersion import (
    dispersion_notes,
    require_absent,
    script_beside,
    write_script,
)
from pestle.jobs.models import load_model
from pestle.locks import locked_file
from pestle.progress import say
from pestle.records.folder import require_file
from pestle.views import Shown, Table

#: Of a model whose head cannot be named anew.
ONE_HEAD = f"Its head has to be called {TARGET_HEAD} where the model is made."


@dataclass(frozen=True, repr=False)
class Exported(Shown):
    """What was written.

    Attributes:
        model: name of the model.
        foundation: what an adapter was made on; by default the name that it holds.
        head: head of the model that the files serve.
        heads: heads in the files, the one that is used by default last.
        dtype: precision of the network in the files.
        elements: chemical symbols that the files know.
        cutoff: of the neighbours, Å.
        licence: licence of the weights.
        files: kind of file → path.
        notes: what the user should know about them.
        dispersion: whether the model holds dispersion: included, none or unknown.
        correction: D3 correction that is to be added to it, as asked; empty for none.
        sha256: kind of file → SHA-256, which also stands in `NAME.sha256` beside the file.
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
        """The model, and what the user should know about its files."""
        return [f"{self.model}, head {self.head}, {self.dtype}", *self.notes]

    def tables(self) -> list[Table]:
        """The files."""
        rows = [[kind, path] for kind, path in self.files.items()]
        return [Table("files", ["kind", "file"], rows)]

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
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
    """Write a model for another program.

    >>> pestle.export("runs/mine", to="lammps").files

    Args:
        model: run folder, model folder, `.model` file (with trust), `.nqx` file, catalogue name,
            or an `adapter.safetensors`.
        to: `ase` (one file for the architecture's own calculator, such as MACECalculator),
            `lammps` (every file the model's architecture has for LAMMPS, checked against the model)
            or one of these, `lammps-FORMAT`.
        head: head of the model; by default the only one, or Default. It is called Default in the
            files.
        all_heads: keep the other heads in the file for ASE, the chosen one last.
        dtype: precision of the files, float32 or float64; by default the model's, but float64 where
            its reference energies are too large for float32.
        dispersion: functional whose D3 correction belongs to the model (`pbe`), or `removed`: what
            was taken from its training labels. For ASE a file `NAME_d3.py` beside the model's gives
            the calculator of both; for LAMMPS the notes say which lines add it.
        trust: allow a `.model` file.
        out: folder to write to, or a file that ends like the format; by default the folder `export`
            beside the model.

    Raises:
        PestleError: unknown target, head or dtype, a file is there already, or the model cannot be
            written for this target.
    """
    _require_target(to, all_heads)
    if dtype is not None and dtype not in DTYPES:
        raise PestleError(f"unknown dtype '{dtype}'", where="--dtype", fix="float32 or float64.")
    loaded = load_model(model, foundation=foundation, trust=trust)
    chosen = _chosen_head(loaded, head)
    formats = _formats(loaded, to)
    correction = None if dispersion is None else correction_for(loaded, dispersion)
    name, folder = _place(model)
    if chosen != TARGET_HEAD and len(loaded.heads) > 1:
        name += f"-{chosen}"
    files = _files(name + ("-heads" if all_heads else ""), folder, formats, out)
    script = None
    if correction is not None and to == "ase":
        script = script_beside(files["ase"])
        require_absent(script)
    written = _with_heads(loaded, chosen, all_heads)
    if to == "ase" and require(written, OwnFile).own_dtype is not None:
        written, notes = _in_own_precision(require(written, OwnFile), dtype)
    else:
        written, notes = _in_precision(written, dtype)
    with ExitStack() as stack:
        for path in files.values():
            stack.enter_context(locked_file(path))
            stack.enter_context(locked_file(sum_beside(path)))
            require_absent(path)  # another command may have been faster
        if to == "ase":
            require(written, OwnFile).export(files["ase"], head=None if all_heads else TARGET_HEAD)
        else:
            say("writing and checking files for LAMMPS: takes up to a minute")
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
            "licence goes with the files"
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


def _require_target(to: str, all_heads: bool) -> None:
    if to != "ase" and to.partition("-")[0] != "lammps":
        raise PestleError(
            f"unknown target '{to}'",
            where="--to",
            fix=f"{nearest(to, ('ase', 'lammps'))} The targets are ase and lammps.".lstrip(),
        )
    if all_heads and to != "ase":
        raise PestleError(
            "a file for LAMMPS holds one head",
            where="--all-heads",
            fix="Choose it with --head, or leave out --all-heads.",
        )


def _formats(foundation: Foundation, to: str) -> dict[str, str]:
    """Kinds of file to write and how their names end."""
    if to == "ase":
        return {"ase": require(foundation, OwnFile).own_format}
    known = dict(require(foundation, LammpsFiles, where=f"--to {to}").lammps_formats)
    wanted = to.partition("-")[2]
    if not wanted:
        return known
    if wanted not in known:
        raise PestleError(
            f"there is no LAMMPS format '{wanted}' for a '{foundation.backend}' model",
            where=f"--to {to}",
            fix=f"Choose one of {', '.join(f'lammps-{n}' for n in known)}, or lammps for all.",
        )
    return {wanted: known[wanted]}


def _chosen_head(foundation: Foundation, head: str | None) -> str:
    heads = foundation.heads
    if head is None and len(heads) > 1 and TARGET_HEAD not in heads:
        raise PestleError(
            f"{foundation.provenance.name} has the heads {', '.join(heads)}, and none is called "
            f"{TARGET_HEAD}",
            where="--head",
            fix=f"Name the one to export, e.g. --head {heads[0]}.",
        )
    return heads[foundation.head_index(head)]


def _place(model: str) -> tuple[str, Path]:
    """Name of the files, and the folder they go to by default."""
    if catalogue.find(model) is not None:
        return model, Path("export")
    path = Path(model).expanduser()
    if path.name in ("", ".."):
        path = path.resolve()
    if path.is_dir() and (path / "model" / "architecture.json").is_file():
        return path.name, path / "export"  # a run folder: its own parts lie in it
    if path.name == "model" and (path.parent / "run.yaml").is_file():
        return path.absolute().parent.name, path.parent / "export"
    return (path.name if path.is_dir() else path.stem), path.parent / "export"


def _files(
    name: str, folder: Path, formats: dict[str, str], out: str | Path | None
) -> dict[str, Path]:
    """Files to write, none of which is there.

    Raises:
        PestleError: one is, or the folder cannot be written to.
    """
    target = folder if out is None else Path(out).expanduser()
    endings = {ending for backend in known_backends() for ending in backend.suffixes}
    if target.suffix in endings and not target.is_dir():
        if list(formats.values()) != [target.suffix]:
            raise PestleError(
                "is the name of a file",
                where=str(target),
                fix="Name a folder with -o"
                + (f", or a file that ends in {formats['ase']}." if "ase" in formats else "."),
            )
        files = dict.fromkeys(formats, target)
    else:
        files = {kind: target / f"{name}{ending}" for kind, ending in formats.items()}
    for path in files.values():
        require_absent(path)
        require_file(path)
    return files


def _with_heads(foundation: Foundation, chosen: str, all_heads: bool) -> Foundation:
    """The chosen head as Default, alone or after all others."""
    others = [name for name in foundation.heads if name != chosen] if all_heads else []
    if TARGET_HEAD in others:
        raise PestleError(
            f"there is a head {TARGET_HEAD} beside {chosen}, and only one can be called so",
            where="--head",
            fix="Leave out --all-heads, or --head.",
        )
    if foundation.heads == (*others, TARGET_HEAD):
        return foundation  # building the network anew takes a second
    wanted = {name: name for name in others} | {TARGET_HEAD: chosen}
    return require(foundation, Heads, where="--head", instead=ONE_HEAD).with_heads(wanted)


def _in_own_precision(foundation: OwnFile, dtype: str | None) -> tuple[Foundation, list[str]]:
    """The model in the precision of its own files.

    Raises:
        PestleError: another one was asked for.
    """
    own = foundation.own_dtype
    assert own is not None
    name = str(own).removeprefix("torch.")
    if dtype is not None and DTYPES[dtype] != own:
        raise PestleError(
            f"{foundation.own_format} files are read in {name}",
            where=f"--dtype {dtype}",
            fix="Leave out --dtype; the model folder keeps every digit.",
        )
    if foundation.dtype == own or foundation.export_obstacle(head=foundation.heads[-1]):
        return foundation, []
    return foundation.with_dtype(own), [f"written in {name}, as {foundation.own_format} files are"]


def _in_precision(foundation: Foundation, dtype: str | None) -> tuple[Foundation, list[str]]:
    """The model in the precision to write, and what to say about it.

    Raises:
        PestleError: float32 was asked for, and total energies do not fit.
    """
    wanted = foundation.dtype if dtype is None else DTYPES[dtype]
    notes = []
    if foundation.needs_double and wanted != torch.float64:
        largest = max(
            abs(e) for e0s in foundation.reference_energies.values() for e in e0s.values()
        )
        why = f"the reference energies reach {largest:,.0f} eV an atom, too large for float32"
        if dtype is not None:
            raise PestleError(
                f"{why}: total energies would be wrong by {6e-5 * largest:.1g} meV an atom",
                where=f"--dtype {dtype}",
                fix="Leave out --dtype.",
            )
        wanted = torch.float64
        notes.append(f"written in float64: {why}")
    if wanted != foundation.dtype:
        foundation = foundation.with_dtype(wanted)
    return foundation, notes
