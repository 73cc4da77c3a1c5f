"""Physical tests of a model. Each calculates, analyses, shows and assesses in steps of its own
(base.py)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pestle.errors import PestleError, nearest

if TYPE_CHECKING:
    from pestle.protocols.base import Protocol

#: Names of the protocols that `pestle probe` runs; each is a module here with a `PROTOCOL`.
NAMES = ("errors", "forgetting", "atoms", "dimers", "rss", "md", "rdf", "neb", "torsion")


def protocol(name: str) -> Protocol:
    """The protocol of this name; imported only now.

    Raises:
        PestleError: there is none.
    """
    if name in NAMES:
        found: Protocol = importlib.import_module(f"pestle.protocols.{name}").PROTOCOL
        return found
    raise PestleError(
        f"there is no protocol '{name}'",
        where="probe",
        fix=f"{nearest(name, NAMES)} The protocols are {', '.join(NAMES)}.".lstrip(),
    )
