"""`pestle e0`: atomic reference energies of a data set, by one method and by all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pestle.checks.surfaces import require_one_surface
from pestle.energies.reference_energies import EnergyProblem, ReferenceEnergies, compare
from pestle.energies.setting import from_setting
from pestle.structures.reading import LabelKeys, read_frames
from pestle.structures.selection import Selection


@dataclass(frozen=True)
class E0Result:
    """The problem, the E0s by the method that was asked for, and those by every possible one."""

    problem: EnergyProblem
    chosen: ReferenceEnergies
    compared: dict[str, ReferenceEnergies]


def e0(
    data: Sequence[str],
    *,
    foundation: str | None = None,
    method: str | Mapping[str, float] = "auto",
    head: str | None = None,
    trust: bool = False,
    keys: LabelKeys | None = None,
    select: Sequence[str] = (),
) -> E0Result:
    """Reference energies of labelled structures.

    Args:
        data: structure files or globs.
        foundation: model to reestimate with and to compare.
        method: auto, isolated, reestimate, average, foundation, a table symbol → eV (also as
            text, `{1:-13.6,8:-2043.9}`), or a file of JSON or YAML that holds one.
        head: head of the foundation.
        trust: allow a `.model` file.
        keys: label keys.
        select: `KEY=VALUE` of the frames to use, as the setting `data.select`.

    Raises:
        PestleError: the data do not permit the method, a file cannot be read, or the frames are of
            several potential-energy surfaces by their own word.
    """
    selection = Selection.of(select)
    frames = read_frames(data, keys).frames
    selection.require(frames)
    frames = selection.keep(frames)
    model = None
    if foundation is not None:
        from pestle.foundations import load_foundation
        from pestle.foundations.devices import find_device

        model = load_foundation(foundation, trust=trust).to(find_device("auto"))
    embeds = model.embeds if model is not None else ()
    require_one_surface(frames, embeds=embeds, asked=selection.mixed)
    problem = EnergyProblem.of(frames, model, head)
    return E0Result(problem, from_setting(problem, method), compare(problem))
