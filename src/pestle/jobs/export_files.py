"""The files of an export: their kinds, names and folder."""

from __future__ import annotations

from pathlib import Path

from pestle.errors import PestleError, nearest
from pestle.foundations import catalogue
from pestle.foundations.backends import known_backends
from pestle.foundations.capabilities import LammpsFiles, OwnFile, require
from pestle.foundations.interface import Foundation
from pestle.jobs.export_dispersion import require_absent
from pestle.records.folder import require_file


def require_target(to: str, all_heads: bool) -> None:
    """Check the target of an export.

    Args:
        to: the target as the user typed it.
        all_heads: whether all heads shall be kept.

    Raises:
        PestleError: the target is unknown, or its files cannot hold several heads.
    """
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


def formats_of(foundation: Foundation, to: str) -> dict[str, str]:
    """Return the kinds of file to write with the endings of their names.

    Args:
        foundation: the model.
        to: ase, lammps or lammps-FORMAT.

    Raises:
        PestleError: the architecture of the model has no such files.
    """
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


def name_and_folder(model: str) -> tuple[str, Path]:
    """Return the name of the files without ending, and the default folder for them.

    Args:
        model: the model as the user named it.
    """
    if catalogue.find(model) is not None:
        return model, Path("export")
    path = Path(model).expanduser()
    if path.name in ("", ".."):
        path = path.resolve()
    if path.is_dir() and (path / "model" / "architecture.json").is_file():
        return path.name, path / "export"  # a run folder
    if path.name == "model" and (path.parent / "run.yaml").is_file():
        return path.absolute().parent.name, path.parent / "export"
    return (path.name if path.is_dir() else path.stem), path.parent / "export"


def files_to_write(
    name: str, folder: Path, formats: dict[str, str], out: str | Path | None
) -> dict[str, Path]:
    """Return the files to write; none of them exists yet.

    Args:
        name: name of the files without ending.
        folder: default folder.
        formats: kind of file → ending of its name.
        out: folder or file that the user named.

    Returns:
        Kind of file → path.

    Raises:
        PestleError: a file exists, or it cannot be written there.
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
