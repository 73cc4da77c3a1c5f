"""`pestle trust`: a pickled model is unpickled once, and its safe form kept from then on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from pestle.errors import PestleError, nearest
from pestle.files import sha256
from pestle.foundations import backends, catalogue, load_foundation, trusted


@dataclass(frozen=True)
class Trusted:
    """A pickled model that needs no flag from now on.

    Attributes:
        file: the file as it was named.
        sha256: of it; another file at its place is another matter.
        folder: of the safe form, architecture.json and weights.safetensors, in the cache.
        known: whether it was trusted before, so that nothing was unpickled now.
        heads: names of the model's heads.
        elements: chemical symbols that it knows.
    """

    file: str
    sha256: str
    folder: str
    known: bool
    heads: tuple[str, ...]
    elements: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def trust(file: str) -> Trusted:
    """Trust a pickled model: load it, which runs code that its author put in it, and keep its safe
    form. Later commands on this file, and on what was made from it, need no flag on this machine.

    >>> pestle.trust("mine.model").sha256

    Args:
        file: a `.model`, `.pt` or `.pth` file, or the name of a published model whose file lies in
            the cache.

    Raises:
        PestleError: there is no such file, it holds no model, nothing of it needs trust, or the
            safe form cannot be kept.
    """
    entry = catalogue.find(file)
    path = entry.cache_file if entry is not None else Path(file).expanduser()
    if path is None or path.is_dir():
        raise PestleError("it is no pickle: nothing of it needs trust", where=file)
    if not path.is_file() and entry is None:
        known = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise PestleError(f"no such file.{nearest(path.name, known)}", where=file)
    backend = backends.backend(entry.backend) if entry else backends.backend_of_file(path)
    if not backend.pickled:
        raise PestleError("it is no pickle: nothing of it needs trust", where=file)
    known_before = path.is_file() and trusted.is_trusted(sha256(path))
    model = load_foundation(file, trust=True)
    digest = sha256(path)
    if not trusted.is_trusted(digest):
        raise PestleError(
            "its safe form could not be kept, so it would be asked for again",
            where=str(trusted.store()),
            fix="Make room there, or let XDG_CACHE_HOME name another folder.",
        )
    return Trusted(
        file=file,
        sha256=digest,
        folder=str(trusted.store() / digest),
        known=known_before,
        heads=tuple(model.heads),
        elements=tuple(chemical_symbols[z] for z in model.elements),
    )
