"""Low-rank updates of a foundation's linear layers (paper, section 2.4; LoRA, arXiv:2106.09685).

A layer multiplies each irrep block of its input by a *true* weight W [n_out, n_in]. Each block has
an update of its own, so that irreps are not mixed:

    h_out = (W + s · B A) h_in,    A [r, n_in],  B [n_out, r]        (Eq. 1 and 2)

Here s = 1, or s = alpha/r as in mace. Foundations store W / p, where p is the path weight of a
block (e3nn normalises by the number of inputs); `LinearBlock` gives p. B is stored unchanged and A
as A / p, so that the stored update is s · B A / p.

The model is the same with or without the factor 1/p. It only changes the steps of the optimiser,
which have the same size for all entries: in this form they change the stored weights, which are all
of order one, equally for layers of any width. If A itself were stored, a step would be 1/p times as
large: at the paper's learning rate the training loss of the embedded foundation would rise to 1.2
times (r = 16) and 2.7 times (r = 64) its start before it falls. In the stored form it never rises
above the start.

The updated weights are calculated once per pass, and the foundation runs with them. A training step
therefore takes as long as without adapters, and the merged model gives exactly the same
predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.func import functional_call

from pestle.errors import PestleError, nearest
from pestle.foundations.capabilities import (
    Adapters,
    Kernels,
    LinearLayer,
    Parts,
    arithmetic_of,
    parts_of,
    require,
)
from pestle.foundations.interface import Foundation, Prediction

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from pestle.structures.graphs import GraphBatch


class LowRankUpdate(torch.nn.Module):
    """The matrices A and B of all irrep blocks of one linear layer.

    Args:
        layer: describes the blocks of the layer.
        weight: stored weight of the layer; gives dtype and device.
        rank: r; smaller in a block with fewer inputs or outputs.
        scale: s.
        init_std: standard deviation of the true A; B is zero.
        generator: draws A in float64, so that dtype and device do not change the numbers.

    Raises:
        ValueError: the blocks do not cover the weight in order.
    """

    def __init__(
        self,
        layer: LinearLayer,
        weight: torch.Tensor,
        *,
        rank: int,
        scale: float,
        init_std: float,
        generator: np.random.Generator,
    ) -> None:
        super().__init__()
        sizes = [block.n_in * block.n_out for block in layer.blocks]
        starts = np.cumsum([0, *sizes]).tolist()
        if [*(block.offset for block in layer.blocks), weight.numel()] != starts:
            raise ValueError(f"the blocks of {layer.parameter} do not cover its weight in order")
        self.layer, self.sizes, self.scale = layer, sizes, scale
        self.A, self.B = torch.nn.ParameterList(), torch.nn.ParameterList()
        for block in layer.blocks:
            r = min(rank, block.n_in, block.n_out)
            true = generator.normal(0.0, init_std, (r, block.n_in))
            stored = torch.from_numpy(true / block.path_weight).to(weight.device, weight.dtype)
            self.A.append(torch.nn.Parameter(stored))
            self.B.append(torch.nn.Parameter(weight.new_zeros(block.n_out, r)))

    def adapted(self, weight: torch.Tensor) -> torch.Tensor:
        """Add the update to a stored weight.

        Args:
            weight: stored weight of the layer, in any shape.

        Returns:
            The updated weight in the same shape, differentiable.
        """
        parts = weight.reshape(-1).split(self.sizes)
        updated = []
        for block, part, a, b in zip(self.layer.blocks, parts, self.A, self.B, strict=True):
            if block.transposed:
                whole = torch.addmm(part.view(block.n_out, block.n_in), b, a, alpha=self.scale)
            else:
                whole = torch.addmm(part.view(block.n_in, block.n_out), a.T, b.T, alpha=self.scale)
            updated.append(whole.reshape(-1))
        return torch.cat(updated).view(weight.shape)


class _Method(torch.nn.Module):
    """Turns any method of a foundation into a forward pass, as `functional_call` needs it."""

    def __init__(self, base: Foundation) -> None:
        super().__init__()
        self.base = base

    def forward(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.base, name)(*args, **kwargs)


class LowRankModel(Parts, Kernels):
    """A foundation whose linear layers have low-rank updates.

    Operations that change the shape of a layer (other heads, fewer elements) or write a file for
    other programs are done on the foundation that `merged()` returns.

    Parameters of the foundation are named `base.<name>`, those of the updates
    `adapters.<layer>.A.<block>` and `adapters.<layer>.B.<block>`. The parameters of the foundation
    are fixed at first.

    Args:
        base: the foundation; used directly, not copied.
        rank: r of every block; smaller in a block with fewer inputs or outputs.
        alpha: the update is alpha/rank · BA, with this rank also in smaller blocks (mace's rule);
            `None` for BA.
        init_std: standard deviation of A, in units of the true weight.
        seed: random seed of A.
        exclude: names of parameters of the base whose layers get no update.

    Raises:
        PestleError: the foundation does not support updates, no layer is left to adapt, or a name
            in `exclude` does not exist.
    """

    def __init__(
        self,
        base: Foundation,
        rank: int,
        *,
        alpha: float | None = None,
        init_std: float = 1e-3,
        seed: int = 0,
        exclude: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.base, self.provenance = base.requires_grad_(False), base.provenance
        self.rank, self.alpha, self.init_std, self.seed = rank, alpha, init_std, seed
        self.exclude = tuple(exclude)
        named = dict(base.named_parameters())
        for name in self.exclude:
            if name not in named:
                raise PestleError(
                    f"{base.provenance.name} has no parameter '{name}' to leave out",
                    fix=nearest(name, named).lstrip(),
                )
        layers = [
            x
            for x in require(base, Adapters).linear_layers()
            if x.parameter not in set(self.exclude)
        ]
        if not layers:
            raise PestleError(
                f"{base.provenance.name} has no linear layer that could be adapted", where="method"
            )
        generator = np.random.default_rng(seed)
        scale = 1.0 if alpha is None else alpha / rank
        self.adapters = torch.nn.ModuleDict(
            {
                _key(layer.parameter): LowRankUpdate(
                    layer, named[layer.parameter], rank=rank, scale=scale, init_std=init_std,
                    generator=generator,
                )
                for layer in layers
            }
        )  # fmt: skip

    # -- the updates ----------------------------------------------------------------------------
    def updates(self) -> dict[str, LowRankUpdate]:
        """Return the updates: name of the base's parameter → its update."""
        found = {}
        for module in self.adapters.values():
            assert isinstance(module, LowRankUpdate)
            found[module.layer.parameter] = module
        return found

    def adapter_parameters(self) -> dict[str, list[str]]:
        """Return name of the base's parameter → names of the A and B of its update."""
        return {
            parameter: [
                f"adapters.{_key(parameter)}.{name}" for name, _ in update.named_parameters()
            ]
            for parameter, update in self.updates().items()
        }

    def clipped(self) -> list[str]:
        """Return the blocks that are smaller than the rank, as `layer irrep (rank)`."""
        found = []
        for parameter, update in self.updates().items():
            for block in update.layer.blocks:
                rank = min(block.n_in, block.n_out)
                if rank < self.rank:
                    layer = parameter.removesuffix(".weight")
                    found.append(f"{layer} {block.irrep} ({rank})")
        return found

    def adapted_weights(self) -> dict[str, torch.Tensor]:
        """Return name of the base's parameter → its updated stored weight, differentiable."""
        named = dict(self.base.named_parameters())
        return {name: update.adapted(named[name]) for name, update in self.updates().items()}

    def merged(self) -> Foundation:
        """Return a foundation of the base's kind, with the updates added to its weights."""
        merged = self.base.copy()
        named = dict(merged.named_parameters())
        with torch.no_grad():
            for name, weight in self.adapted_weights().items():
                named[name].copy_(weight)
        merged.provenance = self.provenance
        return merged.requires_grad_(True)

    def _call(self, name: str, *args: Any, grad: bool = False, **kwargs: Any) -> Any:
        """Call a method of the base with the updated weights."""
        with torch.set_grad_enabled(grad):
            weights = {f"base.{key}": w for key, w in self.adapted_weights().items()}
        return functional_call(_Method(self.base), weights, (name, *args), kwargs)

    def _around(self, base: Foundation) -> LowRankModel:
        """Return the same updates on another foundation of the same shape."""
        made = LowRankModel(
            base, self.rank, alpha=self.alpha, init_std=self.init_std, seed=self.seed,
            exclude=self.exclude,
        )  # fmt: skip
        made.adapters.load_state_dict(self.adapters.state_dict())
        made.provenance = self.provenance
        return made

    # -- what it covers: the base's -------------------------------------------------------------
    @property
    def backend(self) -> str:  # type: ignore[override]
        """Name of the base's backend."""
        return self.base.backend

    @property
    def batch_edges(self) -> int:  # type: ignore[override]
        """Number of edges that the base predicts at once."""
        return self.base.batch_edges

    @property
    def elements(self) -> tuple[int, ...]:
        return self.base.elements

    @property
    def heads(self) -> tuple[str, ...]:
        return self.base.heads

    @property
    def cutoff(self) -> float:
        return self.base.cutoff

    @property
    def dtype(self) -> torch.dtype:
        return self.base.dtype

    @property
    def reference_energies(self) -> dict[str, dict[int, float]]:
        return self.base.reference_energies

    # -- what it predicts: the base with adapted weights ----------------------------------------
    def predict(
        self, graphs: GraphBatch, *, training: bool = False, stress: bool = False
    ) -> Prediction:
        return self._call("predict", graphs, grad=training, training=training, stress=stress)

    def use_kernels(self, name: str) -> None:
        require(self.base, Kernels).use_kernels(name)

    @property
    def arithmetic(self) -> str:
        return arithmetic_of(self.base)

    def isolated_atom_energies(self, head: str | None = None) -> dict[int, float]:
        return self._call("isolated_atom_energies", head)

    # -- its parts ------------------------------------------------------------------------------
    def parameter_groups(self) -> dict[str, list[str]]:
        """Return the base's groups of parameters; A and B follow the weight that they update."""
        adapters = self.adapter_parameters()
        return {
            group: [x for name in names for x in (f"base.{name}", *adapters.get(name, ()))]
            for group, names in parts_of(self.base).items()
        }

    # -- new models from it ---------------------------------------------------------------------
    def copy(self) -> LowRankModel:
        return self._around(self.base.copy())

    def with_reference_energies(self, head: str, e0s: Mapping[int, float]) -> LowRankModel:
        return self._around(self.base.with_reference_energies(head, e0s))

    def with_dtype(self, dtype: torch.dtype) -> LowRankModel:
        return self._around(self.base.with_dtype(dtype))

    # -- files: the merged model ----------------------------------------------------------------
    def fingerprint(self) -> str:
        return self.merged().fingerprint()

    def save(self, folder: Path) -> None:
        self.merged().save(folder)

    def calculator(self, *, head: str | None = None, dispersion: str | None = None) -> Calculator:
        return self.merged().calculator(head=head, dispersion=dispersion)


def _key(parameter: str) -> str:
    """Return the name of a layer's update, without dots, which module names must not contain."""
    return parameter.removesuffix(".weight").replace(".", "/")
