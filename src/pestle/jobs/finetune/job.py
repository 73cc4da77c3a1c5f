"""`pestle finetune`: from labelled structures and a foundation to a judged model."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, overload

from pestle.adaptation import method_of, require_method
from pestle.adaptation.adapter_file import save_adapter
from pestle.adaptation.low_rank import LowRankModel
from pestle.errors import Interrupted, PestleError
from pestle.files import Damaged, DiskFull, finite
from pestle.foundations import load_foundation
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD, Foundation
from pestle.jobs.finetune.continuing import with_parent
from pestle.jobs.finetune.data_settings import with_absolute_paths
from pestle.jobs.finetune.ending import Course, ending_of
from pestle.jobs.finetune.first_updates import fix_length, settle_rate, step_plan
from pestle.jobs.finetune.interpolation import interpolate, save_child
from pestle.jobs.finetune.judging import judge
from pestle.jobs.finetune.plan import plan_lines, short_plan
from pestle.jobs.finetune.preparation import Prepared, prepare, training_data
from pestle.jobs.finetune.record import (
    card_after_training,
    card_while_training,
    describe,
    run_identity,
)
from pestle.jobs.finetune.replay import read_broad, write_broad
from pestle.jobs.finetune.result import Plan, Run
from pestle.jobs.finetune.resuming import going_on
from pestle.labels.resumable import labels_of_run
from pestle.locks import locked_folder
from pestle.progress import Recorder, conclude, detail, recording, say, stage, warn
from pestle.progress import show as show_line
from pestle.records.ending import Ending
from pestle.records.folder import RunFolder, hardware, now, require_folder
from pestle.records.manifest import Manifest, ManifestFile
from pestle.records.metrics import EvaluatedErrors, MetricsLine, read_metrics
from pestle.records.model_folder import ADAPTER_NAME, write_card, write_exports, write_model_folder
from pestle.records.training import DriftBudget, Gate, KeptModel, Preparation, TrainingFacts
from pestle.reports import write_report
from pestle.settings.run import RunSettings
from pestle.settings.run_file import from_names, write_run_file
from pestle.training.drift import DriftWatch
from pestle.training.failures import TrainingFailed
from pestle.training.gate import Stage, zero_step_gate
from pestle.training.keepers.interpolation import Interpolation
from pestle.training.loggers import MetricsFile, make_loggers
from pestle.training.loop import Trainer
from pestle.training.setup import make_ready
from pestle.training.state import has_checkpoint


@overload
def finetune(
    settings: RunSettings | Mapping[str, Any],
    out: str | Path,
    *,
    trust: bool = ...,
    resume: bool = ...,
    dry_run: Literal[False] = ...,
    command: str = ...,
    show: Callable[[Manifest], None] | None = ...,
) -> Run: ...


@overload
def finetune(
    settings: RunSettings | Mapping[str, Any],
    out: str | Path,
    *,
    trust: bool = ...,
    resume: bool = ...,
    dry_run: bool,
    command: str = ...,
    show: Callable[[Manifest], None] | None = ...,
) -> Run | Plan: ...


def finetune(
    settings: RunSettings | Mapping[str, Any],
    out: str | Path,
    *,
    trust: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    command: str = "",
    show: Callable[[Manifest], None] | None = None,
) -> Run | Plan:
    """Fine-tune a foundation model and judge the result.

    >>> settings = {"foundation": "medium-mpa-0", "data.train": ["frames.xyz"]}
    >>> run = pestle.finetune(settings, out="runs/mine")
    >>> atoms.calc = run.calculator()

    Args:
        settings: what to do, as `RunSettings` or as a table of dotted names, e.g.
            `{"foundation": "medium-omat-0", "data.train": "frames.xyz", "train.epochs": 100}`.
        out: run folder, new unless `resume`.
        trust: allow a foundation that is a `.model` file, which is a pickle: loading one runs code
            that its author put in it. One that was trusted on this machine before needs none.
        resume: go on from the checkpoint in `out`.
        dry_run: stop before the first update and write no run folder. Pseudolabels that had to be
            made are kept in `OUT.labels.partial`, and the run takes them from there.
        command: command line, for the manifest and the report.
        show: called with the manifest: of a dry run, or before the three lines that end a run are
            said, and after the warning, if there is one.

    Returns:
        The run, or with `dry_run` its plan.

    Raises:
        PestleError: a mistake in settings or data, or another command writes to the folder.
        DiskFull: there was room for no more; the run can go on.
        TrainingFailed: training made numbers that are not finite or ran out of memory; the best
            model is kept.
        Interrupted: the run was stopped; its checkpoint is written, or before the first update,
            the pseudolabels made so far are kept for the same call.
    """
    if not isinstance(settings, RunSettings):
        settings = from_names(settings)
    settings = with_parent(settings)
    require_method(settings)
    folder = RunFolder(Path(out))
    if resume:
        folder.require_run()
    elif dry_run:
        require_folder(folder.path)
    else:
        folder.require_new()
    with recording() as log, locked_folder(folder.path):
        if not (resume or dry_run):
            folder.require_new()  # another command may have been faster
        try:
            record = _finetune(settings, folder, log, trust, resume, dry_run, command, show)
            return Plan(record) if dry_run else Run(folder.path)
        except DiskFull as error:
            if not folder.settings.exists():
                raise
            raise DiskFull(
                error.what,
                where=error.where,
                fix=f"Make room, then go on with: pestle finetune --resume -o "
                f"{shlex.quote(str(folder.path))}",
            ) from error


def _finetune(
    settings: RunSettings,
    folder: RunFolder,
    log: Recorder,
    trust: bool,
    resume: bool,
    dry_run: bool,
    command: str,
    show: Callable[[Manifest], None] | None,
) -> Manifest:
    """The same, in a folder that no other command writes to."""
    started = time.monotonic()
    device = make_ready(settings.train)
    labels_file = labels_of_run(folder.path)
    begun = _begun(folder) if resume else None
    prepared = prepare(
        settings,
        device,
        trust=trust,
        labels_file=labels_file,
        stored=read_broad(folder) if resume else None,
        # Before runs had an id, E0s of a fine-tuned model were chosen as of any foundation.
        keep_e0s=begun is None or bool(begun.run_id),
    )
    for warning in prepared.warnings:
        warn(warning)
    with stage("making the graphs"):
        identity = run_identity(prepared)
        data = training_data(prepared)
    probe, keepers = settle_rate(prepared, data, device)

    between = None
    if prepared.settings.keep.interpolate is not None:
        between = Interpolation(prepared.adaptation.model, prepared.adaptation.trainable)

    def save_best(best: Foundation, kept: MetricsLine) -> None:
        _write_model(best, kept.epoch, kept.valid, prepared, folder, manifest)
        if between is not None:
            save_child(folder.child, best, prepared.adaptation.trainable)

    trainer = Trainer(
        device,
        prepared.adaptation.model,
        prepared.adaptation.trainable,
        data,
        prepared.settings,
        checkpoint=folder.checkpoint,
        metrics=MetricsFile(folder.metrics),
        save_best=save_best,
        identity=identity,
        drift=watch_drift(prepared),
        keepers=keepers,
    )
    fix_length(trainer, prepared)
    manifest = ManifestFile(folder.manifest, describe(prepared, command, identity))
    if begun is not None:
        manifest.record = going_on(manifest.record, begun, folder)
    with stage("timing an update"):
        manifest.set(hardware=hardware(str(device)), plan=step_plan(trainer))
    if not resume:
        manifest.set(rate_probe=probe)
    with stage("zero-step gate: is the adapted model the foundation before its first update?"):
        manifest.set(gate=pass_gate(prepared))
    manifest.set(timings=Preparation(preparation_s=round(time.monotonic() - started, 2)))
    if dry_run:
        if prepared.replay is not None and labels_file.exists():
            say(f"{labels_file}: the pseudolabels are kept; the run itself takes them from there")
        if show is not None:
            show(manifest.record)
        return manifest.record

    # Whatever a user can have got wrong was found by now: a refused run leaves no folder behind.
    log.write_to(folder.open_log())
    try:
        for line in plan_lines(manifest.record):
            detail(line)
        for line in short_plan(manifest.record):
            show_line(line)
        show_line(f"{'more':<12}every setting with its reason, and all else: {folder.log}")
        if not resume:
            write_broad(folder, prepared.replay, prepared.drift, prepared.ewc)
        # The settings last: a folder that holds them can be resumed.
        write_run_file(folder.settings, with_absolute_paths(prepared.settings))
        if prepared.replay is not None:
            labels_file.unlink(missing_ok=True)
        manifest.update(status="running")
        trainer.loggers = make_loggers(settings.log, folder.path, identity)
        ending = _train_and_judge(trainer, prepared, folder, manifest, between, resume=resume)
        if show is not None:
            show(manifest.record)
        for about, line in ending.lines(folder.path).items():
            conclude(f"{about}:".ljust(9) + line)
        return manifest.record
    except (Interrupted, TrainingFailed):
        raise
    except BaseException as error:
        # A folder without settings is one in which nothing has begun: the same command may follow.
        if folder.settings.exists():
            with suppress(PestleError):  # the first error is the one to tell
                manifest.update(status="aborted", status_detail=f"{type(error).__name__}: {error}")
        raise


def _begun(folder: RunFolder) -> Manifest | None:
    """What the manifest says of how the run began; `None`, and a warning, where it cannot."""
    if not folder.manifest.exists():
        return None
    try:
        return Manifest.of_run(folder.manifest)
    except Damaged as error:
        warn(
            f"{error.where}: {error.what}; it is written anew, without the command that "
            "began the run and the reasons for its settings"
        )
        return None


def pass_gate(prepared: Prepared) -> Gate | None:
    """The zero-step gate on the training frames; `None` where it does not apply.

    Raises:
        PestleError: the adapted model is not the foundation; names the part that broke it.
    """
    if not method_of(prepared.settings).keeps_foundation:
        return None
    train = prepared.settings.train
    frames = [*prepared.splits.train, *prepared.splits.isolated]
    result = zero_step_gate(frames, prepared.stages, train, known=prepared.known)
    if prepared.replay is not None:
        foundation = Stage("the foundation", prepared.foundation, prepared.foundation_head)
        replay = Stage("making the replay head", prepared.adaptation.model, REPLAY_HEAD)
        second = zero_step_gate(prepared.replay.train, [foundation, replay], train)
        result = result.joined(second)
    return result


def watch_drift(prepared: Prepared) -> DriftWatch | None:
    """The drift watch of a run; `None` where none was asked for."""
    if not prepared.drift:
        return None
    title = f"predicting {len(prepared.drift)} structures with the foundation, to watch drift"
    with stage(title):
        return DriftWatch(
            prepared.drift,
            prepared.foundation,
            prepared.foundation_head,
            max_edges=prepared.settings.train.eval_batch_edges,
        )


def _write_model(
    model: Foundation,
    epoch: int | float,
    valid: EvaluatedErrors | None,
    prepared: Prepared,
    folder: RunFolder,
    manifest: ManifestFile,
) -> None:
    """Write a model to keep, with its epoch and its errors on the validation frames."""
    card = card_while_training(prepared, manifest.record, epoch, valid)
    write_model_folder(folder.model, model, head=TARGET_HEAD, card=card)
    if isinstance(model, LowRankModel):
        # With the foundation it gives the whole model back. Every head began as the foundation's
        # one.
        save_adapter(
            folder.model / ADAPTER_NAME,
            model,
            foundation_fingerprint=prepared.fingerprint,
            heads=dict.fromkeys(model.heads, prepared.foundation_head),
        )


def _train_and_judge(
    trainer: Trainer,
    prepared: Prepared,
    folder: RunFolder,
    manifest: ManifestFile,
    between: Interpolation | None,
    *,
    resume: bool,
) -> Ending:
    """Train, and whatever happens leave a folder that says so; a bad ending is said at once."""
    failure: TrainingFailed | None = None
    try:
        # A run that was killed before its first checkpoint starts over.
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
        _write_model(trainer.model, epoch, valid, prepared, folder, manifest)
    # Read from the folder, as every later use of the run does.
    best = load_foundation(folder.path).to(prepared.start.device)
    with locked_folder(folder.protocol("errors")), stage("evaluating the model that was kept"):
        judged = judge(prepared, best, folder)
    errors = judged.errors
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
        errors.get("replay"),
        own_labels=method_of(prepared.settings).pseudolabels,
        n_drift=len(prepared.drift),
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
    if ending.trouble is not None:
        conclude(ending.warning)
    if failure is not None:
        raise failure
    return ending


def drift_budget_outcome(trainer: Trainer) -> DriftBudget | None:
    """What the forgetting budget cost: the best figure within it and the best without it."""
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
