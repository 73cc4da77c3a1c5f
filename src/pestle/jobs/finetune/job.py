"""`pestle finetune`: from labelled structures and a foundation to a judged model."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pestle.adaptation import method_of, require_method
from pestle.adaptation.low_rank import LowRankModel
from pestle.adaptation.replay.pools import is_file_pool
from pestle.energies.reference_energies import METHODS
from pestle.errors import Interrupted, PestleError
from pestle.files import Damaged, DiskFull
from pestle.foundations import catalogue, load_foundation
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD, Foundation
from pestle.jobs.finetune.adapters import write_adapter
from pestle.jobs.finetune.ending import Course, ending_of
from pestle.jobs.finetune.first_updates import fix_length, settle_rate, step_plan
from pestle.jobs.finetune.interpolation import interpolate, save_child
from pestle.jobs.finetune.judging import FINE_TUNED, judge
from pestle.jobs.finetune.plan import plan_lines
from pestle.jobs.finetune.preparation import Prepared, prepare, training_data
from pestle.jobs.finetune.record import card_of, data_files, describe, run_identity
from pestle.jobs.finetune.replay import read_broad, write_broad
from pestle.jobs.finetune.resuming import changes_of, keep_reasons
from pestle.labels.resumable import labels_of_run
from pestle.locks import locked_folder
from pestle.progress import say
from pestle.protocols.ending import Ending
from pestle.records.folder import Manifest, RunFolder, hardware, now, require_folder
from pestle.records.model_folder import write_card, write_exports, write_model_folder
from pestle.report import write_report
from pestle.settings.run import RunSettings
from pestle.settings.run_file import from_names, write_run_file
from pestle.training.drift import DriftWatch
from pestle.training.failures import TrainingFailed
from pestle.training.gate import GateResult, Stage, zero_step_gate
from pestle.training.keepers.interpolation import Interpolation
from pestle.training.loggers import MetricsFile, make_loggers
from pestle.training.loop import Trainer
from pestle.training.setup import make_fabric
from pestle.training.state import has_checkpoint


def finetune(
    settings: RunSettings | Mapping[str, Any],
    out: str | Path,
    *,
    trust: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    command: str = "",
    show: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Fine-tune a foundation model and judge the result.

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
        show: called with the manifest before the three lines that end a run are said, and after
            the warning, if there is one.

    Returns:
        The manifest. Its `ending` is what `protocols.ending.Ending` reads.

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
    require_method(settings)
    folder = RunFolder(Path(out))
    if resume:
        folder.require_run()
    elif dry_run:
        require_folder(folder.path)
    else:
        folder.require_new()
    with locked_folder(folder.path):
        if not (resume or dry_run):
            folder.require_new()  # another command may have been faster
        try:
            return _finetune(settings, folder, trust, resume, dry_run, command, show)
        except DiskFull as error:
            if not folder.settings.exists():
                raise
            raise DiskFull(
                error.what,
                where=error.where,
                fix=f"Make room, then go on with: pestle finetune --resume -o {folder.path}",
            ) from error


def _finetune(
    settings: RunSettings,
    folder: RunFolder,
    trust: bool,
    resume: bool,
    dry_run: bool,
    command: str,
    show: Callable[[Mapping[str, Any]], None] | None,
) -> dict[str, Any]:
    """The same, in a folder that no other command writes to."""
    started = time.monotonic()
    fabric = make_fabric(settings.train)
    labels_file = labels_of_run(folder.path)
    prepared = prepare(
        settings,
        fabric.device,
        trust=trust,
        labels_file=labels_file,
        stored=read_broad(folder) if resume else None,
    )
    identity = run_identity(prepared)
    data = training_data(prepared)
    probe, keepers = settle_rate(prepared, data, fabric)

    between = None
    if prepared.settings.keep.interpolate is not None:
        between = Interpolation(prepared.adaptation.model, prepared.adaptation.trainable)

    def save_best(best: Foundation, record: dict[str, Any]) -> None:
        _write_model(best, record, prepared, folder, manifest)
        if between is not None:
            save_child(folder.child, best, prepared.adaptation.trainable)

    trainer = Trainer(
        fabric,
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
    manifest = Manifest(folder.manifest, describe(prepared, command))
    begun = _begun(folder) if resume else None
    if begun is not None:
        # The command that repeats the run is the one that began it.
        kept = ("command", "started", "replay", "changes", "rate_probe")
        manifest.content |= {key: begun[key] for key in kept if key in begun}
        manifest.content["method"]["choice"] = begun["method"].get("choice")
        keep_reasons(manifest.content["settings"], begun["settings"])
        manifest.content["changes"] += changes_of(begun["settings"], manifest.content, folder)
    manifest.content["hardware"] = hardware(str(fabric.device))
    manifest.content["plan"] = step_plan(trainer)
    if not resume:
        manifest.content["rate_probe"] = None if probe is None else asdict(probe)
    gate = pass_gate(prepared)
    manifest.content["gate"] = asdict(gate) if gate else None
    manifest.content["timings"] = {"preparation_s": round(time.monotonic() - started, 2)}
    if dry_run:
        if prepared.replay is not None and labels_file.exists():
            say(f"{labels_file}: the pseudolabels are kept; the run itself takes them from there")
        return manifest.content

    # Whatever a user can have got wrong was found by now: a refused run leaves no folder behind.
    handler = folder.open_log()
    try:
        for line in plan_lines(manifest.content):
            say(line)
        say()
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
            show(manifest.content)
        for about, line in ending.lines(folder.path).items():
            say(f"{about}:".ljust(9) + line)
        return manifest.content
    except (Interrupted, TrainingFailed):
        raise
    except BaseException as error:
        with suppress(PestleError):  # the first error is the one to tell
            manifest.update(status="aborted", status_detail=f"{type(error).__name__}: {error}")
        raise
    finally:
        logging.getLogger("pestle").removeHandler(handler)
        handler.close()


def _begun(folder: RunFolder) -> dict[str, Any] | None:
    """What the manifest says of how the run began; `None`, and a warning, where it cannot."""
    if not folder.manifest.exists():
        return None
    try:
        return Manifest.read(folder.manifest).content
    except Damaged as error:
        say(
            f"warning: {error.where}: {error.what}; it is written anew, without the command that "
            "began the run and the reasons for its settings"
        )
        return None


def pass_gate(prepared: Prepared) -> GateResult | None:
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
    say(f"predicting {len(prepared.drift)} structures with the foundation, to watch drift")
    return DriftWatch(
        prepared.drift,
        prepared.foundation,
        prepared.foundation_head,
        max_edges=prepared.settings.train.eval_batch_edges,
    )


def _write_model(
    model: Foundation,
    record: Mapping[str, Any],
    prepared: Prepared,
    folder: RunFolder,
    manifest: Manifest,
) -> None:
    """Write a model to keep; `record` has its epoch and its errors on the validation frames, or in
    a run without them on training frames."""
    card = {**card_of(prepared, manifest.content), "validation": record.get("valid")}
    card["epoch"] = record["epoch"]
    write_model_folder(folder.model, model, head=TARGET_HEAD, card=card)
    if isinstance(model, LowRankModel):
        write_adapter(folder.model, model, prepared)


def _train_and_judge(
    trainer: Trainer,
    prepared: Prepared,
    folder: RunFolder,
    manifest: Manifest,
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
        training={
            "best_epoch": trainer.budget.epochs_after(max(0, counters.best_update)),
            "best_update": counters.best_update,
            "best_metric": "loss" if no_validation else prepared.settings.train.best_metric,
            "best_value": counters.best,
            "epochs": trainer.budget.epochs_after(counters.step),
            "steps": counters.step,
            "seconds": counters.seconds,
            "finished": counters.finished or (failure.line if failure else ""),
            "kept": "last" if no_validation else "best",
            "convergence": asdict(convergence) if convergence else None,
            "drift_budget": drift_budget_outcome(trainer),
        }
    )
    if failure is not None and counters.best_update < 0:
        manifest.update(status="aborted", status_detail=failure.line, finished=now())
        raise failure
    if between is not None:
        found = interpolate(trainer, between, folder.child)
        epoch = manifest.content["training"]["best_epoch"]
        record = {"epoch": epoch, trainer.data.watched: found.pop("valid")}
        manifest.content["method"]["notes"].append(
            f"interpolated at {found['coefficient']:g} after training"
        )
        manifest.update(interpolation=found)
        _write_model(trainer.model, record, prepared, folder, manifest)
    # Read from the folder, as every later use of the run does.
    best = load_foundation(folder.path).to(prepared.start.device)
    with locked_folder(folder.protocol("errors")):
        judged = judge(prepared, best, folder)
    errors = judged.errors
    ending = ending_of(
        Course(
            with_absolute_paths(prepared.settings),
            counters,
            trainer.budget,
            convergence,
            MetricsFile.read(folder.metrics),
            failure,
            manifest.content["interpolation"],
        ),
        judged.sets,
        errors.get("replay"),
        own_labels=method_of(prepared.settings).pseudolabels,
        n_drift=len(prepared.drift),
    )
    write_exports(folder.model, best, head=TARGET_HEAD)
    card = card_of(prepared, manifest.content)
    of_best = {name: models[FINE_TUNED]["all"] for name, models in errors.items()}
    training = manifest.content["training"]
    card |= {"epoch": training["best_epoch"], "convergence": training["convergence"]}
    card |= {"errors": of_best, "ending": ending.for_card()}
    write_card(folder.model, best, head=TARGET_HEAD, card=card)
    manifest.update(
        status="aborted" if failure else "finished",
        status_detail=failure.line if failure else counters.finished,
        finished=now(),
        errors=errors,
        ending=ending.model_dump(mode="json"),
    )
    write_report(folder.path)
    if ending.trouble is not None:
        say(f"\n{ending.warning(folder.path)}")
    if failure is not None:
        raise failure
    return ending


def drift_budget_outcome(trainer: Trainer) -> dict[str, Any] | None:
    """What the forgetting budget cost: the best figure within it and the best without it."""
    train, counters = trainer.settings.train, trainer.counters
    if train.max_drift is None:
        return None
    return {
        "max_drift": train.max_drift,
        "metric": train.best_metric,
        "within": {
            "epoch": trainer.budget.epochs_after(max(0, counters.best_update)),
            "value": counters.best,
        },
        "without": {
            "epoch": trainer.budget.epochs_after(max(0, counters.best_update_without_budget)),
            "value": counters.best_without_budget,
        },
    }


def with_absolute_paths(settings: RunSettings) -> RunSettings:
    """The same with absolute paths, so that run.yaml works from any folder."""
    settings = settings.model_copy(deep=True)
    for name, patterns in data_files(settings.data):
        setattr(settings.data, name, [str(Path(p).expanduser().absolute()) for p in patterns])
    settings.replay.pool = [_absolute_pool(name) for name in settings.replay.pool]
    settings.drift.structures = [_absolute_pool(name) for name in settings.drift.structures]
    local = Path(settings.foundation).expanduser()
    # A name of the catalogue wins over a file of that name, here as in loading.
    if catalogue.find(settings.foundation) is None and local.exists():
        settings.foundation = str(local.absolute())
    if isinstance(settings.e0s, str) and settings.e0s not in (*METHODS, "auto"):
        settings.e0s = str(Path(settings.e0s).expanduser().absolute())
    return settings


def _absolute_pool(name: str) -> str:
    return str(Path(name).expanduser().absolute()) if is_file_pool(name) else name
