"""OUTCAR and vasprun.xml of VASP: ASE reads the steps; only converged steps of DFT are kept.

Each run of a joined file is read separately. ASE alone takes the species of the first run of a
joined OUTCAR for all runs, reads only the first run of a joined vasprun.xml, fails on the extra
columns of van der Waals functionals, and keeps steps that stopped at NELM and those of VASP's own
force field.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from ase import Atoms
from ase.io import ParseError
from ase.io.vasp import read_vasp_xml
from ase.io.vasp_parsers.vasp_outcar_parsers import OutcarHeaderParser, outcarchunks

from pestle.errors import PestleError
from pestle.structures.readers.notes import Notes
from pestle.structures.readers.text import read_bytes, read_text
from pestle.structures.readers.vasp_levels import level_of, require_one_level
from pestle.wording import counted

UNCONVERGED = "steps whose electronic iterations did not converge were left out"
FORCE_FIELD = (
    "steps of VASP's own machine-learned force field were left out: they are its predictions, not "
    "DFT"
)
OVERFLOW = "steps were left out because numbers in them do not fit their columns (****)"
NO_STRESS = "stresses were left out because they do not fit their columns (****)"
NO_POSITIONS = (
    "steps were left out because OUTCAR does not give their positions (NWRITE=0): vasprun.xml does"
)
UNFINISHED = "steps were not finished when VASP stopped"
WITHOUT_STEPS = "runs without a finished ionic step were left out"
JOINED = "runs of VASP are joined in one file: each was read by its own header"

_RUN = re.compile(r"^ ?vasp\.\d", re.MULTILINE)
_STEP_END = re.compile(r"(ML )?FREE ENERGIE OF THE ION-ELECTRON SYSTEM")
# Energies without dispersion; with them ASE would count the words of a line wrongly.
_WITHOUT_VDW = re.compile(r"(?:\s*eV)?\s+w/o vdW\s*=\s*\S+")
_ITERATION = re.compile(r"Iteration\s+\d+\(\s*(\d+)\)")
# Heading of the positions and forces of a step, for which ASE searches.
_TABLE = "POSITION          "
_NELM = re.compile(r"\bNELM\s*=\s*(\d+)")
_IONS = re.compile(r"ions per type =((?:[ \t]+\d+)+)")
_NIONS = re.compile(r"\bNIONS\s*=\s*(\d+)")
_VRHFIN = re.compile(r"\bVRHFIN\s*=\s*([A-Z][a-z]?)")


class _Lines(io.StringIO):
    """Text with the file name that ASE asks for; there is no such file on disk."""

    name = "OUTCAR"


def read_outcar(path: Path, notes: Notes) -> Iterator[Atoms]:
    """Read the converged DFT steps of all runs in an OUTCAR.

    Args:
        path: the file.
        notes: records what was left out; changed in place.

    Returns:
        Structures with `energy`, `free_energy`, forces and stress.

    Raises:
        PestleError: the file contains no step of DFT, or its atoms contradict its header.
    """
    text = read_text(path)
    starts = [match.start() for match in _RUN.finditer(text)] or [0]
    if len(starts) > 1:
        notes.take_as(JOINED, path, len(starts))
        runs = [text[begin:end] for begin, end in pairwise([*starts, len(text)])]
        require_one_level(path, [run.split("Iteration", 1)[0] for run in runs], notes)
    for begin, end in pairwise([*starts, len(text)]):
        if len(starts) > 1 and not _STEP_END.search(text, begin, end):
            notes.leave_out(WITHOUT_STEPS, path)
        else:
            yield from _outcar_run(path, text[begin:end], notes)


def _outcar_run(path: Path, text: str, notes: Notes) -> Iterator[Atoms]:
    predicted = [match.group(1) is not None for match in _STEP_END.finditer(text)]
    _require_dft(path, len(predicted), sum(predicted))
    # While the force field is trained, DFT can calculate a predicted step directly afterwards.
    calculated = [*(not ml for ml in predicted[1:]), False]
    alone = sum(ml and not dft for ml, dft in zip(predicted, calculated, strict=True))
    if alone:
        notes.leave_out(FORCE_FIELD, path, alone)
    count, symbols = _atoms_of_header(path, text)
    level = level_of(text.split("Iteration", 1)[0])
    limit = int(match.group(1)) if (match := _NELM.search(text)) else None
    mended = _WITHOUT_VDW.sub("", text) if "w/o vdW" in text else text
    try:
        for chunk in outcarchunks(_Lines(mended), header_parser=OutcarHeaderParser()):
            lines = list(chunk.lines)
            if any(end and end.group(1) for end in map(_STEP_END.search, lines)):
                continue  # a prediction of the force field
            if not _converged(lines, limit):
                notes.leave_out(UNCONVERGED, path)
                continue
            if not any(_TABLE in line for line in lines):
                notes.leave_out(NO_POSITIONS, path)
                continue
            _require_count(path, lines, count)
            try:
                atoms: Atoms = chunk.build()
            except ValueError:
                if not any("**" in line for line in lines):
                    raise
                notes.leave_out(OVERFLOW, path)
                continue
            if symbols is not None and atoms.get_chemical_symbols() != symbols:
                raise ParseError("its POTCAR and VRHFIN lines name different elements")
            if atoms.calc.results.get("stress") is None and any(
                "in kB " in line and "**" in line for line in lines
            ):
                notes.leave_out(NO_STRESS, path)
            atoms.info |= level
            yield atoms
    except ParseError as error:
        raise PestleError(
            f"its atoms cannot be told ({error})",
            where=str(path),
            fix="Give vasprun.xml of the same run.",
        ) from error
    tail = text[[match.end() for match in _STEP_END.finditer(text)][-1] :]
    if _ITERATION.search(tail):
        notes.leave_out(UNFINISHED, path)


def _require_dft(path: Path, steps: int, predicted: int) -> None:
    """Check that a run has a step of DFT.

    Raises:
        PestleError: it has none.
    """
    if not steps:
        raise PestleError(
            "holds a run without a finished ionic step",
            where=str(path),
            fix="Is the file cut off, or is the run still going on?",
        )
    if steps == predicted:
        raise PestleError(
            f"holds only steps of VASP's own machine-learned force field ({steps}), none of DFT: "
            "predictions are no labels",
            where=str(path),
            fix="Give the run that trained the force field, or calculate these structures.",
        )


def _atoms_of_header(path: Path, text: str) -> tuple[int, list[str] | None]:
    """Return the number of atoms of a run, and their symbols from the VRHFIN lines.

    Raises:
        PestleError: the lines contradict each other.
    """
    counts = {tuple(map(int, found.split())) for found in _IONS.findall(text)}
    if len(counts) > 1:
        raise PestleError(
            "joins runs of different atoms: "
            + " and ".join(f"{sum(c)} ions ({' '.join(map(str, c))})" for c in sorted(counts)),
            where=str(path),
            fix="Give each run as a file of its own.",
        )
    per_type = next(iter(counts), ())
    totals = {int(n) for n in _NIONS.findall(text)}
    if totals and totals != {sum(per_type)}:
        raise PestleError(
            f"NIONS says {', '.join(map(str, sorted(totals)))} atoms where 'ions per type' says "
            f"{sum(per_type)}",
            where=str(path),
        )
    elements = _VRHFIN.findall(text)
    if len(elements) != len(per_type):  # shortened headers do not have these lines
        return sum(per_type), None
    symbols = [z for z, n in zip(elements, per_type, strict=True) for _ in range(n)]
    return len(symbols), symbols


def _require_count(path: Path, lines: list[str], count: int) -> None:
    """Check that the table of positions and forces has one row for each atom of the header.

    Raises:
        PestleError: it has more or fewer.
    """
    starts = [k + 2 for k, line in enumerate(lines) if _TABLE in line]
    for start in starts:
        rows = 0
        while start + rows < len(lines) and not lines[start + rows].lstrip().startswith("---"):
            rows += 1
        if rows != count:
            raise PestleError(
                f"a step has {counted(rows, 'atom')} where the header of the run says {count}",
                where=str(path),
                fix="Give each run as a file of its own.",
            )


def _converged(lines: list[str], limit: int | None) -> bool:
    """Whether the electronic iterations of a step ended because EDIFF was reached."""
    last = 0
    for line in reversed(lines):
        if "aborting loop" in line:
            return "EDIFF is reached" in line
        if not last and (match := _ITERATION.search(line)):
            last = int(match.group(1))
    # Some versions write nothing when they stop at NELM.
    return limit is None or last < limit


_XML_STEP = re.compile(rb"<calculation>.*?</calculation>", re.DOTALL)
_XML_SCF = re.compile(rb"<scstep>(.*?)</scstep>", re.DOTALL)
_XML_ENERGY = re.compile(rb'<i name="e_fr_energy">\s*(\S+?)\s*</i>')
_XML_NELM = re.compile(rb'<i type="int" name="NELM">\s*(\d+)')
_XML_EDIFF = re.compile(rb'<i name="EDIFF">\s*([-+.\dEe]+)')
_XML_FORCES = re.compile(rb'<varray name="forces"')
_XML_ROWS = re.compile(rb'<varray name="(?:positions|forces)"\s*>(.*?)</varray>', re.DOTALL)
_XML_HEAD = b'<?xml version="1.0" encoding="ISO-8859-1"?>'
_XML_ATOMS = re.compile(rb"<atoms>\s*(\d+)")


def read_vasprun(path: Path, notes: Notes) -> Iterator[Atoms]:
    """Read the converged DFT steps of all runs in a vasprun.xml.

    Args:
        path: the file.
        notes: records what was left out; changed in place.

    Raises:
        PestleError: the file contains no step of DFT.
    """
    data = read_bytes(path)
    starts = [match.start() for match in re.finditer(rb"<modeling>", data)] or [0]
    if len(starts) > 1:
        notes.take_as(JOINED, path, len(starts))
        runs = [data[begin:end] for begin, end in pairwise([*starts, len(data)])]
        heads = [run.split(b"<calculation>", 1)[0].decode("latin-1") for run in runs]
        require_one_level(path, heads, notes)
    for begin, end in pairwise([*starts, len(data)]):
        part = data[begin:end]
        closed = part.find(b"</modeling>")
        if len(starts) > 1 and not _XML_STEP.search(part):
            notes.leave_out(WITHOUT_STEPS, path)
            continue
        yield from _vasprun_run(path, part if closed < 0 else part[:closed], notes)


def _vasprun_run(path: Path, data: bytes, notes: Notes) -> Iterator[Atoms]:
    steps = [match.group() for match in _XML_STEP.finditer(data)]
    outside, begun, _ = _XML_STEP.sub(b"", data).partition(b"<calculation>")
    # Predicted steps are outside of <calculation>, or inside without electronic iterations.
    predicted = [step for step in steps if not _XML_SCF.search(step)]
    alone = len(_XML_FORCES.findall(outside)) + len(predicted)
    _require_dft(path, len(steps) - len(predicted) + alone, alone)
    if alone:
        notes.leave_out(FORCE_FIELD, path, alone)
    if begun:
        notes.leave_out(UNFINISHED, path)
    nelm, ediff = _XML_NELM.search(data), _XML_EDIFF.search(data)
    kept = []
    for step in steps:
        scf = _XML_SCF.findall(step)
        if not scf:
            continue
        if nelm and len(scf) >= int(nelm.group(1)) and _still_changes(scf, ediff):
            notes.leave_out(UNCONVERGED, path)
        elif b"**" in step:
            notes.leave_out(OVERFLOW, path)
        else:
            kept.append(step)
    natoms = int(match.group(1)) if (match := _XML_ATOMS.search(data)) else None
    for step in kept:
        rows = {body.count(b"<v>") for body in _XML_ROWS.findall(step)}
        if natoms is not None and rows != {natoms}:
            raise PestleError(
                f"a step has {', '.join(map(str, sorted(rows)))} atoms where <atominfo> says "
                f"{natoms}",
                where=str(path),
            )
    head = data[: data.find(b"<calculation>")]
    whole = b"".join([_XML_HEAD, head, *kept, b"</modeling>"])
    level = level_of(head.decode("latin-1"))
    for atoms in read_vasp_xml(io.BytesIO(whole), index=slice(None)):
        atoms.info |= level
        yield atoms


def _still_changes(scf: list[bytes], ediff: re.Match[bytes] | None) -> bool:
    """Whether the last electronic iteration changed the energy by more than EDIFF."""
    energies = [float(found[-1]) for step in scf if (found := _XML_ENERGY.findall(step))]
    if len(energies) < 2 or ediff is None:
        return True
    return abs(energies[-1] - energies[-2]) > float(ediff.group(1))
