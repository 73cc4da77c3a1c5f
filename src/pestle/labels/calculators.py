"""Labels from any ASE calculator, given as MODULE:NAME."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError

from pestle.errors import PestleError, nearest
from pestle.files import sha256
from pestle.labels.signatures import Labels
from pestle.structures.frame import Frame

EXAMPLE = "e.g. ase.calculators.emt:EMT, or my_calculators:make for my_calculators.py here."


@contextmanager
def current_folder_importable() -> Iterator[None]:
    """Put the current folder first on the module path during a block, as `python -m` does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:  # the module's own code may have changed the path
            sys.path.remove(folder)


class CalculatorLabeller:
    """Labels structures with an ASE calculator, one after the other.

    Total charge and spin are put into `atoms.info`, under the different names that calculators use:
    `total_charge` and `charge`, `total_spin` and `spin`.

    Args:
        spec: MODULE:NAME, where NAME is a calculator, or a class or function that returns one
            without arguments. Importing MODULE runs its code.

    Raises:
        PestleError: MODULE cannot be imported, or NAME is not a calculator.
    """

    def __init__(self, spec: str) -> None:
        self.calculator, module = _load(spec)
        self.id = f"calculator:{spec}:{_digest(self.calculator, module)}"

    def batches(self, frames: Sequence[Frame]) -> Iterator[list[Labels]]:
        """Yield the labels of all frames in their order; `None` for those not implemented.

        Raises:
            PestleError: the calculator failed, or gave neither energy nor forces.
        """
        for frame in frames:
            energy, forces, stress = calculated(self.calculator, frame)
            if energy is None and forces is None:
                raise PestleError(
                    "the calculator gives neither energy nor forces", where=frame.where
                )
            yield [Labels.rounded(energy, forces, stress)]


def calculated(
    calculator: Any, frame: Frame
) -> tuple[float | None, np.ndarray | None, np.ndarray | None]:
    """Calculate a structure with an ASE calculator.

    Charge and spin are passed in `atoms.info`.

    Args:
        calculator: the calculator.
        frame: the structure.

    Returns:
        Energy (eV), forces [n_atoms, 3] (eV/Å) and stress [3, 3] (eV/Å³). Each is `None` if the
        calculator does not implement it, the stress also if the structure is not periodic.

    Raises:
        PestleError: the calculator failed.
    """
    atoms = frame.atoms.copy()
    for name, value in (("charge", frame.charge), ("spin", frame.spin)):
        if value is not None:
            atoms.info |= {name: value, f"total_{name}": value}
    # Calculators keep results from the last structure if only atoms.info differs.
    if hasattr(calculator, "reset"):
        calculator.reset()
    atoms.calc = calculator
    try:
        # Stress first, because many calculators compute the other properties with it.
        stress = None
        if frame.is_periodic:
            stress = _value(calculator, "stress", lambda: atoms.get_stress(voigt=False))
        forces = _value(calculator, "forces", atoms.get_forces)
        energy = _value(calculator, "energy", atoms.get_potential_energy)
        return (
            None if energy is None else float(energy),
            None if forces is None else np.asarray(forces, dtype=float).reshape(len(atoms), 3),
            None if stress is None else np.asarray(stress, dtype=float).reshape(3, 3),
        )
    except Exception as error:  # whatever the calculator raises
        raise PestleError(
            f"the calculator failed ({type(error).__name__}: {error})", where=frame.where
        ) from error


def _value(calculator: Any, name: str, get: Callable[[], Any]) -> Any:
    implemented = getattr(calculator, "implemented_properties", None)
    if implemented is not None and name not in implemented:
        return None
    try:
        return get()
    except PropertyNotImplementedError:
        return None


def _load(spec: str) -> tuple[Any, Any]:
    """Return a calculator and its module."""
    module_name, _, name = spec.partition(":")
    if not module_name or not name:
        raise PestleError(f"'{spec}' is not MODULE:NAME", where="calculator", fix=EXAMPLE)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the module's own code may raise anything
        raise PestleError(
            f"{module_name} cannot be imported ({type(error).__name__}: {error})",
            where="calculator",
            fix=f"Write MODULE:NAME, {EXAMPLE}",
        ) from error
    made: Any = module
    for part in name.split("."):
        if not hasattr(made, part):
            raise PestleError(
                f"{module_name} has no '{name}'.{nearest(part, vars(made))}", where="calculator"
            )
        made = getattr(made, part)
    if isinstance(made, type) or not hasattr(made, "get_forces"):
        try:
            made = made()
        except Exception as error:
            raise PestleError(
                f"{spec} gives no calculator ({type(error).__name__}: {error})",
                where="calculator",
                fix="NAME must be a calculator, or a class or function that gives one without "
                "arguments.",
            ) from error
    if isinstance(made, type) or not hasattr(made, "get_forces"):
        raise PestleError(
            f"{spec} gives a {type(made).__name__}, not an ASE calculator", where="calculator"
        )
    return made, module


def _digest(calculator: Any, module: Any) -> str:
    """Return a hash of everything visible on which the results depend.

    This is the class, its parameters, the source files of MODULE and class, and the weights of
    torch modules that the calculator contains.
    """
    digest = hashlib.sha256()
    cls = type(calculator)
    digest.update(f"{cls.__module__}.{cls.__qualname__}".encode())
    parameters = _plain(dict(getattr(calculator, "parameters", None) or {}))
    digest.update(json.dumps(parameters, sort_keys=True).encode())
    for item in (module, cls):
        try:
            digest.update(sha256(Path(inspect.getsourcefile(item) or "")).encode())
        except (OSError, TypeError):  # compiled, or entered interactively
            continue
    for name, value in sorted(vars(calculator).items()):
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if hasattr(part, "state_dict") and hasattr(part, "parameters"):
                digest.update(name.encode())
                _add_weights(digest, part.state_dict())
    return digest.hexdigest()[:16]


def _add_weights(digest: Any, weights: dict[str, Any]) -> None:
    import torch

    for name, tensor in sorted(weights.items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes())


def _plain(value: Any) -> Any:
    """Return a value as JSON data; other objects as text without memory addresses."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
