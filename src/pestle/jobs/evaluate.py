"""`pestle evaluate`: errors of a model on labelled structures, by group."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from pestle.checks.levels import NO_CHEMISTRY
from pestle.checks.mixed_units import mixed_unit_findings
from pestle.checks.surfaces import require_one_surface
from pestle.checks.unread import note_findings, options_for, unread_findings
from pestle.energies.problem import require_elements
from pestle.errors import PestleError
from pestle.files import OneOrMore, each_of
from pestle.foundations.devices import DTYPES, find_device
from pestle.foundations.prediction import FramePrediction
from pestle.jobs.models import load_model
from pestle.jobs.potentials import Contenders
from pestle.jobs.protocol_run import measured, write_results
from pestle.locks import locked_folder
from pestle.metrics import ALL, UNITS, FrameErrors, error_table, errors_by_group
from pestle.progress import say, warn
from pestle.protocols.base import Inputs
from pestle.protocols.errors.offset import offset_by_element
from pestle.protocols.errors.protocol import PROTOCOL
from pestle.protocols.potential import ModelPotential
from pestle.protocols.predictions import read_predictions
from pestle.records.folder import RunFolder, require_folder
from pestle.records.manifest import Manifest
from pestle.settings.probe import ErrorSettings
from pestle.structures.dispersion import D3, without_dispersion
from pestle.structures.frame import Frame, elements_of
from pestle.structures.reading import LabelKeys, read_frames
from pestle.structures.selection import Selection
from pestle.views import Shown, Table, figure
from pestle.wording import counted

#: Errors of energies above this (meV/atom), and this many times those less a constant per element,
#: are of labels on another scale.
FAR_OFF, FAR_BY = 500.0, 5.0


@dataclass(frozen=True, repr=False)
class Evaluation(Shown, Mapping[str, FrameErrors]):
    """Errors of a model by group of frames; it can be indexed with the name of a group.

    Attributes:
        model: the model as the user named it.
        data: files or globs as the user named them.
        groups: `all` and each config_type → errors (meV/atom, meV/Å, meV/Å³).
        shifted: the same after a constant for each element was fitted and added to the predicted
            energies; empty where the frames are too few to fit it.
    """

    model: str
    data: tuple[str, ...]
    groups: dict[str, FrameErrors]
    shifted: dict[str, FrameErrors] = field(default_factory=dict)

    def __getitem__(self, group: str) -> FrameErrors:
        return self.groups[group]

    def __iter__(self) -> Iterator[str]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __repr__(self) -> str:
        return f"<Evaluation of {self.model}: {self.lines()[0]}>"

    def lines(self) -> list[str]:
        """Return the RMSEs on all frames as one line."""
        errors = self.groups[ALL]
        told = [
            f"{name.replace('_rmse', '')} RMSE {figure(value, 3)} {UNITS[name]}"
            for name, value in errors.figures.items()
            if value is not None and name.endswith("_rmse")
        ]
        return [f"{', '.join(told)} on {counted(errors.n_frames, 'frame')}"]

    def tables(self) -> list[Table]:
        """Return one table of the errors, a row per group."""
        title = f"errors on {', '.join(self.data)}"
        models = {self.model: self.groups}
        if self.shifted:
            models["  less a constant per element"] = self.shifted
        return [error_table(title, models)]

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return the errors as plain data: group → name of the error → value."""
        return {group: errors.model_dump() for group, errors in self.groups.items()}


def evaluate(
    model: str | Path,
    data: OneOrMore,
    *,
    foundation: str | None = None,
    head: str | None = None,
    trust: bool = False,
    keys: LabelKeys | None = None,
    select: str | Sequence[str] = (),
    subtract_dispersion: str | None = None,
    dtype: str | None = None,
    device: str = "auto",
    max_edges: int | None = None,
    out: Path | None = None,
) -> Evaluation:
    """Calculate the errors of a model on labelled structures.

    >>> found = pestle.evaluate("runs/mine", ["test.xyz"])
    >>> found["all"].forces_rmse  # meV/Å

    Args:
        model: run folder, model folder, `.model` file (with trust), catalogue name, or an
            `adapter.safetensors`.
        data: structure file or glob, or several.
        foundation: foundation of an adapter; by default the one that its file names.
        head: head of the model; needed only if it has several.
        trust: allow a `.model` file.
        keys: label keys.
        select: `KEY=VALUE` of the frames to evaluate, as the setting `data.select`.
        subtract_dispersion: functional whose D3 correction is first subtracted from the labels.
        dtype: precision of the network, float32 or float64; by default the model's.
        device: device for predictions: auto, cpu, cuda or cuda:N.
        max_edges: largest number of edges in a batch; by default the model's `edges_at_once`.
        out: folder for the files that `pestle probe errors` writes; by default none are kept.

    Returns:
        Group → errors (meV/atom, meV/Å, meV/Å³); the groups are `all` and each config_type.

    Raises:
        PestleError: a file or model cannot be read, no frame has a label, or the files say that
            their frames are of several potential-energy surfaces.
    """
    model, data = str(model), each_of(data)
    selection = Selection.of(each_of(select))
    reading = read_frames(data, keys)
    selection.require(reading.frames)
    frames = selection.keep(reading.frames)
    if not any(f.energy is not None or f.forces is not None for f in frames):
        instead, typed = options_for(frames)
        raise PestleError(
            "no frame has an energy or forces to compare with" + (f"; {instead}" * bool(instead)),
            where=", ".join(data),
            fix=typed or "The files hold no numbers that could be labels.",
        )
    for item in [
        *mixed_unit_findings(frames)[0],
        *unread_findings(frames),
        *note_findings(reading.notes),
    ]:
        say(f"{item.message}. {item.fix}".rstrip())
    if dtype is not None and dtype not in DTYPES:
        raise PestleError(f"unknown dtype '{dtype}'", where="dtype", fix="float32 or float64.")
    loaded = load_model(
        model, foundation=foundation, trust=trust, dtype=DTYPES[dtype] if dtype else None
    )
    head = loaded.heads[loaded.head_index(head)]
    removed = loaded.provenance.dispersion_removed
    if subtract_dispersion is not None:
        correction = D3.of(subtract_dispersion, where="--subtract-dispersion")
        frames = without_dispersion(frames, correction)
    elif removed:
        say(
            f"note: {removed} was taken from the labels that this model was trained on; if these "
            f"hold it, add --subtract-dispersion '{removed}'"
        )
    require_elements(frames, loaded)
    require_one_surface(frames, embeds=loaded.embeds, asked=selection.mixed)
    potential = ModelPotential("model", loaded.to(find_device(device)), head, max_edges=max_edges)
    inputs = Inputs(elements_of(frames), {"data": frames}, candidate=potential.name)
    precision = str(loaded.dtype).removeprefix("torch.")
    with _folder(out) as folder:
        found, raws = measured(
            PROTOCOL, Contenders(potential), inputs, ErrorSettings(), folder, precision
        )
        write_results(PROTOCOL, found, raws, folder)
        judged = PROTOCOL.structures(inputs, ErrorSettings())
        shifted = _less_offset(judged, read_predictions(raws[potential.name], judged))
    groups: dict[str, FrameErrors] = found.numbers.sets["data"][potential.name]
    _hint(groups[ALL], shifted.get(ALL), _untrained(Path(model), frames))
    return Evaluation(model, tuple(data), dict(groups), shifted)


def _less_offset(
    frames: Sequence[Frame], predictions: Sequence[FramePrediction]
) -> dict[str, FrameErrors]:
    """Return the errors by group after a constant for each element is added to the energies."""
    labelled = [f for f in frames if f.energy is not None and not f.is_isolated_atom]
    # As many constants as frames would explain any energies.
    if len(labelled) < 2 * max(1, len(elements_of(labelled))):
        return {}
    offset = offset_by_element(frames, predictions)
    moved = [
        replace(p, energy=p.energy + sum(offset.get(int(z), 0.0) for z in f.numbers))
        for f, p in zip(frames, predictions, strict=True)
    ]
    return errors_by_group(frames, moved)


def _untrained(run: Path, frames: Sequence[Frame]) -> list[str]:
    """Return the elements of the frames that a run was not trained on."""
    file = RunFolder(run.expanduser()).manifest
    if not file.is_file():
        return []
    trained = Manifest.of_run(file).data.summary.get("train")
    known = set(trained.elements) if trained is not None else set()
    return [s for z in elements_of(frames) if (s := chemical_symbols[z]) not in known]


def _hint(errors: FrameErrors, shifted: FrameErrors | None, untrained: Sequence[str]) -> None:
    """Warn of energies on another scale, and of elements that the run has not seen."""
    if untrained:
        warn(
            f"the training frames of this run hold no {', '.join(untrained)}: it has not learned "
            "them, and energies of frames with them may have another zero"
        )
    energy = errors.energy_rmse
    less = None if shifted is None else shifted.energy_rmse
    if energy is None or energy < FAR_OFF:
        return
    if less is not None and energy < FAR_BY * less and energy < NO_CHEMISTRY * 1000:
        return
    which = (
        f" (the {counted(errors.n_frames, 'frame')} are too few to take that off)"
        if less is None
        else ": see the row 'less a constant per element'"
    )
    warn(
        "energies are far off. Most likely these labels are of another level of theory or program "
        "than those the model was trained on, so that every element has another energy; forces "
        f"do not depend on that{which}"
    )


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Lock and yield the requested folder, or else a temporary one that is deleted at the end."""
    if out is not None:
        require_folder(out)
        with locked_folder(out):
            yield out
        return
    with tempfile.TemporaryDirectory(prefix="pestle-evaluate-") as temporary:
        yield Path(temporary)
