"""Protocol `errors`: predictions against labels on held-out sets, by group."""

from pestle.protocols.errors.protocol import PROTOCOL

__all__ = ["PROTOCOL"]
