"""Physical tests of a model, each in its own folder.

In a folder, `__init__.py` contains the declaration (declaration.py), `protocol.py` the calculation
(base.py), and `thresholds.yaml` the limits.
"""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pestle.errors import PestleError, nearest
from pestle.protocols.declaration import Declaration, Input

if TYPE_CHECKING:
    from pestle.protocols.base import Protocol

#: File by which the folder of a protocol is recognised.
THRESHOLDS = "thresholds.yaml"


@cache
def declarations() -> tuple[Declaration, ...]:
    """Return the declarations of all protocols, in the order in which they are run and shown."""
    names = [path.parent.name for path in Path(__file__).parent.glob(f"*/{THRESHOLDS}")]
    found: list[Declaration] = [
        importlib.import_module(f"pestle.protocols.{name}").DECLARATION for name in names
    ]
    return tuple(sorted(found, key=lambda declared: declared.place))


def names() -> tuple[str, ...]:
    """Return the names of the protocols that `pestle probe` runs."""
    return tuple(declared.name for declared in declarations() if not declared.of_run)


def inputs() -> tuple[Input, ...]:
    """Return the inputs that have an option, first those without which a protocol is not run."""
    found = dict.fromkeys(declared.takes for declared in declarations())
    named = [taken for taken in found if taken is not None and taken.options]
    return tuple(sorted(named, key=lambda taken: not taken.lacking))


def protocol(name: str) -> Protocol[Any]:
    """Import and return the protocol of a name.

    Raises:
        PestleError: there is no such protocol; suggests the nearest one.
    """
    if name in names():
        found: Protocol[Any] = importlib.import_module(f"pestle.protocols.{name}.protocol").PROTOCOL
        return found
    raise PestleError(
        f"there is no protocol '{name}'",
        where="probe",
        fix=f"{nearest(name, names())} The protocols are {', '.join(names())}.".lstrip(),
    )
