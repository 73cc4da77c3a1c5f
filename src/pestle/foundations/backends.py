"""The backends: which files each reads, and where its code is. Imports none of them.

A further architecture is a folder beside these with a subclass of `Foundation`, an entry here, and
its models in the catalogue; `docs/backends.md` says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pestle.errors import PestleError, nearest

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation, Provenance
    from pestle.foundations.safe_files import SafeModel


@dataclass(frozen=True)
class Backend:
    """One architecture.

    Attributes:
        name: as in architecture.json and in the catalogue.
        suffixes: how the names of its published files end.
        pickled: whether those files are pickles, which are only loaded when they are trusted.
        from_file: MODULE:FUNCTION that loads such a file, (path, provenance=…) → Foundation; of
            pickles (content, path, provenance=…), so that what was hashed is what is unpickled.
        from_safe: MODULE:FUNCTION that rebuilds what `Foundation.save` wrote.
    """

    name: str
    suffixes: tuple[str, ...]
    pickled: bool
    from_file: str
    from_safe: str

    def load_file(self, path: Path, provenance: Provenance) -> Foundation:
        """The model of a published file that is no pickle."""
        return _function(self.from_file)(path, provenance=provenance)

    def unpickle(self, content: bytes, path: Path, provenance: Provenance) -> Foundation:
        """The model of a pickled file from what it holds; only `trusted.unpickle` calls this."""
        return _function(self.from_file)(content, path, provenance=provenance)

    def rebuild(self, model: SafeModel) -> Foundation:
        """The model of a model folder."""
        return _function(self.from_safe)(model)


BACKENDS = (
    Backend(
        "mace",
        (".model", ".pt", ".pth"),
        pickled=True,
        from_file="pestle.foundations.mace.pickles:from_pickle",
        from_safe="pestle.foundations.mace.foundation:from_safe",
    ),
    Backend(
        "nequip",
        (".nqx",),
        pickled=False,
        from_file="pestle.foundations.nequip.foundation:from_nqx",
        from_safe="pestle.foundations.nequip.foundation:from_safe",
    ),
)


def backend(name: str, *, where: str = "") -> Backend:
    """The backend of this name.

    Args:
        name: as in architecture.json.
        where: what asks for it.

    Raises:
        PestleError: this version has no such backend.
    """
    known = {b.name: b for b in BACKENDS}
    if name not in known:
        raise PestleError(
            f"it is a '{name}' model, and this version of Pestle has no such backend",
            where=where,
            fix=nearest(name, known) or f"Its backends are {', '.join(known)}.",
        )
    return known[name]


def backend_of_file(path: Path) -> Backend:
    """The backend that reads a file, by how its name ends.

    Raises:
        PestleError: none does.
    """
    for found in BACKENDS:
        if path.suffix.lower() in found.suffixes:
            return found
    endings = ", ".join(suffix for b in BACKENDS for suffix in b.suffixes)
    raise PestleError(
        "it is no file of a model that Pestle reads",
        where=str(path),
        fix=f"Give a run or model folder, or a file that ends in one of {endings}.",
    )


def _function(address: str) -> Any:
    """What MODULE:FUNCTION names."""
    module, name = address.split(":")
    return getattr(import_module(module), name)
