"""Physical tests of a model, each in a folder of its own: `__init__.py` says what it is
(declaration.py), `protocol.py` what it does (base.py), `thresholds.yaml` what is good enough."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pestle.errors import PestleError, nearest
from pestle.protocols.declaration import Declaration, Input

if TYPE_CHECKING:
    from pestle.protocols.base import Protocol

#: File that makes a folder here one of a protocol.
THRESHOLDS = "thresholds.yaml"


@cache
def declarations() -> tuple[Declaration, ...]:
    """All protocols, in the order in which they are run and shown."""
    names = [path.parent.name for path in Path(__file__).parent.glob(f"*/{THRESHOLDS}")]
    found: list[Declaration] = [
        importlib.import_module(f"pestle.protocols.{name}").DECLARATION for name in names
    ]
    return tuple(sorted(found, key=lambda declared: declared.place))


def names() -> tuple[str, ...]:
    """Names of the protocols that `pestle probe` runs."""
    return tuple(declared.name for declared in declarations() if not declared.of_run)


def inputs() -> tuple[Input, ...]:
    """Inputs with an option of their own: first those without which a protocol is not run."""
    found = dict.fromkeys(declared.takes for declared in declarations())
    named = [taken for taken in found if taken is not None and taken.options]
    return tuple(sorted(named, key=lambda taken: not taken.lacking))


def protocol(name: str) -> Protocol[Any]:
    """The protocol of this name; imported only now.

    Raises:
        PestleError: there is none.
    """
    if name in names():
        found: Protocol[Any] = importlib.import_module(f"pestle.protocols.{name}.protocol").PROTOCOL
        return found
    raise PestleError(
        f"there is no protocol '{name}'",
        where="probe",
        fix=f"{nearest(name, names())} The protocols are {', '.join(names())}.".lstrip(),
    )
