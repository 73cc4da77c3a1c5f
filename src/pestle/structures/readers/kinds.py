"""Recognition of the program that wrote a file, and advice for files that cannot be read."""

from __future__ import annotations

import re
from pathlib import Path

from ase.io.formats import UnknownFileTypeError, filetype, get_compression

from pestle.errors import PestleError
from pestle.structures.readers.text import read_bytes

# Bytes that are searched. ORCA prints its banner late, and CP2K's log can begin with lines of a
# library.
_PEEK = 20_000

#: Advice that helps with every program.
AS_XYZ = (
    "Write the structures as extended XYZ with energies in eV and forces in eV/Å "
    "(ase.io.write), e.g. through cclib or a script of the program."
)

#: Pattern at the beginning of a file, what the file is, and what to do.
_UNREADABLE: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (
        re.compile(rb"^ ?(?:CP2K\||DBCSR\|)|PROGRAM STARTED AT", re.MULTILINE),
        "is a log of CP2K, which no reader understands",
        "Give PROJECT-pos-1.xyz of the same run with PROJECT-frc-1.xyz and PROJECT-1.cell beside "
        "it: CP2K writes them where MOTION/PRINT asks for TRAJECTORY, FORCES and CELL. Write the "
        "structures of single points as extended XYZ with energies in eV and forces in eV/Å.",
    ),
    (
        re.compile(rb"^LAMMPS \(", re.MULTILINE),
        "is a log of LAMMPS",
        "Structures stand in its dumps; energies and forces of a reference method in neither.",
    ),
    (
        re.compile(rb"^\s+N\s+E\s+dE\s+d eps\s+ncg", re.MULTILINE),
        "is OSZICAR or the screen output of VASP",
        "Give OUTCAR or vasprun.xml of the same run.",
    ),
    (re.compile(rb"Welcome to Q-Chem"), "is an output of Q-Chem", AS_XYZ),
    (re.compile(rb"Psi4: An Open-Source"), "is an output of Psi4", AS_XYZ),
    (re.compile(rb"PROGRAM SYSTEM MOLPRO"), "is an output of Molpro", AS_XYZ),
    (re.compile(rb"\|\s+x T B\s+\|"), "is an output of xtb", "Give xtbopt.log."),
    (re.compile(rb"TURBOMOLE GmbH"), "is an output of Turbomole", "Give its file 'gradient'."),
    (re.compile(rb"<qes:espresso"), "is an XML file of Quantum ESPRESSO", "Give the output of "
     "pw.x itself, with tprnfor and tstress."),
)  # fmt: skip

#: Endings of names of binary files → what the file is, and what to do.
_BINARY = {
    (".npz", ".npy"): ("holds arrays of NumPy", AS_XYZ),
    (".h5", ".hdf5", ".lmdb", ".mdb"): ("is an HDF5 or LMDB file of another program", AS_XYZ),
    (".fchk", ".chk", ".gbw", ".wfn"): ("is a checkpoint of a quantum chemistry program", "Give "
     "the log of the same run."),
    (".pt", ".pth", ".pkl", ".pickle"): ("is a pickle, which could run any code", AS_XYZ),
}  # fmt: skip

# Patterns that identify a format independently of the name of the file.
_SIGNS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\A ?vasp\.\d"), "vasp-out"),
    (re.compile(rb"\A\s*(?:<\?xml[^>]*>)?\s*<modeling>"), "vasp-xml"),
    (re.compile(rb"\A\s*ITEM: TIMESTEP"), "lammps-dump-text"),
    (re.compile(rb"Entering Gaussian System"), "gaussian-out"),
    (re.compile(rb"\* O   R   C   A \*"), "orca-output"),
    (re.compile(rb"Program PWSCF"), "espresso-out"),
)


# Formats that ASE assumes from an ending that many programs use (.out, .log).
_NAMED_ALIKE = frozenset({"espresso-out", "gaussian-out", "orca-output"})


def kind_of(path: Path) -> str:
    """Return the format of a file in ASE's names, from its content if possible; `db` for databases.

    Args:
        path: the file.

    Raises:
        PestleError: no reader knows the format; the message says which file to give instead.
    """
    bare = Path(get_compression(str(path))[0])
    suffix = bare.suffix.lower()
    if suffix in (".db", ".aselmdb"):
        return "db"
    for ends, (what, fix) in _BINARY.items():
        if suffix in ends:
            raise PestleError(what, where=str(path), fix=fix)
    head = read_bytes(path, _PEEK)
    if not head.strip():
        raise PestleError("holds no structures: the file is empty", where=str(path))
    for sign, kind in _SIGNS:
        if sign.search(head):
            return kind
    # A byte-order mark may come before the number of atoms, and zero bytes stand in UTF-16.
    first = head.split(b"\n", 1)[0].strip(b"\xef\xbb\xbf\xff\xfe\0 \t\r")
    if _is_xyz(head) or (suffix in (".xyz", ".extxyz") and first.isdigit()):
        # Plain XYZ readers drop the labels.
        return "extxyz"
    for pattern, what, fix in _UNREADABLE:
        if pattern.search(head):
            raise PestleError(what, where=str(path), fix=fix)
    if suffix in (".xyz", ".extxyz"):
        return "extxyz"
    try:
        kind = filetype(str(path.absolute()))  # see readers: names like databases
    except UnknownFileTypeError:
        raise unknown_file(path) from None
    if kind in _NAMED_ALIKE:
        content = read_bytes(path)
        if not any(sign.search(content) for sign, named in _SIGNS if named == kind):
            raise unknown_file(path)
    if kind == "lammps-dump-binary" or (
        kind == "lammps-data" and b"Masses" not in read_bytes(path)
    ):
        raise PestleError(
            "is a file of LAMMPS without elements: types would be taken for atomic numbers",
            where=str(path),
            fix="Write a text dump with an element column (dump_modify … element).",
        )
    return "db" if kind == "json" else kind


def unknown_file(path: Path) -> PestleError:
    """Create the error for a file that no reader knows."""
    return PestleError("is of no file type that is known", where=str(path), fix=AS_XYZ)


def _is_xyz(head: bytes) -> bool:
    """Whether a file of any name begins like XYZ, as trajectories of xtb (xtbopt.log) do."""
    lines = head.split(b"\n", 3)
    if len(lines) < 3 or not lines[0].strip().isdigit():
        return False
    cells = lines[2].split()
    try:
        return len([float(x) for x in cells[1:4]]) == 3 and cells[0][:1].isalpha()
    except ValueError:
        return False
