"""Protocol `rss`: random crystals relaxed under pressure, and those that implode."""

from pestle.protocols.rss.protocol import PROTOCOL

__all__ = ["PROTOCOL"]
