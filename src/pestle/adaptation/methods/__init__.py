"""All methods of adaptation by name, from the files of this folder.

A file declares its method as `METHOD`, or several methods as `METHODS`.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from pestle.adaptation.base import Method

#: Order of the files in which methods are listed; other files follow.
ORDER = ("naive", "lora", "freeze", "multihead", "multihead_lora", "scratch")


def _found() -> dict[str, Method]:
    """Collect the declared methods by name, in order."""
    files = sorted(module.name for module in iter_modules(__path__))
    files.sort(key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    found: dict[str, Method] = {}
    for name in files:
        module = import_module(f"{__name__}.{name}")
        declared = module.METHODS if hasattr(module, "METHODS") else (module.METHOD,)
        for method in declared:
            if method.name in found:
                raise ValueError(f"two methods are called {method.name}; one is in {name}.py")
            found[method.name] = method
    return found


METHODS = _found()
