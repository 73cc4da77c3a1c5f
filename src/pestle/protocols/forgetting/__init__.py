"""Protocol `forgetting`: what is left of the foundation on its own distribution."""

from pestle.protocols.forgetting.protocol import PROTOCOL

__all__ = ["PROTOCOL"]
