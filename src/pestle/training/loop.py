"""The training loop: one optimiser, one average of the weights, one model to keep.

A run is interrupted between updates only and goes on from a checkpoint bit for bit: the order of
the frames depends on seed and epoch alone, and the checkpoint holds the rest.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from traceback import clear_frames
from typing import Any

import torch
from lightning_fabric import Fabric

from pestle.devices import OutOfMemory, fits_memory
from pestle.errors import Interrupted, PestleError
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD, Foundation
from pestle.progress import progress, say
from pestle.settings import RunSettings
from pestle.structures.graphs import GraphBatch
from pestle.training.batches import BatchPlan
from pestle.training.drift import DriftWatch
from pestle.training.keepers import make_keepers
from pestle.training.loggers import MetricsFile
from pestle.training.losses import loss_weights
from pestle.training.objective import Objective, TrainingData
from pestle.training.optimizer import Schedule, make_average, make_optimizer
from pestle.training.replay import ReplayStream
from pestle.training.state import Counters, TrainingState
from pestle.training.watching import Clock, evaluation_line, peak_memory

#: Seconds between checkpoints of a run that goes well; an interruption always writes one.
CHECKPOINT_SECONDS = 60.0


class TrainingFailed(PestleError):
    """Training made numbers that are not finite, or ran out of memory; the best model so far is
    kept."""

    exit_code = 1


class Trainer:
    """Trains the parameters named `trainable` of a model in place.

    Args:
        fabric: device and precision.
        model: the adapted model; its other parameters stay as they are.
        trainable: names of the parameters to train.
        data: training and validation graphs; heads already set.
        settings: complete settings of the run.
        checkpoint: file of the checkpoint.
        metrics: metrics.jsonl.
        loggers: further loggers with a `write(record)`.
        save_best: called with the model holding the averaged weights, at every new best.
        identity: hash that a resumed run must share.
        drift: watches how far the model moves from the foundation; `None` for not.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: Foundation,
        trainable: Sequence[str],
        data: TrainingData,
        settings: RunSettings,
        *,
        checkpoint: Path,
        metrics: MetricsFile,
        loggers: Sequence[Any] = (),
        save_best: Callable[[Foundation, dict[str, Any]], None],
        identity: str,
        drift: DriftWatch | None = None,
    ) -> None:
        self.fabric, self.model, self.data, self.settings = fabric, model, data, settings
        self.checkpoint, self.metrics, self.loggers = checkpoint, metrics, loggers
        self.save_best, self.identity, self.drift = save_best, identity, drift
        named = dict(model.named_parameters())
        self.parameters = [named[name] for name in trainable]
        for name, parameter in named.items():
            parameter.requires_grad_(name in set(trainable))
        model.to(fabric.device)
        self.optimizer = make_optimizer(self.parameters, settings.train)
        # From the start, which a resumed run overwrites later.
        self.keepers = make_keepers(model, trainable, data, settings)
        self.objective = Objective(settings, data, self.keepers)
        self.batches = BatchPlan(
            data.train_graphs,
            settings.train.batch_size,
            settings.train.max_edges,
            settings.train.seed,
        )
        self.replay: ReplayStream | None = None
        if data.replay is not None:
            self.replay = ReplayStream(
                data.replay.train_graphs,
                settings.replay.ratio,
                settings.train.max_edges,
                settings.train.seed,
            )
        stage_two = None
        if settings.loss.stage_two_epoch is not None and settings.loss.stage_two_lr is not None:
            stage_two = (settings.loss.stage_two_epoch, settings.loss.stage_two_lr)
        self.schedule = Schedule(settings.train, self.batches.steps(), stage_two)
        self.average = make_average(self.parameters, settings.train)
        self.state = TrainingState(model, self.optimizer, self.average, self.schedule)
        self._stop_requested = ""

    @property
    def counters(self) -> Counters:
        return self.state.counters

    # -- one update ---------------------------------------------------------------------------
    def _to_device(self, batch: GraphBatch) -> GraphBatch:
        return batch.to(self.fabric.device)

    def draw_replay(self, target: GraphBatch) -> tuple[GraphBatch | None, int]:
        """The replay batch that joins a target batch, and the position in the stream after it."""
        if self.replay is None:
            return None, 0
        return self.replay.draw(self.counters.replayed, target.n_graphs)

    def compute_loss(
        self, target: GraphBatch, replay: GraphBatch | None, weights: dict[str, float]
    ) -> torch.Tensor:
        """The differentiable loss of an update."""
        moved = None if replay is None else self._to_device(replay)
        return self.objective(self.model, self._to_device(target), moved, weights)

    def step(
        self, target: GraphBatch, replay: GraphBatch | None, weights: dict[str, float]
    ) -> tuple[float, float]:
        """One update; returns the loss and the gradient norm before clipping.

        Raises:
            TrainingFailed: either is not finite.
            OutOfMemory: the batch does not fit.
        """
        c = self.counters
        doing = f"at epoch {c.epoch + 1}, update {c.step + 1}"
        with self._fits_memory(target, replay, doing):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.compute_loss(target, replay, weights)
            if not torch.isfinite(loss):
                raise self._failure(target, replay, weights, "the loss")
            # Naming the inputs prunes the backward pass to what the trained parameters need.
            self.fabric.backward(loss, inputs=self.parameters)
            for keeper in self.keepers:
                keeper.mask_gradients()
            assert self.settings.train.clip is not None
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.train.clip)
            if not torch.isfinite(norm):
                raise self._failure(target, replay, weights, "the gradient")
            self.schedule.apply(self.optimizer, c.step, c.epoch + 1)
            self.optimizer.step()
            self.average.update()
            return float(loss.detach()), float(norm)

    def _fits_memory(
        self, target: GraphBatch, replay: GraphBatch | None, doing: str
    ) -> AbstractContextManager[None]:
        """An update that does not fit the device names the settings that make it smaller."""
        train = self.settings.train
        bound = "no bound" if train.max_edges is None else f"{train.max_edges:,}"
        lower = [f"train.max_edges (now {bound})", f"train.batch_size (now {train.batch_size})"]
        if replay is not None:
            lower.append(f"replay.ratio (now {self.settings.replay.ratio:g})")
        return fits_memory(
            self.fabric.device,
            *([target] if replay is None else [target, replay]),
            doing=doing,
            where="training",
            fix=f"Start a new run with a lower {', '.join(lower[:-1])} or {lower[-1]}.",
        )

    def _failure(
        self,
        target: GraphBatch,
        replay: GraphBatch | None,
        weights: dict[str, float],
        what: str,
    ) -> TrainingFailed:
        """Name the frames of an update whose own loss or gradient is not finite."""
        data = self.data
        members = [(data.train_frames, data.train_graphs, k) for k in target.frame.tolist()]
        if replay is not None and data.replay is not None:
            source = data.replay
            members += [
                (source.train_frames, source.train_graphs, k) for k in replay.frame.tolist()
            ]
        guilty = [
            frames[k].where
            for frames, graphs, k in members
            if not self._is_finite(graphs[k], weights)
        ]
        names = guilty or [frames[k].where for frames, _, k in members]
        whole = "" if guilty else " (no frame alone does it: the weights themselves went astray)"
        return TrainingFailed(
            f"{what} is not finite at epoch {self.counters.epoch + 1}, update "
            f"{self.counters.step + 1}, with {', '.join(names)}{whole}",
            where="training",
            fix="Look at those frames, or lower train.lr; the best model so far is kept.",
        )

    def _is_finite(self, graph: GraphBatch, weights: dict[str, float]) -> bool:
        """Whether a single graph gives a finite loss and gradient."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.compute_loss(graph, None, weights)
        if not torch.isfinite(loss):
            return False
        self.fabric.backward(loss, inputs=self.parameters)
        return all(p.grad is None or torch.isfinite(p.grad).all() for p in self.parameters)

    # -- evaluation ---------------------------------------------------------------------------
    def evaluate(self) -> dict[str, Any]:
        """Figures of the averaged weights: `valid` of the target head and, where there are such,
        `replay` of the replay head and `drift` by head."""
        weights = loss_weights(self.settings.loss, max(1, self.counters.epoch))
        data, figures = self.data, {}
        with self.average.average_parameters():
            figures["valid"] = self.objective.evaluate(
                self.model, data.valid_frames, data.valid_graphs, weights, self._to_device
            )
            if data.replay is not None:
                figures["replay"] = self.objective.evaluate(
                    self.model,
                    data.replay.valid_frames,
                    data.replay.valid_graphs,
                    self.objective.replay_weights,
                    self._to_device,
                )
            if self.drift is not None:
                figures["drift"] = self.drift.measure(self.model)
        return figures

    def _record(self, train_loss: float | None, norm: float | None) -> None:
        """Evaluate, log, and keep the model if it is the best."""
        figures = self.evaluate()
        c, train = self.counters, self.settings.train
        watched = figures["replay" if train.best_head == REPLAY_HEAD else "valid"]
        value = watched[train.best_metric]
        if c.evaluations == 0 and (value is None or not math.isfinite(value)):
            raise TrainingFailed(
                f"{train.best_metric} of the validation frames of head {train.best_head} is "
                f"{value} before the first update",
                where="training",
                fix="The starting model cannot predict these frames; look at them.",
            )
        # A NaN is never an improvement (NaN < x is false).
        if value < c.best_without_budget:
            c.best_without_budget, c.best_epoch_without_budget = value, c.epoch
        is_best = value < c.best and self._within_budget(figures)
        self.schedule.evaluated(value)
        record = {
            "epoch": c.epoch,
            "step": c.step,
            "seconds": round(c.seconds, 3),
            "lr": self.schedule.rate(c.step, max(1, c.epoch)),
            "train": {"loss": train_loss, "gradient_norm": norm},
            **figures,
            "best": is_best,
        }
        if is_best:
            c.best, c.best_epoch, c.waited = value, c.epoch, 0
            with self.average.average_parameters():
                self.save_best(self.model, record)
        else:
            c.waited += 1
        c.evaluations += 1
        self.metrics.write(record)
        for logger in self.loggers:
            logger.write(record)
        say(evaluation_line(record, train.epochs))

    def _within_budget(self, figures: dict[str, Any]) -> bool:
        """Whether the target head has not drifted beyond the forgetting budget."""
        budget = self.settings.train.max_drift
        return budget is None or figures["drift"][TARGET_HEAD]["forces_rmse"] <= budget

    # -- the run ------------------------------------------------------------------------------
    def run(self, *, resume: bool = False) -> Counters:
        """Train to the end.

        Args:
            resume: go on from the checkpoint.

        Raises:
            Interrupted: a signal came; the checkpoint is written.
            TrainingFailed: a loss or gradient is not finite, or a batch does not fit the device.
            PestleError: the checkpoint belongs to another run.
        """
        if resume:
            self.state.load(self.checkpoint, self.identity)
        self.metrics.keep(self.counters.evaluations)
        # Only the main thread may listen to signals; elsewhere a run is stopped by its caller.
        listening = threading.current_thread() is threading.main_thread()
        previous = {s: signal.signal(s, self._request_stop) for s in _SIGNALS if listening}
        try:
            self._train()
        except OutOfMemory as error:
            # The best model is judged next, on the same device.
            clear_frames(error.__traceback__)
            self.optimizer.zero_grad(set_to_none=True)
            kept = " The best model so far is kept." if self.counters.best_epoch >= 0 else ""
            raise TrainingFailed(error.what, where=error.where, fix=f"{error.fix}{kept}") from None
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self.counters

    def _request_stop(self, number: int, _frame: Any) -> None:
        if self._stop_requested:  # a second Ctrl-C means now
            raise KeyboardInterrupt
        self._stop_requested = signal.Signals(number).name

    def _save(self) -> None:
        self.state.save(self.checkpoint, self.identity)

    def _train(self) -> None:
        c, train = self.counters, self.settings.train
        clock = Clock(c.seconds)
        if c.evaluations == 0:
            self._record(None, None)
            self._save()
        if c.finished:
            return
        saved = time.monotonic()
        steps = self.batches.steps()
        with progress("training", train.epochs * steps, done=c.step) as bar:
            while c.epoch < train.epochs and not c.finished:
                epoch = c.epoch + 1
                weights = loss_weights(self.settings.loss, epoch)
                if epoch == self.settings.loss.stage_two_epoch and c.step_in_epoch == 0:
                    # Losses with other weights cannot be compared: the second stage has its own
                    # best model.
                    c.best, c.waited = float("inf"), 0
                    c.best_without_budget = float("inf")
                    self.schedule.best, self.schedule.waited = float("inf"), 0
                for batch in self.batches.epoch(epoch, start=c.step_in_epoch):
                    replay, position = self.draw_replay(batch)
                    loss, norm = self.step(batch, replay, weights)
                    c.replayed = position
                    c.step += 1
                    c.step_in_epoch += 1
                    c.loss_sum += loss
                    c.norm_sum += norm
                    c.loss_batches += 1
                    c.seconds = clock.seconds()
                    bar.to(min(epoch * steps, c.step), f"loss {loss:.4g}")
                    if time.monotonic() - saved > CHECKPOINT_SECONDS:
                        self._save()
                        saved = time.monotonic()
                    if self._stop_requested:
                        self._save()
                        raise Interrupted(self._stop_requested, str(self.checkpoint.parent.parent))
                c.epoch, c.step_in_epoch = epoch, 0
                if epoch % train.eval_interval == 0 or epoch == train.epochs:
                    count = max(1, c.loss_batches)
                    mean_loss, mean_norm = c.loss_sum / count, c.norm_sum / count
                    c.loss_sum = c.norm_sum = 0.0
                    c.loss_batches = 0
                    self._record(mean_loss, mean_norm)
                    if c.waited >= train.patience:
                        within = " within train.max_drift" if train.max_drift else ""
                        c.finished = (
                            f"no improvement of {train.best_metric}{within} in {train.patience} "
                            "evaluations"
                        )
        c.finished = c.finished or f"all {train.epochs} epochs done"
        self._save()

    def timed_step(self) -> tuple[float, float]:
        """(seconds, MiB) of one forward and backward pass; changes nothing.

        The largest batch comes first: it sets the memory and pays for compilation. Timed is the
        first batch of the training.

        Raises:
            OutOfMemory: the largest batch does not fit.
        """
        weights = loss_weights(self.settings.loss, 1)
        batches = list(self.batches.epoch(1))
        seconds = 0.0
        for graphs in (max(batches, key=lambda b: b.n_edges), batches[0]):
            replay, _ = self.draw_replay(graphs)
            started = time.perf_counter()
            with self._fits_memory(graphs, replay, "in a trial update"):
                loss = self.compute_loss(graphs, replay, weights)
                if torch.isfinite(loss):
                    self.fabric.backward(loss, inputs=self.parameters)
            if self.fabric.device.type == "cuda":
                torch.cuda.synchronize()
            seconds = time.perf_counter() - started
        self.optimizer.zero_grad(set_to_none=True)
        return seconds, peak_memory(self.fabric.device)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
