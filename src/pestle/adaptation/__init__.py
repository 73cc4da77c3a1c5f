"""Methods of adaptation. A new one is a file with an `adapt(case)` and a line here."""

from __future__ import annotations

from pestle.adaptation import naive, scratch
from pestle.adaptation.base import Adaptation, Case, Method

METHODS: dict[str, Method] = {"scratch": scratch.adapt, "naive": naive.adapt}

__all__ = ["METHODS", "Adaptation", "Case", "Method"]
