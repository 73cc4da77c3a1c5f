"""Load foundation models and use them: catalogue, contract, safe files, and the backends.

Importing this package imports neither torch nor any backend; loading a model does.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

from pestle.errors import PestleError, nearest
from pestle.foundations import backends, catalogue
from pestle.members import members_of
from pestle.progress import stage

if TYPE_CHECKING:
    import torch

    from pestle.foundations.committee import Committee
    from pestle.foundations.interface import Foundation

#: Names of several models. A sequence of texts in general would be a text as well.
Names = list[str] | list[Path] | list[str | Path] | tuple[str | Path, ...]

__all__ = ["Untrusted", "load", "load_foundation"]


class Untrusted(PestleError):
    """This error says that a pickled file is not trusted; the file was not opened."""


@overload
def load(
    name: str | Path, *, trust: bool = ..., dtype: torch.dtype | None = ...
) -> Foundation | Committee: ...
@overload
def load(name: Names, *, trust: bool = ..., dtype: torch.dtype | None = ...) -> Committee: ...
def load(
    name: str | Path | Names,
    *,
    trust: bool = False,
    dtype: torch.dtype | None = None,
) -> Foundation | Committee:
    """A model, or several as a committee.

    >>> atoms.calc = pestle.load("runs/mine").calculator()
    >>> atoms.calc = pestle.load("runs/three").calculator()  # of `pestle finetune --seeds 3`
    >>> atoms.calc = pestle.load(["runs/naive", "runs/lora"]).calculator()

    Args:
        name: a name of the catalogue, a model folder, a run folder, or a file as the architecture's
            own programs publish it. A list of two or more of them gives a committee, and so does a
            folder of several seeds.
        trust: unpickle a `.model` file, as for `load_foundation`.
        dtype: precision of the networks; by default that of the files.

    Returns:
        The model; or the committee, whose calculator gives mean energies (eV) and forces (eV/Å),
        each member's and their spreads.

    Raises:
        Untrusted: a file is a pickle that is not trusted.
        PestleError: no such model, a file that cannot be read, or models that make no committee.
    """
    names = [name] if isinstance(name, str | Path) else list(name)
    several = not isinstance(name, str | Path)
    given: list[str | Path] = []
    for one in names:
        members = [] if catalogue.find(str(one)) else members_of(Path(one).expanduser())
        several = several or bool(members)
        given += members or [one]
    if not several:
        return load_foundation(given[0], trust=trust, dtype=dtype)
    places = [Path(one).expanduser().resolve() for one in given]
    again = next((one for k, one in enumerate(given) if places[k] in places[:k]), None)
    if again is not None:
        raise PestleError(
            "is named twice: it would count twice in the mean, and the spread would be too small",
            where=str(again),
            fix="Name each member once.",
        )
    from pestle.foundations.committee import Committee

    loaded = [load_foundation(one, trust=trust, dtype=dtype) for one in given]
    return Committee(loaded, [str(one) for one in given])


def load_foundation(
    name: str | Path, *, trust: bool = False, dtype: torch.dtype | None = None
) -> Foundation:
    """Load a foundation model or a fine-tuned model.

    Args:
        name: a name of the catalogue, a model folder, a run folder, or a file as the architecture's
            own programs publish it (`.model`, `.nqx`).
        trust: whether a `.model` file may be unpickled, which runs code that its author put in it.
            It is not needed for a file that was trusted on this machine before, whose safe form is
            loaded, nor for one that Pestle wrote here (`trusted`). The rules for
            models of the catalogue are in `published`.
        dtype: precision of the network; `None` means that of the file.

    Raises:
        Untrusted: the file is a pickle that is not trusted.
        PestleError: there is no such model, or its file cannot be read.
    """
    with stage(f"loading the model {name}"):
        foundation = _load(name, trust=trust)
    if dtype is not None and foundation.dtype != dtype:
        foundation = foundation.with_dtype(dtype)
    return foundation


def _load(name: str | Path, *, trust: bool) -> Foundation:
    """Load the model of a catalogue name, a folder or a file."""
    entry = catalogue.find(str(name)) if isinstance(name, str) else None
    if entry is not None:
        return _load_entry(entry, trust=trust)
    path = Path(name).expanduser()
    if path.is_dir():
        from pestle.foundations.safe_files import check_card

        for folder in (path, path / "model"):
            if (folder / "architecture.json").is_file():
                found = _rebuild(folder)
                check_card(folder)
                return found
        members = [member.name for member in members_of(path)]
        if members:
            raise PestleError(
                f"holds the members of several seeds: {', '.join(members)}",
                where=str(path),
                fix=f"Name one of them: {path / members[0]}.",
            )
        raise PestleError(
            "it holds no model: architecture.json is missing there and in model/", where=str(path)
        )
    if path.is_file():
        return _load_file(path, trust=trust)
    raise _no_model(name)


def require_name(name: str | Path) -> None:
    """Check that there is a foundation, file or folder of this name, without loading it.

    Raises:
        PestleError: there is none.
    """
    if catalogue.find(str(name)) is None and not Path(name).expanduser().exists():
        raise _no_model(name)


def _no_model(name: str | Path) -> PestleError:
    return PestleError(
        f"there is no foundation, file or folder '{name}'",
        where="foundation",
        fix=f"{nearest(str(name), catalogue.names())} `pestle models` lists the names.".lstrip(),
    )


def _load_file(path: Path, *, trust: bool) -> Foundation:
    """Load the model of a single file, and say what to do if it is of another kind."""
    if path.suffix == ".safetensors":
        raise PestleError(
            "it is no whole model; an adapter needs its foundation",
            where=str(path),
            fix="Give the run's folder, or write the merged model: pestle export ADAPTER "
            "--foundation NAME --to ase.",
        )
    backend = backends.backend_of_file(path)
    if backend.pickled and _starts_like_json(path):
        raise PestleError(
            "its name ends like a MACE model's, but it is no pickle",
            where=str(path),
            fix="A Nequix model's name ends in .nqx.",
        )
    from pestle.checksums import require_sum, sum_beside
    from pestle.files import sha256
    from pestle.foundations import trusted
    from pestle.foundations.interface import Provenance

    beside = sum_beside(path)
    require_sum(path, beside, fix=f"Export it anew; or delete {beside}, if the file was replaced.")
    provenance = Provenance(name=path.stem)
    if not backend.pickled:
        return backend.load_file(path, provenance)
    digest = sha256(path)
    found = trusted.recall(digest, provenance)
    if found is not None:
        return found
    own = trusted.is_own(digest)
    if not (trust or own):
        raise Untrusted(
            f"it is a pickled model (SHA-256 {digest}), and loading one runs code that its author "
            "put in it",
            where=str(path),
            fix="If you trust where it comes from, type once: pestle trust "
            f"{shlex.quote(str(path))} (or say --trust in this command); on this machine it is not "
            "asked for again.",
        )
    source = "Pestle wrote it on this machine" if own else "trusted by its user"
    return trusted.unpickle(backend, path, digest, provenance, source=source)


def _starts_like_json(path: Path) -> bool:
    """Return whether the first character of a file is an opening brace."""
    with path.open("rb") as stream:
        return stream.read(1) == b"{"


def _load_entry(entry: catalogue.Entry, *, trust: bool) -> Foundation:
    """Load a model of the catalogue, from Pestle's own files or from the cache."""
    if entry.folder is not None:
        embedded = _rebuild(entry.folder)
        embedded.provenance = replace(embedded.provenance, dispersion=entry.dispersion)
        return embedded
    from pestle.foundations.published import load_published

    return load_published(entry, trust=trust)


def _rebuild(folder: Path) -> Foundation:
    """Rebuild the model of a model folder."""
    from pestle.foundations import safe_files

    model = safe_files.read(folder)
    return backends.backend(model.backend, where=str(folder)).rebuild(model)
