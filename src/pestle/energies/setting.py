"""The setting `e0s`: a method, `auto`, a file or a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ase.data import chemical_symbols

from pestle.energies.methods import METHODS, SAME_ATOM, estimate
from pestle.energies.problem import EnergyProblem
from pestle.energies.reference_energies import (
    SINGLE_ATOM_TOLERANCE,
    SUSPECT_ERROR,
    SUSPECT_RATIO,
    ReferenceEnergies,
)
from pestle.errors import PestleError, nearest
from pestle.settings.e0_table import MACE_WORDS, read_table, symbols_of, table_of
from pestle.structures.frame import elements_of
from pestle.wording import fixed


def choose(problem: EnergyProblem, table: Mapping[int, float] | None = None) -> tuple[str, str]:
    """Choose the default method: `isolated` if all elements have an atom, else `reestimate`.

    Isolated atoms are not chosen where E0s do not mean their energies for the foundation: the
    network adds to single atoms, and training would start far off (paper, 3.2.2).

    Args:
        problem: energies and compositions.
        table: atomic number → E0 in eV, given by the user.

    Returns:
        The method, and the reason.
    """
    if not problem.frames and not problem.atoms and problem.foundation_e0s:
        return "foundation", "no frame has an energy; the forces do not depend on E0s"
    have = {int(f.numbers[0]) for f in problem.atoms} | set(table or {})
    missing = [z for z in elements_of(problem.frames) if z not in have]
    if not missing:
        reason = "the data hold an isolated atom of every element (paper 2.6)"
        isolated = estimate(problem, "isolated", table)
        closer = _closer_start(isolated, problem)
        if closer is None or isolated.single_atom_offset <= SINGLE_ATOM_TOLERANCE:
            return "isolated", reason
        return "reestimate", (
            "E0s of this foundation are no energies of isolated atoms: with those of the data it "
            f"would start {isolated.zero_step_error:.0f} meV/atom off, with reestimated ones "
            f"{closer.zero_step_error:.0f} (paper 3.2.2)"
        )
    names = ", ".join(chemical_symbols[z] for z in missing)
    if problem.interaction is not None and problem.frames:
        return (
            "reestimate",
            f"no isolated atom for {names}; reestimation comes closest to it (paper 3.2)",
        )
    return "average", f"no isolated atom for {names}, and no pretrained model to reestimate with"


def from_setting(problem: EnergyProblem, setting: str | Mapping[str, float]) -> ReferenceEnergies:
    """Determine the E0s that the setting `e0s` asks for.

    Args:
        problem: energies and compositions.
        setting: a method, `auto`, a table symbol → eV (also as text, `{1:-13.6,8:-2043.9}`), or a
            JSON or YAML file with such a table.

    Returns:
        The E0s with diagnostics and reason.

    Raises:
        PestleError: method or element is unknown, the file is unreadable, or the data do not permit
            the method.
    """
    setting = symbols_of(setting)
    if not isinstance(setting, str) or setting not in (*METHODS, "auto"):
        return _given(problem, setting)
    if setting == "auto":
        method, reason = choose(problem)
    else:
        method, reason = setting, "asked for"
    result = estimate(problem, method)
    result.reason = reason
    if method == "isolated":
        result.warnings += _suspect(result, problem)
    return result


def given_elements(setting: str | Mapping[str, float]) -> set[int]:
    """Return the atomic numbers whose E0 the setting `e0s` gives; none if it names a method.

    Raises:
        PestleError: as `from_setting`, for a table or file.
    """
    setting = symbols_of(setting)
    if not isinstance(setting, str):
        return set(table_of(setting))
    return set() if setting in (*METHODS, "auto") else set(read_table(_file_of(setting)))


def fallback(setting: str | Mapping[str, float], *, from_scratch: bool) -> str:
    """Return the method for elements without a given E0 and without an isolated atom.

    Args:
        setting: the setting `e0s`.
        from_scratch: whether training starts with random weights.
    """
    if setting in ("average", "foundation"):
        return str(setting)
    return "average" if from_scratch else "reestimate"


def _closer_start(result: ReferenceEnergies, problem: EnergyProblem) -> ReferenceEnergies | None:
    """Return reestimated E0s if their starting error is much lower than that of isolated atoms.

    E0s must have the same meaning as the foundation's (paper, 3.2.2), and some foundations were
    trained with E0s that are not energies of isolated atoms.
    """
    isolated = result.zero_step_error
    if not problem.frames or isolated is None or isolated < SUSPECT_ERROR:
        return None
    fitted = estimate(problem, "reestimate")
    assert fitted.zero_step_error is not None
    return fitted if isolated >= SUSPECT_RATIO * fitted.zero_step_error else None


def _suspect(result: ReferenceEnergies, problem: EnergyProblem) -> list[str]:
    """Return a warning if reestimated E0s would start much closer than these isolated atoms."""
    fitted = _closer_start(result, problem)
    if fitted is None:
        return []
    free = "; valid only for these compositions" if fitted.null_space else ""
    return [
        "energies of isolated atoms do not suit this foundation: training starts "
        f"{result.zero_step_error:.0f} meV/atom off, with reestimated E0s "
        f"{fitted.zero_step_error:.0f}. To train with those: --set e0s=reestimate{free}"
    ]


def _given(problem: EnergyProblem, setting: str | Mapping[str, float]) -> ReferenceEnergies:
    """Return E0s that the user gives as a table or a file."""
    if isinstance(setting, str):
        table, reason = read_table(_file_of(setting)), f"by the user, in {setting}"
    else:
        table, reason = table_of(setting), "by the user"
    result = estimate(problem, "isolated", table)
    from_atoms = [z for z in elements_of(problem.frames) if z not in table]
    if from_atoms:
        names = ", ".join(chemical_symbols[z] for z in from_atoms)
        reason += f"; {names} from isolated atoms of the data"
    result.method, result.reason = "given", reason
    result.warnings += [*_against_atoms(problem, table), *_suspect(result, problem)]
    return result


def _against_atoms(problem: EnergyProblem, table: Mapping[int, float]) -> list[str]:
    """Return a warning for each isolated atom of the data whose energy differs from the table."""
    found = {}
    for frame in problem.atoms:
        z = int(frame.numbers[0])
        assert frame.energy is not None
        if z in table and abs(frame.energy - table[z]) > SAME_ATOM:
            found[z] = (
                f"the E0 given for {chemical_symbols[z]} is {fixed(table[z], 4)} eV, but "
                "its isolated "
                f"atom in the data has {fixed(frame.energy, 4)} ({frame.where}); the one "
                "given is taken"
            )
    return list(found.values())


def _file_of(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        meant = MACE_WORDS.get(name.lower())
        hint = f"mace's {name} is {meant} here." if meant else nearest(name, METHODS).strip()
        raise PestleError(
            f"'{name}' is neither a method nor a file",
            where="e0s",
            fix=f"{hint} Methods: auto, {', '.join(METHODS)}; or a table {{H: -13.6, …}}, also in "
            "a file of JSON or YAML.".lstrip(),
        )
    return path
