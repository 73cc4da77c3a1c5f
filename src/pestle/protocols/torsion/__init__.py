"""Protocol `torsion`: relative energies along scans."""

from pestle.protocols.torsion.protocol import PROTOCOL

__all__ = ["PROTOCOL"]
