"""List the backends: which files each one reads and where its code is.

A backend is imported only when one of its models is loaded. Two backends come with Pestle. A
further one is a package that names its `Backend` in the entry point group `pestle.foundations`, or
a script that calls `register`; `docs/backends.md` shows both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from pestle.errors import PestleError, nearest

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation, Provenance
    from pestle.foundations.safe_files import SafeModel

#: Entry points under which installed packages name their `Backend`.
GROUP = "pestle.foundations"


@dataclass(frozen=True)
class Backend:
    """A backend reads the models of one architecture.

    A function is given as itself or as the string MODULE:FUNCTION. In the second case its module is
    imported only when a model is loaded.

    Attributes:
        name: name in architecture.json, in the catalogue and of the entry point.
        from_safe: function that makes a foundation of a `SafeModel`, which `Foundation.save` wrote.
            For a `NetworkFoundation` it is the class's own `from_safe`.
        suffixes: endings of the names of its published files, e.g. `.nqx`; empty if there are only
            model folders.
        pickled: whether these files are pickles, which are loaded only if they are trusted.
        from_file: function that loads such a file. It is called as `from_file(path, provenance=…)`.
            For pickles it is `from_file(content, path, provenance=…)`, so that exactly the bytes
            that were hashed are unpickled.
    """

    name: str
    from_safe: str | Callable[..., Foundation]
    suffixes: tuple[str, ...] = ()
    pickled: bool = False
    from_file: str | Callable[..., Foundation] = ""

    def load_file(self, path: Path, provenance: Provenance) -> Foundation:
        """Load a published file that is not a pickle.

        Args:
            path: the file.
            provenance: where the model comes from; the model keeps it.
        """
        return _function(self.from_file)(path, provenance=provenance)

    def unpickle(self, content: bytes, path: Path, provenance: Provenance) -> Foundation:
        """Load a pickled file, which runs code from it.

        Only `trusted.unpickle` may call this method.

        Args:
            content: the bytes of the file.
            path: the file, for errors.
            provenance: where the model comes from; the model keeps it.
        """
        return _function(self.from_file)(content, path, provenance=provenance)

    def rebuild(self, model: SafeModel) -> Foundation:
        """Rebuild the model of a model folder.

        Args:
            model: the content of the folder, as `safe_files.read` gives it.
        """
        return _function(self.from_safe)(model)


#: The backends that come with Pestle.
BACKENDS = (
    Backend(
        "mace",
        from_safe="pestle.foundations.mace.foundation:MaceFoundation.from_safe",
        suffixes=(".model", ".pt", ".pth"),
        pickled=True,
        from_file="pestle.foundations.mace.pickles:from_pickle",
    ),
    Backend(
        "nequip",
        from_safe="pestle.foundations.nequip.foundation:NequipFoundation.from_safe",
        suffixes=(".nqx",),
        from_file="pestle.foundations.nequip.foundation:from_nqx",
    ),
)
#: Further backends: registered ones, and those of packages that were needed so far.
_further: dict[str, Backend] = {}


def register(backend: Backend) -> None:
    """Make a backend known to this process, so that its models can be loaded.

    Each command is a process of its own. A backend that commands should know has to come from a
    package with an entry point. A second backend of the same name replaces the first.

    Args:
        backend: the backend.

    Raises:
        PestleError: its name or one of its file endings belongs to a backend that comes with
            Pestle, or it has file endings and no function that reads such files.
    """
    for own in BACKENDS:
        taken = [backend.name] if backend.name == own.name else []
        taken += [suffix for suffix in backend.suffixes if suffix in own.suffixes]
        if taken:
            raise PestleError(
                f"'{taken[0]}' belongs to Pestle's own backend {own.name}",
                where=f"backend {backend.name}",
                fix="Choose another.",
            )
    if backend.suffixes and not backend.from_file:
        raise PestleError(
            "it names endings of files and no function that reads them (from_file)",
            where=f"backend {backend.name}",
        )
    _further[backend.name] = backend


def known_backends() -> tuple[Backend, ...]:
    """Return Pestle's backends and all that were registered or needed so far, without imports."""
    return (*BACKENDS, *_further.values())


def backend(name: str, *, where: str = "") -> Backend:
    """Return the backend of this name; if necessary, import the installed package that has it.

    Args:
        name: name in architecture.json.
        where: the file or setting that asks for it, for the error.

    Raises:
        PestleError: neither Pestle nor an installed package has such a backend.
    """
    for found in known_backends():
        if found.name == name:
            return found
    installed = entry_points(group=GROUP)
    for entry in installed:
        if entry.name == name:
            return _from_package(entry)
    known = [*(b.name for b in known_backends()), *(entry.name for entry in installed)]
    raise PestleError(
        f"it is a '{name}' model, and neither this version of Pestle nor an installed package has "
        "such a backend",
        where=where,
        fix=nearest(name, known)
        or f"Install the package that made it. The backends here are {', '.join(known)}.",
    )


def backend_of_file(path: Path) -> Backend:
    """Return the backend that reads a file, which the ending of the file's name decides.

    Installed packages are asked only if no backend that is known already reads it.

    Args:
        path: the file; it is not opened.

    Raises:
        PestleError: no backend reads such files.
    """
    suffix = path.suffix.lower()
    for found in known_backends():
        if suffix in found.suffixes:
            return found
    for entry in entry_points(group=GROUP):
        if entry.name not in _further and suffix in _from_package(entry).suffixes:
            return _further[entry.name]
    endings = ", ".join(suffix for b in known_backends() for suffix in b.suffixes)
    raise PestleError(
        "it is no file of a model that Pestle reads",
        where=str(path),
        fix=f"Give a run or model folder, or a file that ends in one of {endings}.",
    )


def _from_package(entry: EntryPoint) -> Backend:
    """Import and register the backend that an installed package names.

    Raises:
        PestleError: the package cannot be imported, or what it names is not a backend of this name.
    """
    package = entry.dist.name if entry.dist is not None else entry.value
    try:
        found = entry.load()
    except Exception as error:  # a package by others may raise any error
        raise PestleError(
            f"it cannot be imported ({error})",
            where=f"package {package}, which has the backend {entry.name}",
            fix="Mend or uninstall it.",
        ) from error
    if not isinstance(found, Backend) or found.name != entry.name:
        raise PestleError(
            f"its entry point {entry.name} = {entry.value} is no Backend of this name",
            where=f"package {package}",
            fix="docs/backends.md shows what it has to name.",
        )
    register(found)
    return found


def _function(address: str | Callable[..., Foundation]) -> Callable[..., Foundation]:
    """Return the function that MODULE:FUNCTION names, or the function that was given."""
    if not isinstance(address, str):
        return address
    module, name = address.split(":")
    found: Callable[..., Foundation] = attrgetter(name)(import_module(module))
    return found
