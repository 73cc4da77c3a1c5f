"""`train.lr: auto`: a few updates at several learning rates, before training.

A rate that suits one architecture throws another out of the basin that its foundation lies in. The
probe makes the first updates of the run at each rate of a grid, always from the same weights, and
finds the largest at which the loss of the frames that it has seen does not rise. Training takes the
next smaller one. The probe leaves weights and random numbers as they were: the run is the one that
was asked for the rate to begin with.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch

from pestle.errors import PestleError
from pestle.progress import progress
from pestle.records.manifest import RateProbe, Trial
from pestle.training.failures import fits_update
from pestle.training.loop import Trainer
from pestle.training.losses import loss_weights
from pestle.training.mixing import Draw, Position
from pestle.training.optimizer import make_optimizer

#: Rates that are tried, from the largest: half a decade apart, around those of the paper's Table 7.
RATES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
#: Updates at a rate that stays safe. Adam moves every weight by about the rate in each of its first
#: updates, so that a rate which leaves the basin does so within a few.
UPDATES = 12
#: The loss is looked at after so many updates. Some rates raise it in the first and are below the
#: start again by the fourth, with a worse model (docs/benchmarks.md); one that has risen ends the
#: trial, so that unsafe rates cost little.
LOOKS = (1, 2, 4, 8, 12)
#: Draws that are looked at, the first of those updates.
WATCHED = 4
#: Training takes the largest safe rate over this. That rate is safe for a few updates, not for
#: thousands: nequix-omat-1 on sn2 learned more at a third of it (docs/benchmarks.md, "Learning
#: rates that fit the foundation").
MARGIN = 3.0
#: A loss counts as risen above this multiple of its start: less is scatter.
RISEN = 1.05


def reason_of(probe: RateProbe) -> str:
    """Why the rate that a probe found, for the plan."""
    above = [f"{t.rate:g}" for t in probe.trials if not t.safe]
    found = f"a third of {probe.largest:g}, the largest of {len(RATES)} rates that did not raise"
    worse = f"; {', '.join(above)} did" if above else ""
    return f"auto: {found} the loss in {probe.updates} updates from the starting model{worse}"


def probe_rates(trainer: Trainer, rates: Sequence[float] = RATES) -> RateProbe:
    """A rate for a run, below the largest that is safe for its first updates.

    Args:
        trainer: of the run, before its first update; comes back as it was.
        rates: from the largest.

    Raises:
        PestleError: the loss rises at every rate.
        TrainingFailed: the loss of the starting model is not finite; names the frames.
        OutOfMemory: an update does not fit.
    """
    started = time.monotonic()
    draws: list[Draw] = []
    position = Position()
    for _ in range(UPDATES):
        draw, position = trainer.mixture.draw(position)
        draws.append(draw)
    # Without replay every epoch draws the same frames again.
    seen = WATCHED if trainer.data.replay else min(WATCHED, trainer.mixture.updates_per_epoch)
    # Where draws mix both, some hold no target frame, and the target's forces are what is watched.
    watched = [draw for draw in draws if draw.target is not None][:seen] or draws[:seen]
    start = [p.detach().clone() for p in trainer.parameters]
    random_state = torch.get_rng_state()
    before = _starting_losses(trainer, watched)
    trials: list[Trial] = []
    with progress("probing learning rates", len(rates) * UPDATES) as bar:
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
    """Updates at a rate until the loss rises; of all and of forces the worse counts."""
    settings = trainer.settings.train.model_copy(update={"lr": rate})
    assert settings.clip is not None
    optimizer = make_optimizer(trainer.parameters, settings)
    weights = loss_weights(trainer.settings.loss)
    found: list[float] = []
    for k, draw in enumerate(draws, start=1):
        with _fits(trainer, draw):
            optimizer.zero_grad(set_to_none=True)
            # A loss that is not finite makes weights that are none, which the next look finds.
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
    """`_losses` before the first update."""
    found = _losses(trainer, watched)
    if not all(map(math.isfinite, found)):
        weights = loss_weights(trainer.settings.loss)
        for draw in watched:
            # The update that training would fail at; it moves nothing and names the frames.
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
    """Mean loss of some draws: that of all frames, and the part of the target's forces. An energy
    that is far off at the start falls at any rate, and would hide forces that are lost. Penalties
    of keepers are zero at the start and rise at any rate: they have no part in it."""
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
