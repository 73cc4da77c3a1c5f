"""Protocol `rdf`: partial radial distribution functions against a reference."""

from pestle.protocols.rdf.protocol import PROTOCOL

__all__ = ["PROTOCOL"]
