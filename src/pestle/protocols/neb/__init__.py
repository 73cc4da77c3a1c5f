"""Protocol `neb`: reaction paths, given and relaxed."""

from pestle.protocols.neb.protocol import PROTOCOL

__all__ = ["PROTOCOL"]
