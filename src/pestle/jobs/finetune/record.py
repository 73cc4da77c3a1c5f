"""Content of the manifest and the model card of a run, and the hash that a resumed run must
share.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from pestle.energies.reference_energies import ReferenceEnergies
from pestle.files import sha256
from pestle.foundations.capabilities import arithmetic_of
from pestle.foundations.dispersion import dispersion_of
from pestle.jobs.finetune.continuing import offer_of
from pestle.jobs.finetune.data_settings import OF_SUBSET, data_files
from pestle.jobs.finetune.decisions import explained_settings, trainable_blocks
from pestle.jobs.finetune.judging import FINE_TUNED
from pestle.jobs.finetune.other_programs import files_not_given
from pestle.jobs.finetune.parent import ancestry_of
from pestle.jobs.finetune.preparation import Prepared
from pestle.records.card import OfRun
from pestle.records.data import DataFacts, Subset
from pestle.records.ending import Ending
from pestle.records.folder import now, versions
from pestle.records.manifest import Manifest, SetsOfErrors
from pestle.records.method import DriftFacts, MethodChoice, MethodFacts, ReplayFacts
from pestle.records.metrics import EvaluatedErrors
from pestle.records.old_sets import old_set
from pestle.records.parts import AtomicEnergies, File, FoundationFacts
from pestle.structures.frame import Frame
from pestle.structures.reading import expand_paths
from pestle.wording import counted

#: Number of digits of a run's hash that are used as its id.
RUN_ID_DIGITS = 16


def describe(prepared: Prepared, command: str, identity: str) -> Manifest:
    """Return the manifest before training.

    Args:
        prepared: the run.
        command: the command line.
        identity: hash that a resumed run must share.
    """
    foundation, adaptation = prepared.foundation, prepared.adaptation
    continued = prepared.data.continued
    model = adaptation.model
    blocks = trainable_blocks(model, adaptation.trainable)
    checked = prepared.check.to_json()
    return Manifest(
        pestle=versions()["pestle"],
        run_id=identity[:RUN_ID_DIGITS],
        command=command,
        started=now(),
        versions=versions(),
        data=DataFacts(
            files={
                name: _files(expand_paths(patterns))
                for name, patterns in data_files(prepared.settings.data)
            }
            | {
                old_set(split, run.name): files
                for run in (continued.runs if continued is not None else ())
                for split, files in run.files.items()
            },
            held_out=prepared.splits.held_out,
            subset=_subset(prepared),
            keys=prepared.splits.keys,
            dispersion=model.provenance.dispersion,
            dispersion_removed=model.provenance.dispersion_removed,
            summary=checked["summary"]["splits"],
            findings=checked["findings"],
        ),
        foundation=FoundationFacts(
            name=foundation.provenance.name,
            licence=foundation.provenance.licence,
            level_of_theory=foundation.level_of_theory,
            dispersion=dispersion_of(foundation, prepared.foundation_head),
            fingerprint=prepared.fingerprint,
            elements=tuple(chemical_symbols[z] for z in foundation.elements),
            heads=foundation.heads,
            head=prepared.foundation_head,
            n_parameters=sum(p.numel() for p in foundation.parameters()),
            cutoff=foundation.cutoff,
            dtype=prepared.settings.train.dtype,
            arithmetic=arithmetic_of(model),
        ),
        ancestry=ancestry_of(prepared.parent, foundation, prepared.fingerprint),
        continued=continued,
        offer=offer_of(prepared.parent, prepared.settings),
        files_not_given=files_not_given(model),
        reference_energies=_energies(prepared.e0s),
        reference_energies_compared={k: _energies(v) for k, v in prepared.compared.items()},
        method=MethodFacts(
            name=prepared.settings.method,
            notes=(*adaptation.notes, *_element_note(prepared)),
            blocks=blocks,
            n_trainable=sum(block.trainable for block in blocks.values()),
            n_parameters=sum(block.total for block in blocks.values()),
            heads=model.heads,
            choice=MethodChoice(**asdict(prepared.choice)) if prepared.choice else None,
        ),
        replay=_replay(prepared),
        drift=DriftFacts(n_frames=len(prepared.drift)) if prepared.drift else None,
        settings=explained_settings(prepared.settings, prepared.reasons),
        warnings=tuple(prepared.warnings),
    )


def _subset(prepared: Prepared) -> Subset | None:
    """Return the subset of the training frames that the run uses; `None` for all of them."""
    data, splits = prepared.settings.data, prepared.data.fresh
    if not data.takes_subset:
        return None
    return Subset(n_frames=len(splits.train), n_given=splits.n_train_given, seed=data.subset_seed)


def _files(paths: Sequence[Path]) -> tuple[File, ...]:
    return tuple(File(path=str(path), sha256=sha256(path)) for path in paths)


def _energies(e0s: ReferenceEnergies) -> AtomicEnergies:
    return AtomicEnergies.model_validate(e0s.to_json())


def _replay(prepared: Prepared) -> ReplayFacts | None:
    """Return the facts about the replay set; `None` for methods without one."""
    replay = prepared.replay
    if replay is None:
        return None
    return ReplayFacts(
        labels=replay.labels,
        n_train=len(replay.train),
        n_valid=len(replay.valid),
        notes=tuple(replay.notes),
        files=_files(replay.files),
    )


def _element_note(prepared: Prepared) -> list[str]:
    """Return a note if the model keeps only some elements of the foundation."""
    kept, all_of_them = len(prepared.start.elements), len(prepared.foundation.elements)
    if kept == all_of_them:
        return []
    of_data = counted(kept, "element")
    return [f"cut down to {of_data} of the data; the other {all_of_them - kept} are lost"]


def card_while_training(
    prepared: Prepared, manifest: Manifest, epoch: int | float, valid: EvaluatedErrors | None
) -> OfRun:
    """Return the part of the card that describes a run during training.

    Args:
        prepared: the run.
        manifest: its manifest.
        epoch: epoch of the model.
        valid: validation errors of the model; `None` without validation frames.
    """
    return _card_of(prepared, manifest, epoch).model_copy(update={"validation": valid})


def card_after_training(
    prepared: Prepared, manifest: Manifest, errors: SetsOfErrors, ending: Ending
) -> OfRun:
    """Return the part of the card that describes a finished run.

    Args:
        prepared: the run.
        manifest: its manifest.
        errors: errors of all models.
        ending: the record of the end of the run.
    """
    training = manifest.of_training
    return _card_of(prepared, manifest, training.best_epoch).model_copy(
        update={
            "convergence": training.convergence,
            "errors": {name: models[FINE_TUNED]["all"] for name, models in errors.items()},
            "ending": ending.for_card(),
        }
    )


def _card_of(prepared: Prepared, manifest: Manifest, epoch: int | float) -> OfRun:
    """Return what the card has in common during and after training."""
    return OfRun(
        run_id=manifest.run_id,
        ancestry=manifest.ancestry,
        foundation=manifest.foundation,
        method=prepared.settings.method,
        data=manifest.data.files,
        reference_energies=manifest.reference_energies,
        level=prepared.level,
        settings={name: entry.value for name, entry in manifest.settings.items()},
        warnings=manifest.warnings,
        interpolation=manifest.interpolation,
        epoch=epoch,
    )


def run_identity(prepared: Prepared) -> str:
    """Return the hash that a resumed run must share.

    It depends on the settings and on the content of data, E0s and foundation, but not on file
    names.

    Args:
        prepared: the run.
    """
    settings = prepared.settings
    data = [[sha256(p) for p in expand_paths(files)] for _, files in data_files(settings.data)]
    # A resumed run may change its device, its loggers and its length.
    fields = settings.model_dump(
        exclude={
            "foundation": True,
            "e0s": True,
            "data": {"train", "valid", "test", *(() if settings.data.takes_subset else OF_SUBSET)},
            "train": {
                "device",
                "threads",
                "checkpoint_seconds",
                "updates",
                "epochs",
                "eval_interval",
                "patience",
                "lr",
            },
            "log": True,
            "parent": True,
            "replay": {"pool"},
            "drift": {"structures"},
        }
    )
    e0s = sorted(prepared.e0s.e0s.items())
    replay = prepared.replay
    broad = [
        frames_digest(frames)
        for frames in (replay.train if replay else [], replay.valid if replay else [])
    ]
    broad += [frames_digest(prepared.drift), frames_digest(prepared.ewc)]
    parts: list[Any] = [fields, data, e0s, prepared.fingerprint, broad]
    continued = prepared.data.continued
    if continued is not None:
        files = [
            [f.sha256 for f in group] for run in continued.runs for group in run.files.values()
        ]
        parts += [files, continued.weight]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def frames_digest(frames: Sequence[Frame]) -> str:
    """Return a hash of structures and labels; it depends on their order.

    Args:
        frames: the structures; energies in eV, forces in eV/Å, stress in eV/Å³.
    """
    digest = hashlib.sha256()
    for f in frames:
        atoms = f.atoms
        for array in (
            atoms.numbers,
            atoms.positions,
            atoms.cell.array,
            atoms.pbc,
            f.forces,
            f.stress,
        ):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        digest.update(repr((f.energy, f.charge, f.spin, f.weight)).encode())
    return digest.hexdigest()
