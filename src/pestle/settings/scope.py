"""The purpose of a model: the setting `scope`.

Nothing is imported here but `typing`, because the declarations that `pestle --help` reads need it.
"""

from __future__ import annotations

from typing import Literal

#: Configurations like those of the data, or also others (structure search, new compositions).
Scope = Literal["narrow", "broad"]
