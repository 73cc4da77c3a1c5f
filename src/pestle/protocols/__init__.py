"""Physical tests of a model. Each calculates, analyses and charts in steps of its own (base.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pestle.errors import PestleError, nearest

if TYPE_CHECKING:
    from pestle.protocols.base import Protocol

#: Names of the protocols that `pestle probe` runs.
NAMES = ("atoms", "dimers")


def protocol(name: str) -> Protocol:
    """The protocol of this name; imported only now.

    Raises:
        PestleError: there is none.
    """
    if name == "atoms":
        from pestle.protocols.atoms import ATOMS

        return ATOMS
    if name == "dimers":
        from pestle.protocols.dimers import DIMERS

        return DIMERS
    raise PestleError(
        f"there is no protocol '{name}'",
        where="probe",
        fix=f"{nearest(name, NAMES)} The protocols are {', '.join(NAMES)}.".lstrip(),
    )
