"""Keep constants of networks exactly, whatever the precision of the network."""

from __future__ import annotations

import torch


class Constant:
    """This class keeps a constant tensor in float64, and its copies in other dtypes and on devices.

    Args:
        exact: the constant; it is kept in float64 on the CPU.
    """

    def __init__(self, exact: torch.Tensor) -> None:
        self._exact = exact.double().cpu()
        self._copies: dict[tuple[torch.dtype, torch.device], torch.Tensor] = {}

    def like(self, other: torch.Tensor) -> torch.Tensor:
        """Return the constant in the dtype and on the device of another tensor."""
        key = (other.dtype, other.device)
        if key not in self._copies:
            self._copies[key] = self._exact.to(other.device, other.dtype)
        return self._copies[key]
