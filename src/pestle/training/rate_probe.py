"""`train.lr: auto`: a few updates at several learning rates, before training.

A learning rate that suits one architecture destroys what another one has learned. The probe makes
the first updates of the run at each rate, always from the same weights, and finds the largest rate
at which the loss of these frames does not rise. Training uses a third of it. The probe restores
weights and random numbers: the run is the same as if the rate had been given.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch

from pestle.errors import PestleError
from pestle.progress import progress
from pestle.records.training import RateProbe, Trial
from pestle.training.failures import fits_update
from pestle.training.loop import Trainer
from pestle.training.losses import loss_weights
from pestle.training.mixing import Draw, Position
from pestle.training.optimizer import make_optimizer
from pestle.wording import counted, listed

#: Learning rates to try, from the largest: half a decade apart, around the paper's (Table 7).
RATES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
#: Number of updates at a safe rate. Adam changes each weight by about the rate in each of its first
#: updates, so that a rate that is too large shows within a few.
UPDATES = 12
#: Numbers of updates after which the loss is calculated. At some rates it rises in the first update
#: and is below the start again by the fourth, with a worse model (docs/benchmarks.md). A rise ends
#: the trial, so that unsafe rates cost little.
LOOKS = (1, 2, 4, 8, 12)
#: The loss is calculated on the draws of this many first updates.
WATCHED = 4
#: Training uses the largest safe rate divided by this, because that rate is safe for a few updates,
#: not for thousands: nequix-omat-1 on sn2 learned more at a third of it (docs/benchmarks.md,
#: "Learning rates that fit the foundation").
MARGIN = 3.0
#: A loss above this multiple of its start counts as risen; smaller changes are scatter.
RISEN = 1.05


def reason_of(probe: RateProbe) -> str:
    """Return the reason for the rate that a probe found, for the plan."""
    above = [f"{t.rate:g}" for t in probe.trials if not t.safe]
    safe = f"auto: a third of {probe.largest:g}, the largest rate that was tried"
    if not above:
        return f"{safe}; none raised the loss in {counted(UPDATES, 'update')}"
    return (
        f"{safe} and did not raise the loss of the starting model in "
        f"{counted(UPDATES, 'update')}; {listed(above)} did"
    )


def probe_rates(trainer: Trainer, rates: Sequence[float] = RATES) -> RateProbe:
    """Find a learning rate for a run, below the largest that is safe in its first updates.

    Args:
        trainer: trainer of the run before its first update; its state is restored.
        rates: rates to try, from the largest.

    Returns:
        The rate, and the losses at each rate that was tried.

    Raises:
        PestleError: the loss rises at every rate.
        TrainingFailed: the loss of the starting model is not finite; names the frames.
        OutOfMemory: an update does not fit into memory.
    """
    started = time.monotonic()
    draws: list[Draw] = []
    position = Position()
    for _ in range(UPDATES):
        draw, position = trainer.mixture.draw(position)
        draws.append(draw)
    # Without replay each epoch draws the same frames again.
    seen = WATCHED if trainer.data.replay else min(WATCHED, trainer.mixture.updates_per_epoch)
    # Forces of target frames are compared. If draws mix both sets, some contain no target frame.
    watched = [draw for draw in draws if draw.target is not None][:seen] or draws[:seen]
    start = [p.detach().clone() for p in trainer.parameters]
    random_state = torch.get_rng_state()
    trials: list[Trial] = []
    with progress("probing learning rates", len(rates) * UPDATES) as bar:
        before = _starting_losses(trainer, watched)
        for k, rate in enumerate(rates):
            trials.append(_trial(trainer, rate, draws, watched, before))
            _restore(trainer, start)
            bar.to((k + 1) * UPDATES)
            if trials[-1].safe:
                break
    torch.set_rng_state(random_state)
    if not trials[-1].safe:
        raise PestleError(
            f"the loss rises within {UPDATES} updates at every learning rate down to "
            f"{trials[-1].rate:g}",
            where="train.lr",
            fix="Look at the frames (`pestle check`), or give train.lr a number.",
        )
    seconds = round(time.monotonic() - started, 2)
    rate = float(f"{trials[-1].rate / MARGIN:.1g}")
    return RateProbe(rate=rate, trials=tuple(trials), updates=UPDATES, seconds=seconds)


def _trial(
    trainer: Trainer,
    rate: float,
    draws: Sequence[Draw],
    watched: Sequence[Draw],
    before: tuple[float, float],
) -> Trial:
    """Make updates at one rate until the loss rises.

    The total loss and its force part are compared with the start; the worse of the two counts.
    """
    settings = trainer.settings.train.model_copy(update={"lr": rate})
    assert settings.clip is not None
    optimizer = make_optimizer(trainer.parameters, settings)
    weights = loss_weights(trainer.settings.loss)
    found: list[float] = []
    for k, draw in enumerate(draws, start=1):
        with _fits(trainer, draw):
            optimizer.zero_grad(set_to_none=True)
            # A loss that is not finite makes weights that are not, which the next evaluation finds.
            torch.autograd.backward(trainer.compute_loss(draw, weights), inputs=trainer.parameters)
            for keeper in trainer.keepers:
                keeper.mask_gradients()
            torch.nn.utils.clip_grad_norm_(trainer.parameters, settings.clip)
            optimizer.step()
        if k in LOOKS:
            now = zip(_losses(trainer, watched), before, strict=True)
            ratios = [after / first for after, first in now if first > 0]
            found.append(max(ratios) if all(map(math.isfinite, ratios)) else math.inf)
            if found[-1] > RISEN:
                return Trial(rate=rate, losses=tuple(found), safe=False, updates=k)
    return Trial(rate=rate, losses=tuple(found), safe=True, updates=len(draws))


def _starting_losses(trainer: Trainer, watched: Sequence[Draw]) -> tuple[float, float]:
    """Return `_losses` before the first update."""
    found = _losses(trainer, watched)
    if not all(map(math.isfinite, found)):
        weights = loss_weights(trainer.settings.loss)
        for draw in watched:
            # This update fails as it would in training: it names the frames and changes nothing.
            if not torch.isfinite(trainer.compute_loss(draw, weights)):
                trainer.step(draw, weights)
    if found[0] == 0:
        raise PestleError(
            "the starting model makes no error on the first training frames: there is no loss by "
            "which a learning rate could be chosen",
            where="train.lr",
            fix="Look at the labels, or give train.lr a number.",
        )
    return found


def _losses(trainer: Trainer, draws: Sequence[Draw]) -> tuple[float, float]:
    """Return the mean loss of some draws, and its part from the forces of target frames.

    An energy that is far off at the start improves at any rate, and would hide forces that get
    worse. Penalties of keepers are zero at the start and rise at any rate, so that they are left
    out.
    """
    weights = loss_weights(trainer.settings.loss)
    forces = {name: value if name == "forces" else 0.0 for name, value in weights.items()}
    whole = part = 0.0
    for draw in draws:
        with _fits(trainer, draw):
            whole += float(trainer.compute_loss(draw, weights, penalties=False).detach())
            if draw.target is not None:
                own = trainer.compute_loss(Draw(draw.target), forces, penalties=False)
                part += float(own.detach())
    return whole / len(draws), part / len(draws)


def _fits(trainer: Trainer, draw: Draw) -> AbstractContextManager[None]:
    doing = "while learning rates were tried"
    return fits_update(trainer.device, draw, trainer.settings, doing)


def _restore(trainer: Trainer, start: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(trainer.parameters, start, strict=True):
            parameter.copy_(value)
            parameter.grad = None
