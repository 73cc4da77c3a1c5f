"""The place of a number in metrics.json, in words: the heading of its column."""

from __future__ import annotations

import re

from pestle.metrics import ALL
from pestle.wording import words

#: Parts of a place that only group what follows: the name after them says enough.
_GROUPING = frozenset({"reactions", "scans", "pairs", "compositions", "sets", "ends", ALL})
#: Field → what its number is.
_NUMBERS = {
    "barrier": "barrier",
    "barrier_error": "error of the barrier",
    "reverse_barrier": "barrier of the way back",
    "reaction_energy": "reaction energy",
    "reaction_energy_error": "error of the reaction energy",
    "rmse": "RMSE",
    "rmse_mev": "RMSE",
    "mean_aligned_rmse": "RMSE less the mean",
    "forces_rmse": "force RMSE",
    "forces_mae": "force MAE",
    "forces_share": "force RMSE over the RMS force",
    "energy_rmse": "energy RMSE",
    "energy_mae": "energy MAE",
    "stress_rmse": "stress RMSE",
    "stress_mae": "stress MAE",
    "emd": "earth mover's distance",
    "emd_error": "scatter of the earth mover's distance",
    "emd_noise": "earth mover's distance by chance",
    "fmax": "largest force",
    "rmsd": "displacement",
    "imploded": "imploded crystals",
    "diverged": "diverged crystals",
    "flagged": "flagged crystals",
    "flagged_foundation": "crystals flagged by the foundation's medians",
    "out_of_steps": "crystals still moving",
    "n": "number",
    "n_pairs": "pairs",
    "n_flagged": "flagged pairs",
    "n_frames": "frames",
    "n_runs": "runs",
    "n_structures": "structures",
    "n_unstable": "unstable runs",
    "unstable_share": "share of unstable runs",
    "simulated": "simulated time",
    "errors": "error",
    "energies": "energy",
    "share": "share of the forces that moved",
    "median": "median of the structures",
    "beyond": "structures moved by more than their forces",
    "worst_forces": "largest shift of forces",
    "saddle": "has a saddle",
}
#: Field above others → what it says of a number below it.
_QUALIFIERS = {
    "path": "along the given path",
    "band": "along the relaxed band",
    "reactant": "of the reactant",
    "product": "of the product",
    "reference": "of the reference",
    "against_foundation": "against the foundation",
    "against_labels": "against the labels",
    "moved": "",
    "by_criterion": "by the model's medians",
    "by_criterion_foundation": "by the foundation's medians",
    "by_criterion_either": "by either medians",
}
#: A list of pressures is entered by a pressure in GPa.
_AT_PRESSURE = re.compile(r"pressures\.(?P<pressure>\d+(\.\d+)?)\.(?P<below>.+)")


def heading_of(place: str) -> str:
    """Return the place of a number in words; names that the data gave are kept as they are.

    Args:
        place: names of nested entries, joined by dots, such as `reactions.neb_mp2.path.rmse_mev`.

    Returns:
        Such as `RMSE along the given path (neb_mp2)`. The unit is not part of it.
    """
    found, at = _AT_PRESSURE.match(place), ""
    if found is not None:
        at, place = f"at {found['pressure']} GPa", found["below"]
    *parents, last = place.split(".")
    fields = [part for part in parents if part in _QUALIFIERS or part in _NUMBERS]
    names: list[list[str]] = [[]]
    for part in parents:  # a name may contain dots
        if part in _GROUPING or part in fields:
            names.append([])
        else:
            names[-1].append(part)
    if last not in _NUMBERS and fields and fields[-1] in _NUMBERS:
        names.append([last])  # an element or a criterion: the field above says what it is
        last = fields.pop()
    told = [_NUMBERS.get(last, words(last))]
    told += [_QUALIFIERS.get(field, words(field)) for field in reversed(fields)]
    named = ", ".join(".".join(name) for name in names if name)
    text = " ".join(part for part in (*told, at) if part)
    return f"{text} ({named})" if named else text
