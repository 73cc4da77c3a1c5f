"""For whoever writes a backend: `check_foundation(model)` holds a model to the contract."""

from pestle.testing.contract import CHECKS, Check, check_foundation, checks_of, prepared
from pestle.testing.structures import example_frames

__all__ = ["CHECKS", "Check", "check_foundation", "checks_of", "example_frames", "prepared"]
