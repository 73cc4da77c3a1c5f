"""Training of a prepared run, errors of the model that it kept, and the record of its end."""

from __future__ import annotations

from pestle.adaptation import method_of
from pestle.adaptation.adapter_file import save_adapter
from pestle.adaptation.low_rank import LowRankModel
from pestle.errors import Interrupted
from pestle.files import finite
from pestle.foundations import load_foundation
from pestle.foundations.interface import TARGET_HEAD, Foundation
from pestle.jobs.finetune.breadth import Broad
from pestle.jobs.finetune.data_settings import with_absolute_paths
from pestle.jobs.finetune.ending import Course, ending_of
from pestle.jobs.finetune.interpolation import interpolate
from pestle.jobs.finetune.judging import judge
from pestle.jobs.finetune.parent import first_foundation
from pestle.jobs.finetune.preparation import Prepared
from pestle.jobs.finetune.record import card_after_training, card_while_training
from pestle.locks import locked_folder
from pestle.progress import conclude, stage
from pestle.records.ending import Ending
from pestle.records.folder import RunFolder, now
from pestle.records.manifest import ManifestFile
from pestle.records.metrics import EvaluatedErrors, read_metrics
from pestle.records.model_folder import ADAPTER_NAME, write_card, write_exports, write_model_folder
from pestle.records.training import DriftBudget, KeptModel, TrainingFacts
from pestle.reports import write_report
from pestle.training.failures import TrainingFailed
from pestle.training.keepers.interpolation import Interpolation
from pestle.training.loop import Trainer
from pestle.training.state import has_checkpoint


def write_best(
    model: Foundation,
    epoch: int | float,
    valid: EvaluatedErrors | None,
    prepared: Prepared,
    folder: RunFolder,
    manifest: ManifestFile,
) -> None:
    """Write the best model so far to the model folder.

    Args:
        model: the model.
        epoch: epoch of the model.
        valid: its errors on the validation frames; `None` without validation frames.
        prepared: the run.
        folder: folder of the run.
        manifest: manifest of the run.
    """
    card = card_while_training(prepared, manifest.record, epoch, valid)
    write_model_folder(folder.model, model, head=TARGET_HEAD, card=card)
    if isinstance(model, LowRankModel):
        # Adapter and foundation together give the whole model. Every head started as a copy of
        # the foundation's head.
        save_adapter(
            folder.model / ADAPTER_NAME,
            model,
            foundation_fingerprint=prepared.fingerprint,
            heads=dict.fromkeys(model.heads, prepared.foundation_head),
        )


def train_and_judge(
    trainer: Trainer,
    prepared: Prepared,
    folder: RunFolder,
    manifest: ManifestFile,
    between: Interpolation | None,
    *,
    resume: bool,
) -> Ending:
    """Train the model, judge it, and write the record of its end.

    Args:
        trainer: the trainer before its first update.
        prepared: the run.
        folder: folder of the run.
        manifest: manifest of the run; its status says how training ended, also after an error.
        between: weight interpolation between start and trained model; `None` if it is off.
        resume: continue from the checkpoint, if there is one.

    Returns:
        The record of the end. If the result is bad, the user is warned here.

    Raises:
        Interrupted: the run was stopped; its checkpoint was written.
        TrainingFailed: training gave numbers that are not finite, or memory was not enough; the
            best model was judged if there is one.
    """
    failure: TrainingFailed | None = None
    try:
        # A run that was killed before its first checkpoint starts again.
        counters = trainer.run(resume=resume and has_checkpoint(folder.checkpoint))
    except Interrupted as stop:
        if trainer.counters.best_update >= 0:
            write_exports(folder.model, load_foundation(folder.path), head=TARGET_HEAD)
        manifest.update(status="interrupted", status_detail=f"stopped by {stop.by}")
        raise
    except TrainingFailed as error:
        failure, counters = error, trainer.counters
    convergence = trainer.convergence() if counters.evaluations else None
    no_validation = prepared.settings.data.no_validation
    manifest.update(
        training=TrainingFacts(
            best_epoch=trainer.budget.epochs_after(max(0, counters.best_update)),
            best_update=counters.best_update,
            best_metric="loss" if no_validation else prepared.settings.train.best_metric,
            best_value=counters.best,
            epochs=trainer.budget.epochs_after(counters.step),
            steps=counters.step,
            seconds=counters.seconds,
            cpu_seconds=finite(counters.cpu_seconds),
            finished=counters.finished or (failure.line if failure else ""),
            kept="last" if no_validation else "best",
            convergence=convergence,
            drift_budget=drift_budget_outcome(trainer),
        )
    )
    if failure is not None and counters.best_update < 0:
        manifest.update(status="aborted", status_detail=failure.line, finished=now())
        raise failure
    if between is not None:
        with stage("interpolating between the start and what was trained"):
            found, errors_there = interpolate(trainer, between, folder.child)
        method = manifest.record.method
        note = f"interpolated at {found.coefficient:g} after training"
        method = method.model_copy(update={"notes": (*method.notes, note)})
        manifest.update(method=method, interpolation=found)
        valid = None if no_validation else errors_there
        epoch = manifest.record.of_training.best_epoch
        write_best(trainer.model, epoch, valid, prepared, folder, manifest)
    # The model is read from the folder, as in every later use of the run.
    best = load_foundation(folder.path).to(prepared.start.device)
    with locked_folder(folder.protocol("errors")), stage("evaluating the model that was kept"):
        judged = judge(prepared, best, folder)
    errors, watch = judged.errors, trainer.evaluator.drift
    ending = ending_of(
        Course(
            with_absolute_paths(prepared.settings),
            counters,
            trainer.budget,
            convergence,
            read_metrics(folder.metrics),
            failure,
            manifest.record.interpolation,
        ),
        judged.sets,
        Broad(
            drift_structures=len(prepared.drift),
            drift_forces=watch.forces_rms if watch is not None else None,
            replay=errors.get("replay"),
            replay_forces=judged.replay_forces,
            own_labels=method_of(prepared.settings).pseudolabels,
        ),
        original=first_foundation(prepared.settings.foundation),
    )
    with stage("writing the model"):
        write_exports(folder.model, best, head=TARGET_HEAD)
    card = card_after_training(prepared, manifest.record, errors, ending)
    write_card(folder.model, best, head=TARGET_HEAD, card=card)
    manifest.update(
        status="aborted" if failure else "finished",
        status_detail=failure.line if failure else counters.finished,
        finished=now(),
        errors=errors,
        ending=ending,
    )
    with stage("writing the report"):
        write_report(folder.path)
    if failure is not None:
        # The error follows and says why; the records hold both.
        if ending.trouble is not None:
            conclude(f"{ending.headline}: {ending.trouble.what}")
        raise failure
    return ending


def drift_budget_outcome(trainer: Trainer) -> DriftBudget | None:
    """Compare the best model within the drift budget with the best model without a budget.

    Args:
        trainer: the trainer after training.

    Returns:
        Both models with their figures; `None` without a budget.
    """
    train, counters = trainer.settings.train, trainer.counters
    if train.max_drift is None:
        return None
    epochs = trainer.budget.epochs_after
    free = counters.best_update_without_budget
    return DriftBudget(
        max_drift=train.max_drift,
        metric=train.best_metric,
        within=KeptModel(epoch=epochs(max(0, counters.best_update)), value=counters.best),
        without=KeptModel(epoch=epochs(max(0, free)), value=counters.best_without_budget),
    )
