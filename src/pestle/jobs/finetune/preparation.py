"""All steps before the first update: data, checks, foundation, E0s, method.

The only file that is written is the one that stores pseudolabels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from pydantic import BaseModel

from pestle.adaptation import Adaptation, Case, method_of, recipe_of
from pestle.adaptation.choice import Choice
from pestle.adaptation.recipes import resolve
from pestle.checks import CheckReport
from pestle.checks.dispersion import dispersion_of_labels
from pestle.energies.problem import require_elements
from pestle.energies.reference_energies import ReferenceEnergies
from pestle.energies.single_atoms import single_atoms_learnable
from pestle.errors import PestleError
from pestle.foundations import capabilities, load_foundation
from pestle.foundations.capabilities import Kernels, require
from pestle.foundations.devices import DTYPES
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD, Foundation, Provenance
from pestle.foundations.prediction import KnownPredictions
from pestle.jobs.finetune.continuing import Data, read_data, reasons_of
from pestle.jobs.finetune.keepers import keeper_notes, require_keepers, unused_keepers
from pestle.jobs.finetune.method_choice import with_labels_at_hand, with_method
from pestle.jobs.finetune.parent import Parent, level_of, read_parent
from pestle.jobs.finetune.plan import read_lines, reading_notes
from pestle.jobs.finetune.replay import (
    Replay,
    Stored,
    drift_structures,
    ewc_structures,
    prepare_replay,
)
from pestle.jobs.finetune.starting_model import make_start, reference_energies
from pestle.jobs.finetune.without_validation import GIVES_UP, require_last
from pestle.jobs.preflight import as_lines, model_findings, preflight, require_sound
from pestle.progress import say, show, stage
from pestle.records.parts import LabelLevel
from pestle.settings.run import DriftSettings, LoraSettings, ReplaySettings, RunSettings
from pestle.structures.dispersion import D3
from pestle.structures.frame import Frame, evenly
from pestle.structures.graphs import GraphBatch, make_graph
from pestle.structures.reading import is_reference_atom
from pestle.structures.splits import Splits
from pestle.training.gate import Stage
from pestle.training.loggers import require_loggers
from pestle.training.objective import TrainingData
from pestle.training.replay import GraphsOnDemand, ReplayData

#: Number of training frames that are evaluated if there are no validation frames.
MAX_TRAIN_WATCHED = 200


@dataclass
class Prepared:
    """A run that is ready to start.

    Attributes:
        settings, reasons: complete settings, and why those were chosen that the user left open.
        data: the frames, with those of continued runs.
        check: what the preflight found.
        foundation, foundation_head: as loaded, in the network's precision.
        parent: the same as an earlier run left it; `None` where no run made it.
        known: what that head said of frames so far.
        fingerprint: hash of the foundation as it was loaded.
        start: the same made ready (head, elements, E0s): the run's baseline.
        e0s, compared: reference energies in use, and all that the data permit.
        level: what they say of the level of theory of the labels.
        adaptation: the model to train.
        stages: from the foundation to that model, for the zero-step gate.
        warnings: one line each.
        choice: why `auto` chose the method; `None` where the user named one.
        replay: structures of the replay head; `None` for methods without one.
        drift: structures on which drift is watched; empty for not.
        ewc: structures on which elastic weight consolidation asks the foundation; empty for not.
    """

    settings: RunSettings
    reasons: dict[str, str]
    data: Data
    check: CheckReport
    foundation: Foundation
    foundation_head: str
    parent: Parent | None
    known: KnownPredictions
    fingerprint: str
    start: Foundation
    e0s: ReferenceEnergies
    compared: dict[str, ReferenceEnergies]
    level: LabelLevel
    adaptation: Adaptation
    stages: list[Stage]
    warnings: list[str]
    choice: Choice | None = None
    replay: Replay | None = None
    drift: list[Frame] = field(default_factory=list)
    ewc: list[Frame] = field(default_factory=list)

    @property
    def splits(self) -> Splits:
        """The frames to train on and to choose the model by, and the new test frames."""
        return self.data.splits


def prepare(
    settings: RunSettings,
    device: torch.device,
    *,
    trust: bool = False,
    labels_file: Path | None = None,
    stored: Stored | None = None,
    keep_e0s: bool = True,
) -> Prepared:
    """Read the data, check them, load the foundation, and adapt it.

    Args:
        settings: settings of the run.
        device: device for predictions and training.
        trust: whether a foundation may be a `.model` file.
        labels_file: file that stores pseudolabels while they are made and that keeps those of a
            stopped run; `None` stores none.
        stored: broad structures of a run that is resumed.
        keep_e0s: whether a foundation that was fine-tuned before may keep its E0s.

    Raises:
        PestleError: a mistake that a user can correct, or an error of the preflight checks.
        LabellingStopped: Ctrl-C or SIGTERM came while pseudolabels were made.
    """
    require_loggers(settings.log)
    require_foundation(settings)
    parent = read_parent(settings.foundation)
    with stage("reading the data"):
        data = read_data(settings, parent)
    splits = data.splits
    for line in read_lines(splits.named()):
        say(line)
    settings, case, choice = with_method(settings, splits)
    require_heads(settings)
    require_keepers(settings)
    require_last(settings)
    foundation = load_foundation(settings.foundation, trust=trust)
    for need in method_of(settings).needs:
        require(foundation, getattr(capabilities, need))
    fingerprint = foundation.fingerprint()
    foundation = foundation.with_dtype(DTYPES[settings.train.dtype]).to(device)
    if settings.train.kernels != "auto":
        require(foundation, Kernels).use_kernels(settings.train.kernels)
    head = foundation.heads[foundation.head_index(settings.head)]

    known = KnownPredictions()
    check = preflight(splits, foundation, head, known, settings)
    require_sound(check)
    for line in reading_notes(check.notes):
        show(line)
    require_validation(splits, settings)
    frames = [f for split in splits.named().values() for f in split]
    require_elements(frames, foundation)

    chosen = None
    if case is not None:
        settings, choice, chosen = with_labels_at_hand(settings, case, foundation, head, frames)
        require_keepers(settings)
    stated = dispersion_of_labels(frames, settings.data.dispersion_left)
    learned = parent.learned(stated) if parent is not None and keep_e0s else None
    with stage("reference energies"):
        e0s, compared, same_level = reference_energies(
            settings, splits, foundation, head, known, learned, data.fresh
        )
        start, stages = make_start(settings, foundation, head, frames, e0s)
    has_atoms = any(is_reference_atom(f) for f in splits.isolated)
    settings, reasons = resolve(
        settings,
        recipe_of(settings),
        atoms_learnable=single_atoms_learnable(start),
        has_isolated_atoms=has_atoms,
        backend=foundation.backend,
    )
    reasons = reasons_of(settings, parent) | reasons
    if data.continued is not None:
        settings.parent.weight, reasons["parent.weight"] = data.continued.weight, data.reason
    if settings.data.isolated_atom_repeats and not has_atoms:
        raise PestleError(
            "asked for, but the training data hold no IsolatedAtom frame with an energy",
            where="data.isolated_atom_repeats",
        )
    replay = None
    if method_of(settings).replays:
        if stored is not None and stored.train:
            replay = Replay(stored.train, stored.valid, "as when the run began")
        else:
            replay = prepare_replay(
                settings,
                foundation,
                head,
                frames,
                fingerprint,
                chosen,
                n_train=len(splits.train),
                labels_file=labels_file,
            )
    task = Case(start, TARGET_HEAD, splits.train, settings, foundation.reference_energies[head])
    with stage(f"adapting the foundation: {settings.method}"):
        adaptation = method_of(settings).adapt(task)
    adaptation.model.provenance = descendant(foundation, fingerprint, settings, frames)
    stages.append(Stage(f"the method {settings.method}", adaptation.model, TARGET_HEAD))
    warnings = [GIVES_UP] if settings.data.no_validation else []
    warnings += as_lines(check.warnings)
    warnings += as_lines(model_findings(e0s, adaptation.model, frames, foundation))
    warnings += [*unused_settings(settings), *(replay.warnings if replay else [])]
    if choice is not None:
        reasons["method"] = "; ".join(choice.reasons)
    drift = stored.drift if stored is not None else []
    drift = drift or drift_structures(settings, foundation, head, frames)
    ewc = stored.ewc if stored is not None else []
    ewc = ewc or ewc_structures(settings, foundation, head, frames, replay)
    adaptation = replace(adaptation, notes=(*adaptation.notes, *keeper_notes(settings, len(ewc))))
    trained_on = [*splits.train, *splits.isolated]
    return Prepared(
        settings, reasons, data, check, foundation, head, parent, known, fingerprint, start, e0s,
        compared, level_of(trained_on, e0s, parent, kept=same_level), adaptation, stages, warnings,
        choice, replay, drift, ewc,
    )  # fmt: skip


def require_heads(settings: RunSettings) -> None:
    """Check that heads and drift exist if the settings need them.

    Raises:
        PestleError: the settings need the replay head of a method without one, or a drift budget
            for training from scratch.
    """
    method = method_of(settings)
    if settings.train.best_head == REPLAY_HEAD and not method.replays:
        raise PestleError(
            f"the method {settings.method} has no replay head",
            where="train.best_head",
            fix="Leave it at Default, or choose a method with replay.",
        )
    if settings.train.best_head == REPLAY_HEAD and method.pseudolabels:
        raise PestleError(
            "with pseudolabels the replay head is without error before the first update, so that "
            "no later model could be the best",
            where="train.best_head",
            fix="Leave it at Default; train.max_drift bounds how much may be forgotten.",
        )
    if method.from_scratch and (settings.train.max_drift or settings.drift.structures):
        raise PestleError(
            "a model from scratch starts far from the foundation: there is no drift to watch",
            where="train.max_drift" if settings.train.max_drift else "drift.structures",
            fix="Leave it out, or choose another method.",
        )


def unused_settings(settings: RunSettings) -> list[str]:
    """Return a line for every changed LoRA, replay, drift or keeper setting that the run does
    not use.
    """
    unused: list[str] = []
    method = method_of(settings)
    if not method.low_rank:
        unused += _changed("lora", settings.lora, LoraSettings())
    if not method.replays:
        unused += _changed("replay", settings.replay, ReplaySettings())
    elif not method.pseudolabels and settings.replay.max_force != ReplaySettings().max_force:
        unused.append("replay.max_force")
    if not settings.drift.structures and settings.train.max_drift is None:
        unused += _changed("drift", settings.drift, DriftSettings())
    unused += unused_keepers(settings)
    return [f"{name} is set, but the method {method.name} does not use it" for name in unused]


def _changed(group: str, given: BaseModel, default: BaseModel) -> list[str]:
    return [
        f"{group}.{name}"
        for name in type(given).model_fields
        if getattr(given, name) != getattr(default, name)
    ]


def require_foundation(settings: RunSettings) -> None:
    """Check that a foundation is named; from scratch it defines the architecture.

    Raises:
        PestleError: no foundation was named.
    """
    if not settings.foundation:
        raise PestleError(
            "no foundation model was named",
            where="foundation",
            fix="Give --foundation NAME; `pestle models` lists the names.",
        )


def require_validation(splits: Splits, settings: RunSettings) -> None:
    """Check that validation frames have the labels by which the kept model is chosen.

    Raises:
        PestleError: there are no validation frames, or none of them has the label.
    """
    if settings.data.no_validation:
        return
    metric = settings.train.best_metric
    label = metric.split("_")[0]
    wanted = ("energy", "forces", "stress") if label == "loss" else (label,)
    for frame in splits.valid:
        for name in wanted:
            counts = frame.weight * getattr(frame, f"{name}_weight") > 0
            if getattr(frame, name) is not None and counts:
                return
    what = "energy, forces or stress" if label == "loss" else label
    raise PestleError(
        f"no validation frame besides isolated atoms has {what} with a weight above zero"
        if splits.valid
        else "no validation frame is left besides isolated atoms",
        where="data.valid",
        fix="Give labelled validation frames, or leave data.valid out to hold some out"
        + ("." if label == "loss" else f", or choose another train.best_metric than {metric}."),
    )


def descendant(
    foundation: Foundation, fingerprint: str, settings: RunSettings, frames: Sequence[Frame]
) -> Provenance:
    """Return the provenance of a model that is made from a foundation.

    The licence is the foundation's. Level of theory and dispersion are those of the new labels.

    Args:
        foundation: the foundation as loaded.
        fingerprint: hash of the foundation.
        settings: settings of the run.
        frames: frames with the new labels.
    """
    parent, method, data = foundation.provenance, settings.method, settings.data
    removed = "" if data.subtract_dispersion is None else D3.of(data.subtract_dispersion).name
    if method_of(settings).from_scratch:
        licence = "that of the training data (no weight of the foundation is left)"
        origin = f"trained from scratch in the shape of {parent.name} ({fingerprint})"
    else:
        licence = parent.licence
        origin = f"{method} fine-tuning of {parent.name} ({fingerprint})"
    return Provenance(
        name=f"{parent.name}-{method}",
        licence=licence,
        level_of_theory="that of the training data",
        notes=(*parent.notes, origin),
        dispersion=dispersion_of_labels(frames, data.dispersion_left),
        dispersion_removed=removed,
    )


def training_data(prepared: Prepared) -> TrainingData:
    """Make the graphs of a run in the network's dtype.

    Isolated atoms are repeated and weighted as the settings say.
    """
    model, settings = prepared.adaptation.model, prepared.settings
    weight = settings.data.isolated_atom_weight
    atoms = [
        replace(f, weight=f.weight * weight)
        for f in prepared.splits.isolated
        if is_reference_atom(f)
    ]
    train = list(prepared.splits.train)
    if settings.data.isolated_atom_repeats:
        train += atoms * settings.data.isolated_atom_repeats

    def graphs(frames: Sequence[Frame], head: str) -> list[GraphBatch]:
        dtype, index = DTYPES[settings.train.dtype], model.head_index(head)
        return [
            make_graph(frame, model.cutoff, index=k, dtype=dtype).with_head(index)
            for k, frame in enumerate(frames)
        ]

    valid, watched = list(prepared.splits.valid), "valid"
    if settings.data.no_validation:
        valid, watched = evenly(prepared.splits.train, MAX_TRAIN_WATCHED), "train_frames"
    data = TrainingData(
        train, graphs(train, TARGET_HEAD), valid, graphs(valid, TARGET_HEAD), watched=watched
    )
    if prepared.replay is not None:
        kept, held = prepared.replay.train, prepared.replay.valid
        index = model.head_index(REPLAY_HEAD)
        on_demand = GraphsOnDemand(kept, model.cutoff, DTYPES[settings.train.dtype], index)
        data.replay = ReplayData(kept, on_demand, held, graphs(held, REPLAY_HEAD))
    # With replay, too, this is the head that will be used; the replay structures are for the other.
    data.broad_graphs = graphs(prepared.ewc, TARGET_HEAD)
    return data
