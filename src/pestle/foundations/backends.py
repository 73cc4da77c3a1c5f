"""The backends: which files each reads, and where its code is. Imports none of them before a model
of theirs is loaded.

Two come with Pestle. A further one is a package that names its `Backend` in the entry point group
`pestle.foundations`, or a script that calls `register`; `docs/backends.md` shows both.
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
    """One architecture.

    Functions are given as they are, or as MODULE:FUNCTION where their module is imported only when
    a model is loaded.

    Attributes:
        name: as in architecture.json and in the catalogue; that of the entry point, too.
        from_safe: rebuilds what `Foundation.save` wrote, SafeModel → Foundation; of a
            `NetworkFoundation` it is the class's own `from_safe`.
        suffixes: how the names of its published files end, e.g. `.nqx`; none where there are only
            model folders.
        pickled: whether those files are pickles, which are only loaded when they are trusted.
        from_file: loads such a file, (path, provenance=…) → Foundation; of pickles (content, path,
            provenance=…), so that what was hashed is what is unpickled.
    """

    name: str
    from_safe: str | Callable[..., Foundation]
    suffixes: tuple[str, ...] = ()
    pickled: bool = False
    from_file: str | Callable[..., Foundation] = ""

    def load_file(self, path: Path, provenance: Provenance) -> Foundation:
        """The model of a published file that is no pickle."""
        return _function(self.from_file)(path, provenance=provenance)

    def unpickle(self, content: bytes, path: Path, provenance: Provenance) -> Foundation:
        """The model of a pickled file from what it holds; only `trusted.unpickle` calls this."""
        return _function(self.from_file)(content, path, provenance=provenance)

    def rebuild(self, model: SafeModel) -> Foundation:
        """The model of a model folder."""
        return _function(self.from_safe)(model)


#: Those that come with Pestle.
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
#: Those that `register` was told of, and those of packages that were needed so far.
_further: dict[str, Backend] = {}


def register(backend: Backend) -> None:
    """Make an architecture known to this process, so that its models can be loaded.

    Commands run in processes of their own: what they shall know comes from a package with an entry
    point. Registering a name again replaces what it stood for.

    Raises:
        PestleError: the name or the ending of a file belongs to a backend that Pestle brings.
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
    """Pestle's own and those that were registered or needed so far; imports nothing."""
    return (*BACKENDS, *_further.values())


def backend(name: str, *, where: str = "") -> Backend:
    """The backend of this name; imports the installed package that has it, where Pestle has not.

    Args:
        name: as in architecture.json.
        where: what asks for it.

    Raises:
        PestleError: neither this version nor an installed package has such a backend.
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
    """The backend that reads a file, by how its name ends. Packages are asked only where it is none
    of Pestle's.

    Raises:
        PestleError: none does.
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
    """The backend that an installed package names, registered.

    Raises:
        PestleError: the package cannot be imported, or what it names is no backend of this name.
    """
    package = entry.dist.name if entry.dist is not None else entry.value
    try:
        found = entry.load()
    except Exception as error:  # a package of others may raise anything
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
    """The function that MODULE:FUNCTION names."""
    if not isinstance(address, str):
        return address
    module, name = address.split(":")
    found: Callable[..., Foundation] = attrgetter(name)(import_module(module))
    return found
