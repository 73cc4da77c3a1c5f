"""Protocol `md`: whether molecular dynamics stays stable."""

from pestle.protocols.md.protocol import PROTOCOL

__all__ = ["PROTOCOL"]
