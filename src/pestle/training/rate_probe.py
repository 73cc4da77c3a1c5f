"""`train.lr: auto`: a few updates at several learning rates, before training.

A rate that suits one architecture throws another out of the basin that its foundation lies in. The
probe makes the first updates of the run at each rate of a grid, always from the same weights, and
takes the largest at which the loss of the frames that it has seen does not rise. It leaves weights
and random numbers as they were: the run is the one that was asked for the rate to begin with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pestle.errors import PestleError
from pestle.progress import progress
from pestle.training.loop import Trainer
from pestle.training.losses import loss_weights
from pestle.training.mixing import Draw, Position
from pestle.training.optimizer import make_optimizer

#: Rates that are tried, from the largest: half a decade apart, around those of the paper's Table 7.
RATES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
#: Updates at each rate. Adam moves every weight by about the rate in each of its first updates,
#: so that a rate which leaves the basin does so within a few.
UPDATES = 12
#: Draws, the first of those updates, whose loss is looked at, and how often.
WATCHED, EVERY = 4, 4
#: A loss counts as risen above this multiple of its start: less is scatter.
RISEN = 1.05


@dataclass(frozen=True)
class Trial:
    """One rate.

    Attributes:
        rate: learning rate.
        losses: loss over its start, after every few updates; infinite where it was no number.
        safe: whether none of them had risen.
    """

    rate: float
    losses: tuple[float, ...]
    safe: bool


@dataclass(frozen=True)
class RateProbe:
    """What the probe found.

    Attributes:
        rate: the largest safe rate.
        trials: every rate tried, the largest first.
        updates: updates at each.
    """

    rate: float
    trials: tuple[Trial, ...]
    updates: int

    @property
    def reason(self) -> str:
        """Why that rate, for the plan."""
        above = [f"{t.rate:g}" for t in self.trials if t.rate > self.rate]
        found = f"the largest of {len(RATES)} rates that did not raise the loss in {self.updates}"
        worse = f"; {', '.join(above)} did" if above else ""
        return f"auto: {found} updates from the starting model{worse}"


def probe_rates(trainer: Trainer, rates: Sequence[float] = RATES) -> RateProbe:
    """The largest rate that is safe for the first updates of a run.

    Args:
        trainer: of the run, before its first update; comes back as it was.
        rates: from the largest.

    Raises:
        PestleError: the loss rises at every rate.
    """
    draws: list[Draw] = []
    position = Position()
    for _ in range(UPDATES):
        draw, position = trainer.mixture.draw(position)
        draws.append(draw)
    start = [p.detach().clone() for p in trainer.parameters]
    random_state = torch.get_rng_state()
    before = _losses(trainer, draws[:WATCHED])
    trials: list[Trial] = []
    with progress("probing learning rates", len(rates) * UPDATES) as bar:
        for k, rate in enumerate(rates):
            losses = _trial(trainer, rate, draws, before)
            _restore(trainer, start)
            trials.append(Trial(rate, losses, max(losses) <= RISEN))
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
    return RateProbe(trials[-1].rate, tuple(trials), UPDATES)


def _trial(
    trainer: Trainer, rate: float, draws: Sequence[Draw], before: tuple[float, float]
) -> tuple[float, ...]:
    """Losses over their start after every few updates at a rate; the worse of all and of forces."""
    settings = trainer.settings.train.model_copy(update={"lr": rate})
    assert settings.clip is not None
    optimizer = make_optimizer(trainer.parameters, settings)
    weights = loss_weights(trainer.settings.loss, 1)
    found: list[float] = []
    for k, draw in enumerate(draws, start=1):
        optimizer.zero_grad(set_to_none=True)
        loss = trainer.compute_loss(draw, weights)
        if not torch.isfinite(loss):
            return (*found, math.inf)
        trainer.fabric.backward(loss, inputs=trainer.parameters)
        torch.nn.utils.clip_grad_norm_(trainer.parameters, settings.clip)
        optimizer.step()
        if k % EVERY == 0:
            after = _losses(trainer, draws[:WATCHED])
            found.append(max(a / b for a, b in zip(after, before, strict=True) if b > 0))
            if not math.isfinite(found[-1]):
                return (*found[:-1], math.inf)
    return tuple(found)


def _losses(trainer: Trainer, draws: Sequence[Draw]) -> tuple[float, float]:
    """Mean loss of some draws: all of it, and the part of the target's forces. An energy that is
    far off at the start falls at any rate, and would hide forces that are lost."""
    weights = loss_weights(trainer.settings.loss, 1)
    forces = {name: value if name == "forces" else 0.0 for name, value in weights.items()}
    whole = part = 0.0
    for draw in draws:
        whole += float(trainer.compute_loss(draw, weights).detach())
        if draw.target is not None:
            part += float(trainer.compute_loss(Draw(draw.target), forces).detach())
    return whole / len(draws), part / len(draws)


def _restore(trainer: Trainer, start: Sequence[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(trainer.parameters, start, strict=True):
            parameter.copy_(value)
            parameter.grad = None
