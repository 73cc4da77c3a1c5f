"""`pestle finetune`: fine-tune a foundation on labelled structures and judge the result."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, overload

from pestle.adaptation import method_of, require_method
from pestle.errors import Interrupted, PestleError
from pestle.files import Damaged, DiskFull
from pestle.foundations.interface import REPLAY_HEAD, Foundation
from pestle.jobs.finetune.broad_structures import read_broad, write_broad
from pestle.jobs.finetune.continuing import with_parent
from pestle.jobs.finetune.data_settings import with_absolute_paths
from pestle.jobs.finetune.first_updates import fix_length, settle_rate, step_plan
from pestle.jobs.finetune.interpolation import save_child
from pestle.jobs.finetune.plan import plan_lines, short_plan
from pestle.jobs.finetune.preparation import Prepared, prepare
from pestle.jobs.finetune.record import describe, run_identity
from pestle.jobs.finetune.result import Plan, Run
from pestle.jobs.finetune.resuming import finished_already, going_on, nothing_to_do
from pestle.jobs.finetune.train_and_judge import train_and_judge, write_best
from pestle.jobs.finetune.training_graphs import training_data
from pestle.labels.resumable import labels_of_run
from pestle.locks import locked_folder
from pestle.progress import Recorder, conclude, detail, recording, say, stage, warn
from pestle.progress import show as show_line
from pestle.records.folder import RunFolder, hardware, require_folder
from pestle.records.manifest import Manifest, ManifestFile
from pestle.records.metrics import MetricsLine
from pestle.records.training import Gate, Preparation
from pestle.settings.run import RunSettings
from pestle.settings.run_file import from_names, write_run_file
from pestle.training.drift import DriftWatch
from pestle.training.failures import TrainingFailed
from pestle.training.gate import Stage, zero_step_gate
from pestle.training.keepers.interpolation import Interpolation
from pestle.training.loggers import MetricsFile, make_loggers
from pestle.training.loop import Trainer
from pestle.training.setup import make_ready
from pestle.training.state import updates_in
from pestle.typed import under
from pestle.wording import counted


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
    qualify_follows: bool = ...,
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
    qualify_follows: bool = ...,
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
    qualify_follows: bool = False,
) -> Run | Plan:
    """Fine-tune a foundation model and judge the result.

    >>> settings = {"foundation": "medium-mpa-0", "data.train": ["frames.xyz"]}
    >>> run = pestle.finetune(settings, out="runs/mine")
    >>> atoms.calc = run.calculator()

    Args:
        settings: `RunSettings`, or dotted name → value, e.g.
            `{"foundation": "medium-omat-0", "data.train": "frames.xyz", "train.epochs": 100}`.
        out: run folder; it must be new unless `resume`.
        trust: allow a foundation that is a `.model` file. It is a pickle, and loading it runs code
            that its author put in it. A file that was trusted on this machine before does not need
            this option.
        resume: continue from the checkpoint in `out`.
        dry_run: stop before the first update and write no run folder. Pseudolabels that had to be
            made are kept in `OUT.labels.partial` for the run.
        command: command line, for the manifest and the report.
        show: function that is called with the manifest of a dry run, or with that of a run before
            its last three lines are shown.

    Returns:
        The run, or its plan with `dry_run`.

    Raises:
        PestleError: there is a mistake in settings or data, or another command writes to the
            folder.
        DiskFull: the disk is full; the run can be resumed.
        TrainingFailed: training gave numbers that are not finite, or memory was not enough; the
            best model is kept.
        Interrupted: the run was stopped. Its checkpoint was written; before the first update,
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
            folder.require_new()  # another command may have started here in the meantime
        try:
            record = _finetune(
                settings, folder, log, trust, resume, dry_run, command, show, qualify_follows
            )
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
    qualify_follows: bool,
) -> Manifest:
    """Fine-tune and judge in a locked folder."""
    started = time.monotonic()
    device = make_ready(settings.train)
    labels_file = labels_of_run(folder.path)
    begun = _begun(folder) if resume else None
    finished = begun is not None and finished_already(begun, settings)
    if begun is not None and finished:
        for line in nothing_to_do(begun, folder):
            say(line)
    prepared = prepare(
        settings,
        device,
        trust=trust,
        labels_file=labels_file,
        stored=read_broad(folder) if resume else None,
        # A run of an earlier version has no id. It chose E0s in the same way for every foundation.
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
        write_best(best, kept.epoch, kept.valid, prepared, folder, manifest)
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
    done = updates_in(folder.checkpoint) if resume else 0
    manifest.set(hardware=hardware(str(device)), plan=step_plan(trainer, done))
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

    # All mistakes of the user are reported before this line: a refused run leaves no folder.
    log.write_to(folder.open_log())
    try:
        if not finished:
            for line in plan_lines(manifest.record):
                detail(line)
            for line in short_plan(manifest.record):
                show_line(line)
            more = f"every setting with its reason, and everything else: {folder.log}"
            show_line(f"{'more':<12}{more}")
        if not resume:
            write_broad(folder, prepared.replay, prepared.drift, prepared.ewc)
        # The settings are written last: a folder that contains them can be resumed.
        write_run_file(folder.settings, with_absolute_paths(prepared.settings))
        if prepared.replay is not None:
            labels_file.unlink(missing_ok=True)
        manifest.update(status="running")
        trainer.loggers = make_loggers(settings.log, folder.path, identity)
        ending = train_and_judge(trainer, prepared, folder, manifest, between, resume=resume)
        tell_if_last = detail if qualify_follows else conclude
        for text in ending.warnings:
            tell_if_last(text)
        if show is not None:
            show(manifest.record)
        for about, line in ending.lines(folder.path).items():
            tell = tell_if_last if about in ("breadth", "next") else conclude
            tell(under(about, line, 9))
        return manifest.record
    except (Interrupted, TrainingFailed):
        raise
    except KeyboardInterrupt as stop:
        # Training stops between two updates by itself; this came before or after it.
        if not folder.settings.exists():
            raise
        manifest.update(status="interrupted", status_detail="stopped by SIGINT")
        raise Interrupted("SIGINT", str(folder.path)) from stop
    except BaseException as error:
        # In a folder without settings no run has started: the same command can use it again.
        if folder.settings.exists():
            with suppress(PestleError):  # the first error is the one to report
                manifest.update(status="aborted", status_detail=f"{type(error).__name__}: {error}")
        raise


def _begun(folder: RunFolder) -> Manifest | None:
    """Read the manifest of a run to resume; `None` if it is missing or, with a warning, damaged."""
    if not folder.manifest.exists():
        return None
    try:
        return Manifest.of_run(folder.manifest)
    except Damaged as error:
        warn(
            f"{error.where}: {error.what}; it is written again, without the command that "
            "started the run and without the reasons for its settings"
        )
        return None


def pass_gate(prepared: Prepared) -> Gate | None:
    """Check that the adapted model agrees with the foundation before its first update.

    Args:
        prepared: the run.

    Returns:
        The largest deviations; `None` for methods that do not start from the foundation's weights.

    Raises:
        PestleError: the models disagree; the error names the step of preparation that caused it.
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
    """Make the drift watch of a run: the foundation's predictions for its drift structures.

    Args:
        prepared: the run.

    Returns:
        The drift watch; `None` if drift is not monitored.
    """
    if not prepared.drift:
        return None
    broad = counted(len(prepared.drift), "structure")
    title = f"predicting {broad} with the foundation, to watch drift"
    with stage(title):
        return DriftWatch(
            prepared.drift,
            prepared.foundation,
            prepared.foundation_head,
            max_edges=prepared.settings.train.eval_batch_edges,
        )
