"""Training from scratch: the foundation's architecture with random weights (paper, appendix A).

It is the baseline for every fine-tuned model. It uses no distance transform (Agnesi transforms made
such runs unstable), and takes scale and mean number of neighbours from the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pestle.adaptation.base import Adaptation, Case, Method
from pestle.adaptation.recipes import Recipe, until_plateau
from pestle.errors import PestleError

if TYPE_CHECKING:
    from pestle.structures.frame import Frame


def adapt(case: Case) -> Adaptation:
    """Start with random weights and train all parameters."""
    from pestle.foundations.capabilities import RandomWeights, require

    neighbours = mean_neighbours(case.train, case.start.cutoff)
    scale = force_scale(case.train)
    model = require(case.start, RandomWeights).with_random_weights(
        case.settings.train.seed, mean_neighbours=neighbours, scale=scale
    )
    return Adaptation(
        model,
        tuple(name for name, _ in model.named_parameters()),
        notes=(
            f"random weights (seed {case.settings.train.seed}) in the shape of the foundation, no "
            f"distance transform, scale {scale:.3f} eV/Å (RMS force), mean number of neighbours "
            f"{neighbours:.2f}",
        ),
    )


def mean_neighbours(frames: Sequence[Frame], cutoff: float) -> float:
    """Return the mean number of neighbours of an atom, at least 1.

    Args:
        frames: the structures.
        cutoff: neighbour cutoff, Å.
    """
    from pestle.structures.graphs import make_graph

    graphs = [make_graph(frame, cutoff) for frame in frames]
    edges = sum(g.n_edges for g in graphs)
    atoms = sum(int(g.ptr[-1]) for g in graphs)
    return max(1.0, edges / max(1, atoms))


def force_scale(frames: Sequence[Frame]) -> float:
    """Return the root mean square of the force components in eV/Å.

    Raises:
        PestleError: there are no forces, or all are zero.
    """
    import numpy as np

    components = [f.forces.ravel() for f in frames if f.forces is not None]
    scale = float(np.sqrt(np.mean(np.concatenate(components) ** 2))) if components else 0.0
    if scale <= 0:
        raise PestleError(
            "from scratch the scale comes from the forces, and the training frames have none",
            where="method",
            fix="Add forces to the data, or fine-tune (method: naive).",
        )
    return scale


TABLE_7 = Recipe(
    lr=1e-2,
    ema_decay=0.99,
    clip=10.0,
    why_lr="Table 7, from-scratch: random weights are far from any solution",
    why_ema="Table 7, from-scratch: a short memory, the early weights are worth nothing",
    why_clip="Table 7, from-scratch: early gradients are large and meant to be followed",
)
METHOD = Method(
    name="scratch",
    words="random weights in the shape of the foundation; the baseline",
    title="training from scratch",
    adapt=adapt,
    needs=("RandomWeights",),
    paper=TABLE_7,
    measured=until_plateau(TABLE_7),
    from_scratch=True,
    keeps_foundation=False,
)
