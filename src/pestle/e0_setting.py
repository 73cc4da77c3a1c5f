"""Reference energies as the setting `e0s` asks for them: a method, `auto`, a file or a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from pestle.errors import PestleError
from pestle.reference_energies import (
    METHODS,
    SUSPECT_ERROR,
    SUSPECT_RATIO,
    EnergyProblem,
    ReferenceEnergies,
    estimate,
)
from pestle.structures.frame import elements_of


def choose(problem: EnergyProblem, table: Mapping[int, float] | None = None) -> tuple[str, str]:
    """(method, reason) of the default: isolated if every element has its atom, else reestimate."""
    if not problem.frames and not problem.atoms and problem.foundation_e0s:
        return "foundation", "no frame has an energy; the forces do not depend on E0s"
    have = {int(f.numbers[0]) for f in problem.atoms} | set(table or {})
    missing = [z for z in elements_of(problem.frames) if z not in have]
    if not missing:
        return "isolated", "the data hold an isolated atom of every element (paper 2.6)"
    names = ", ".join(chemical_symbols[z] for z in missing)
    if problem.interaction is not None and problem.frames:
        return (
            "reestimate",
            f"no isolated atom for {names}; reestimation comes closest to it (paper 3.2)",
        )
    return "average", f"no isolated atom for {names}, and no pretrained model to reestimate with"


def from_setting(problem: EnergyProblem, setting: str | Mapping[str, float]) -> ReferenceEnergies:
    """E0s as the setting `e0s` asks: a method, `auto`, a JSON file or a table symbol → eV.

    Raises:
        PestleError: unknown method or element, unreadable file, or the data do not permit it.
    """
    table: dict[int, float] = {}
    if isinstance(setting, str) and setting not in (*METHODS, "auto"):
        setting = _read_table(setting)
    if not isinstance(setting, str):
        table = _by_number(setting)
        result = estimate(problem, "isolated", table)
        result.reason = "given by the user"
        result.warnings += _suspect(result, problem)
        return result
    if setting == "auto":
        method, reason = choose(problem)
    else:
        method, reason = setting, "asked for"
    result = estimate(problem, method)
    result.reason = reason
    if method == "isolated":
        result.warnings += _suspect(result, problem)
    return result


def _suspect(result: ReferenceEnergies, problem: EnergyProblem) -> list[str]:
    """A warning where reestimated E0s would start training far closer than isolated atoms do.

    E0s must mean what the foundation's mean (paper 3.2.2), and some foundations were trained with
    E0s that are no energies of isolated atoms.
    """
    if problem.interaction is None or not problem.frames:
        return []
    isolated = result.zero_step_error
    fitted = estimate(problem, "reestimate")
    closest = fitted.zero_step_error
    if isolated is None or closest is None or isolated < SUSPECT_ERROR:
        return []
    if isolated < SUSPECT_RATIO * closest:
        return []
    free = (
        ", but the compositions do not determine each E0: right only for these compositions"
        if fitted.null_space
        else ""
    )
    return [
        f"with these E0s the foundation starts {isolated:.0f} meV/atom off, with reestimated ones "
        f"{closest:.0f}: it binds these structures wrongly, or its own E0s are no energies of "
        f"isolated atoms; --set e0s=reestimate starts closer{free}"
    ]


def _read_table(name: str) -> Mapping[str, float]:
    path = Path(name).expanduser()
    if not path.is_file():
        raise PestleError(
            f"'{name}' is neither a method nor a file",
            where="e0s",
            fix=f'Methods: auto, {", ".join(METHODS)}; or a JSON file {{"H": -13.6, …}}.',
        )
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PestleError(f"not a JSON file ({error})", where=str(path)) from None
    # `pestle e0 --json` prints its table under this key.
    content = content.get("e0s", content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise PestleError("expected a table symbol → eV", where=str(path))
    return content


def _by_number(table: Mapping[str, float]) -> dict[int, float]:
    numbers = {}
    for symbol, energy in table.items():
        z = atomic_numbers.get(str(symbol)) or (int(symbol) if str(symbol).isdigit() else 0)
        if not 0 < z < len(chemical_symbols):
            raise PestleError(f"'{symbol}' is no element", where="e0s")
        try:
            value = float(energy)
        except (TypeError, ValueError):
            value = float("nan")
        if not np.isfinite(value):
            raise PestleError(f"{symbol}: {energy!r} is not an energy", where="e0s")
        numbers[z] = value
    return numbers
