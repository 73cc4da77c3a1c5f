"""The training loop.

A run stops only between two updates. It continues from a checkpoint bit for bit: the order of the
frames depends only on seed and epoch, and the checkpoint contains everything else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import clear_frames
from typing import Any

import torch

from pestle.errors import Interrupted, PestleError
from pestle.foundations.devices import OutOfMemory
from pestle.foundations.interface import Foundation
from pestle.progress import detail, progress, say, stage
from pestle.records.metrics import MetricsLine, Update, read_metrics
from pestle.records.parts import Convergence
from pestle.settings.run import RunSettings
from pestle.training.budget import make_budget, second_stage_at
from pestle.training.drift import DriftWatch
from pestle.training.evaluation import Evaluator
from pestle.training.failures import TrainingFailed, fits_update, not_finite
from pestle.training.keeper import Keeper
from pestle.training.keepers import make_keepers
from pestle.training.loggers import MetricsFile
from pestle.training.losses import loss_weights
from pestle.training.mixing import Draw, make_mixture
from pestle.training.objective import Objective, TrainingData
from pestle.training.optimizer import Schedule, make_average, make_optimizer
from pestle.training.state import Counters, TrainingState
from pestle.training.stopping import StopSignals
from pestle.training.watching import Clock, errors_in_words, evaluation_line
from pestle.wording import counted, figure


class Trainer:
    """Trains chosen parameters of a model in place.

    Args:
        device: device of the run.
        model: the adapted model.
        trainable: names of the parameters to train; all others stay fixed.
        data: training and validation graphs with their heads set.
        settings: complete settings of the run.
        checkpoint: path of the checkpoint file.
        metrics: the file metrics.jsonl.
        loggers: further loggers with a method `write(record)`.
        save_best: called at each new best model, with the model holding the averaged weights.
        identity: hash that must be the same in a resumed run.
        drift: measures the distance of the model from the foundation; `None` to skip this.
        keepers: the keepers of the settings, if they exist already.
    """

    def __init__(
        self,
        device: torch.device,
        model: Foundation,
        trainable: Sequence[str],
        data: TrainingData,
        settings: RunSettings,
        *,
        checkpoint: Path,
        metrics: MetricsFile,
        loggers: Sequence[Any] = (),
        save_best: Callable[[Foundation, MetricsLine], None],
        identity: str,
        drift: DriftWatch | None = None,
        keepers: Sequence[Keeper] | None = None,
    ) -> None:
        self.device, self.model, self.data, self.settings = device, model, data, settings
        self.checkpoint, self.metrics, self.loggers = checkpoint, metrics, loggers
        self.save_best, self.identity = save_best, identity
        named = dict(model.named_parameters())
        self.parameters = [named[name] for name in trainable]
        for name, parameter in named.items():
            parameter.requires_grad_(name in set(trainable))
        model.to(device)
        self.optimizer = make_optimizer(self.parameters, settings.train)
        # Keepers are made from the starting weights, before a resumed run loads its checkpoint.
        if keepers is None:
            keepers = make_keepers(model, trainable, data, settings)
        self.keepers = keepers
        self.objective = Objective(settings, data, self.keepers)
        self.evaluator = Evaluator(settings, data, self.objective, drift)
        self.mixture = make_mixture(settings, data)
        self.budget = make_budget(settings.train, self.mixture.updates_per_epoch)
        self.second_stage_at = second_stage_at(settings.loss, self.budget)
        self.schedule = Schedule(settings.train, self.budget, settings.loss.stage_two_lr)
        self.average = make_average(self.parameters, settings.train)
        self.state = TrainingState(model, self.optimizer, self.average, self.schedule)
        self.stop = StopSignals()
        #: Errors of the latest evaluation, for the line of progress.
        self._latest = ""

    @property
    def counters(self) -> Counters:
        """Progress of the run."""
        return self.state.counters

    # -- one update ---------------------------------------------------------------------------
    def compute_loss(
        self, draw: Draw, weights: dict[str, float], *, penalties: bool = True
    ) -> torch.Tensor:
        """Calculate the loss of an update.

        Args:
            draw: the graphs of the update.
            weights: λ of the target head.
            penalties: whether the penalties of the keepers are included.

        Returns:
            A differentiable scalar tensor.
        """
        target, replay = (
            None if graphs is None else graphs.to(self.device)
            for graphs in (draw.target, draw.replay)
        )
        return self.objective(
            self.model, target, replay, weights, joint=draw.joint, penalties=penalties
        )

    def step(self, draw: Draw, weights: dict[str, float]) -> tuple[float, float]:
        """Make one update.

        Args:
            draw: the graphs of the update.
            weights: λ of the target head.

        Returns:
            The loss, and the norm of its gradient before clipping.

        Raises:
            TrainingFailed: loss or gradient is not finite.
            OutOfMemory: the batch does not fit into memory.
        """
        c = self.counters
        with fits_update(self.device, draw, self.settings, f"at update {c.step + 1}"):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.compute_loss(draw, weights)
            if not torch.isfinite(loss):
                raise self._failure(draw, weights, "the loss")
            # With `inputs` the backward pass calculates only what the trained parameters need.
            torch.autograd.backward(loss, inputs=self.parameters)
            for keeper in self.keepers:
                keeper.mask_gradients()
            assert self.settings.train.clip is not None
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.train.clip)
            if not torch.isfinite(norm):
                raise self._failure(draw, weights, "the gradient")
            self.schedule.apply(self.optimizer, c.step)
            self.optimizer.step()
            self.average.update()
            return float(loss.detach()), float(norm)

    def _is_finite(self, draw: Draw, weights: dict[str, float]) -> bool:
        """Whether the graphs of an update give a finite loss and gradient."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.compute_loss(draw, weights)
        if not torch.isfinite(loss):
            return False
        torch.autograd.backward(loss, inputs=self.parameters)
        return all(p.grad is None or torch.isfinite(p.grad).all() for p in self.parameters)

    def _failure(self, draw: Draw, weights: dict[str, float], what: str) -> TrainingFailed:
        return not_finite(
            what, self.counters.step + 1, draw, self.data, lambda d: self._is_finite(d, weights)
        )

    # -- evaluation ---------------------------------------------------------------------------
    def _record(self, train_loss: float | None, norm: float | None) -> None:
        """Evaluate and log the model, and keep it if it is the best."""
        with self.average.average_parameters():
            figures = self.evaluator.evaluate(self.model, self.weights)
        c = self.counters
        no_validation = self.settings.data.no_validation
        found = self.evaluator.chosen_by(figures)
        if c.evaluations == 0 and (found is None or not math.isfinite(found)):
            raise self.evaluator.cannot_start(self.model, self.weights, found)
        value = math.nan if found is None else found
        # Without validation the last model is kept. A NaN never improves (NaN < x is false).
        last = no_validation and math.isfinite(value)
        if last or value < c.best_without_budget:
            c.best_without_budget, c.best_update_without_budget = value, c.step
        usable = self.evaluator.within_drift(figures)
        is_best = (last or value < c.best) and usable
        regular = self.budget.on_grid(c.step)
        if regular:
            # A model beyond the drift limit cannot be kept, so it does not count as progress.
            self.schedule.evaluated(value if usable else math.inf)
        record = MetricsLine(
            epoch=self.budget.epochs_after(c.step),
            step=c.step,
            seconds=round(c.seconds, 3),
            lr=self.schedule.rate(c.step),
            train=Update(loss=train_loss, gradient_norm=norm),
            valid=None if no_validation else figures.watched,
            train_frames=figures.watched if no_validation else None,
            replay=figures.replay,
            drift=figures.drift,
            best=is_best,
        )
        if is_best:
            c.best, c.best_update, c.waited = value, c.step, 0
            with self.average.average_parameters():
                self.save_best(self.model, record)
        elif regular:
            c.waited += 1
        c.evaluations += 1
        self.state.lines.append(self.metrics.write(record))
        for logger in self.loggers:
            logger.write(record)
        self._latest = ", ".join(errors_in_words(record.watched))
        detail(evaluation_line(record, self.budget.updates))

    # -- the run ------------------------------------------------------------------------------
    def run(self, *, resume: bool = False) -> Counters:
        """Train until the end of the run.

        Args:
            resume: whether to continue from the checkpoint.

        Returns:
            The state of the run at its end.

        Raises:
            Interrupted: a signal stopped the run; the checkpoint has been written.
            TrainingFailed: a loss or gradient is not finite, or a batch does not fit into memory.
            PestleError: the checkpoint belongs to another run.
        """
        if resume:
            with stage("reading the checkpoint"):
                self.state.load(self.checkpoint, self.identity)
            # A finished run continues if budget, patience or learning rate have changed.
            if self.schedule.another_rate:
                self.counters.waited = 0
            self.counters.finished = self._why_to_stop()
            c, budget = self.counters, self.budget
            epoch = f"epoch {budget.epochs_after(c.step):g}"
            if c.finished:
                say(f"nothing is left to train after update {c.step:,}: {c.finished}")
            else:
                say(f"going on from update {c.step:,} of {budget.updates:,} ({epoch})")
        self.metrics.begin(self.state.lines)
        try:
            with self.stop:
                self._train()
        except OutOfMemory as error:
            # Free the memory: the best model is evaluated next on the same device.
            clear_frames(error.__traceback__)
            self.optimizer.zero_grad(set_to_none=True)
            raise self._failed(error) from None
        except TrainingFailed as error:
            raise self._failed(error) from None
        return self.counters

    def _failed(self, error: PestleError) -> TrainingFailed:
        """Return the error, which also says that a model is kept that has learned something."""
        kept = " The best model so far is kept." if self.counters.best_update > 0 else ""
        return TrainingFailed(error.what, where=error.where, fix=f"{error.fix}{kept}")

    def _save(self) -> None:
        self.state.save(self.checkpoint, self.identity)

    @property
    def weights(self) -> dict[str, float]:
        """λ of the target head in the current stage of the run."""
        return loss_weights(self.settings.loss, second_stage=self.counters.second_stage >= 0)

    def _why_to_stop(self) -> str:
        """Return why training ends now; empty if it goes on."""
        c, train = self.counters, self.settings.train
        within = " within train.max_drift" if train.max_drift else ""
        if self.schedule.ended:
            return f"{train.best_metric} improved no more, at any learning rate"
        if c.waited >= train.patience:
            return (
                f"no improvement of {train.best_metric}{within} in "
                f"{counted(train.patience, 'evaluation')}"
            )
        if c.step >= self.budget.updates:
            return f"all {counted(self.budget.updates, 'update')} done"
        return ""

    def _train(self) -> None:
        c = self.counters
        clock = Clock(c.seconds, c.cpu_seconds)
        if c.evaluations == 0:
            with stage("evaluating the starting model"):
                self._record(None, None)
                self._save()
        saved = time.monotonic()
        with progress("training", self.budget.updates, done=c.step, lines=10) as bar:
            while True:
                # This includes a run that was stopped between an update and its evaluation.
                if c.loss_batches and self.budget.evaluates_after(c.step):
                    bar.to(c.step, "evaluating")
                    self._record_mean()
                    c.finished = self._why_to_stop()
                if self._second_stage_is_due():
                    self._begin_second_stage()
                if c.finished:
                    break
                draw, after = self.mixture.draw(c.position)
                loss, norm = self.step(draw, self.weights)
                c.position = after
                c.loss_sum += loss
                c.norm_sum += norm
                c.loss_batches += 1
                c.seconds, c.cpu_seconds = clock.seconds(), clock.cpu_seconds()
                bar.to(c.step, self._latest or f"loss {figure(loss, 4)}")
                if time.monotonic() - saved >= self.settings.train.checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
                if self.stop.received:
                    self._save()
                    raise Interrupted(self.stop.received, str(self.checkpoint.parent.parent))
        self._save()

    def _second_stage_is_due(self) -> bool:
        """Whether the second stage of the loss begins now.

        It begins at its epoch, or earlier if the first stage has ended, as in mace-torch, where
        patience ends only the first stage.
        """
        c, at = self.counters, self.second_stage_at
        if at is None or c.second_stage >= 0 or c.step >= self.budget.updates:
            return False
        return c.step >= at or bool(c.finished)

    def _begin_second_stage(self) -> None:
        """Begin the second stage of the loss, with a best model of its own.

        Losses with different weights cannot be compared.
        """
        c = self.counters
        say(f"the second stage of the loss begins{f': {c.finished}' if c.finished else ''}")
        c.second_stage, c.finished = c.step, ""
        c.best, c.waited = float("inf"), 0
        c.best_without_budget = float("inf")
        self.schedule.begin_second_stage()

    def _record_mean(self) -> None:
        """Record an evaluation with the mean loss and gradient norm since the last one."""
        c = self.counters
        count = max(1, c.loss_batches)
        mean_loss, mean_norm = c.loss_sum / count, c.norm_sum / count
        c.loss_sum = c.norm_sum = 0.0
        c.loss_batches = 0
        self._record(mean_loss, mean_norm)

    def convergence(self) -> Convergence | None:
        """Judge from the logged evaluations whether the model still improved when training ended.

        Returns:
            The judgement; `None` without validation frames.
        """
        lines = read_metrics(self.metrics.path)
        return self.evaluator.convergence(lines, self.counters.second_stage)
