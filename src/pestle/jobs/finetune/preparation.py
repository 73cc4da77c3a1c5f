"""The preparation of a run: data, checks, foundation, E0s, method.

Only one file is written: the one that stores pseudolabels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

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
from pestle.foundations.interface import TARGET_HEAD, Foundation, Provenance
from pestle.foundations.prediction import KnownPredictions
from pestle.jobs.finetune.broad_structures import Stored, drift_structures, ewc_structures
from pestle.jobs.finetune.continuing import Data, read_data, reasons_of
from pestle.jobs.finetune.data_lines import read_lines, reading_notes
from pestle.jobs.finetune.keepers import keeper_notes, require_keepers
from pestle.jobs.finetune.method_choice import with_labels_at_hand, with_method
from pestle.jobs.finetune.parent import Parent, level_of, read_parent
from pestle.jobs.finetune.replay import Replay, prepare_replay
from pestle.jobs.finetune.requirements import (
    require_foundation,
    require_heads,
    require_validation,
    unused_settings,
)
from pestle.jobs.finetune.starting_model import make_start, reference_energies
from pestle.jobs.finetune.without_validation import GIVES_UP, require_last
from pestle.jobs.preflight import as_lines, model_findings, preflight, require_sound
from pestle.progress import say, show, stage
from pestle.records.parts import LabelLevel
from pestle.settings.run import RunSettings
from pestle.structures.dispersion import D3
from pestle.structures.frame import Frame
from pestle.structures.reading import is_reference_atom
from pestle.structures.splits import Splits
from pestle.training.gate import Stage
from pestle.training.loggers import require_loggers


@dataclass
class Prepared:
    """A run that is ready to start.

    Attributes:
        settings: complete settings.
        reasons: dotted name → reason for each setting that Pestle chose.
        data: the frames, including those of continued runs.
        check: result of the checks of data and foundation.
        foundation, foundation_head: the foundation as loaded, in the network's precision, and its
            head.
        parent: the run that made the foundation; `None` if no run made it.
        known: predictions of this head that exist already.
        fingerprint: hash of the foundation as loaded.
        start: the foundation with the head, elements and E0s of the run; the baseline of errors.
        e0s: E0s of the run, eV.
        compared: method → E0s in eV, for every method that the data permit.
        level: level of theory of the labels.
        adaptation: the model to train.
        stages: changes from the foundation to this model, for the zero-step gate.
        warnings: warnings, one line each.
        choice: why `auto` chose the method; `None` if the user named one.
        replay: structures of the replay head; `None` for methods without one.
        drift: structures on which drift is monitored; empty if it is not.
        ewc: structures for elastic weight consolidation; empty if it is off.
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
        """Training and validation frames, and the new test frames."""
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

    Returns:
        The run before its first update.

    Raises:
        PestleError: the user must correct a mistake, or the checks found an error.
        LabellingStopped: Ctrl-C or SIGTERM stopped the command while it made pseudolabels.
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
    warnings += as_lines(
        model_findings(
            e0s,
            adaptation.model,
            frames,
            foundation,
            check.warnings,
            atoms_trained=bool(settings.data.isolated_atom_repeats),
        )
    )
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
