"""Potentials for protocols, loaded by the names that a user types."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pestle.errors import PestleError, nearest
from pestle.foundations import catalogue
from pestle.foundations.devices import DTYPES, find_device
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD
from pestle.jobs.models import load_model
from pestle.protocols.potential import CalculatorPotential, ModelPotential, Potential
from pestle.records.folder import RunFolder

#: Start of the name of an ASE calculator.
CALCULATOR = "calculator:"


@dataclass(frozen=True)
class Contenders:
    """The potentials of a test.

    Attributes:
        candidate: the potential that is judged.
        baseline: its foundation; `None` without one.
        others: further potentials to compare with.
        replay_heads: replay heads of candidate and others, as potentials of their own.
        labels: name of a potential → name that a reader sees.
        weights: SHA-256 of the candidate's weights if it is the model of a run; otherwise empty.
    """

    candidate: Potential
    baseline: Potential | None = None
    others: tuple[Potential, ...] = ()
    replay_heads: tuple[Potential, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    weights: str = ""

    @property
    def known(self) -> tuple[int, ...] | None:
        """Atomic numbers that all potentials know, ascending; `None` if one of them does not state
        its elements.
        """
        shared: set[int] | None = None
        for potential in self.all():
            if potential.elements is None:
                return None
            own = set(potential.elements)
            shared = own if shared is None else shared & own
        return tuple(sorted(shared or ()))

    def all(self, *, replay_heads: bool = False) -> list[Potential]:
        """Return all potentials: the candidate, its foundation, the others.

        Args:
            replay_heads: whether the replay heads follow at the end.
        """
        found = [self.candidate, *([self.baseline] if self.baseline else []), *self.others]
        return [*found, *(self.replay_heads if replay_heads else ())]


def contenders(
    candidate: str,
    *,
    against: str | None = None,
    also: Sequence[str] = (),
    head: str | None = None,
    against_head: str | None = None,
    trust: bool = False,
    dtype: str = "float64",
    device: str = "auto",
) -> Contenders:
    """Load the potentials of a test.

    Args:
        candidate: run folder, model folder, file, catalogue name, or `calculator:MODULE:NAME`
            (any ASE calculator; MODULE is imported, and this runs its code).
        against: the foundation, named in the same way; `None` for none.
        also: further potentials to compare with, named in the same way.
        head: head of the candidate; by default the only one, or Default.
        against_head: the same for the foundation.
        trust: allow `.model` files.
        dtype: precision of the networks: float32 or float64.
        device: device for predictions: auto, cpu, cuda or cuda:N.

    Raises:
        PestleError: a potential cannot be loaded.
    """
    if dtype not in DTYPES:
        raise PestleError(f"unknown dtype '{dtype}'", where="dtype", fix="float32 or float64.")
    place = find_device(device)
    found: list[Potential] = []
    replay: list[Potential] = []
    names = [candidate, *([against] if against else []), *also]
    for k, name in enumerate(names):
        title = title_of(name, [p.name for p in found])
        is_baseline = against is not None and k == 1
        wanted = head if k == 0 else against_head if is_baseline else None
        loaded = _load(name, title, wanted, trust, DTYPES[dtype], place)
        found.append(loaded)
        if is_baseline or not isinstance(loaded, ModelPotential):
            continue
        if REPLAY_HEAD in loaded.model.heads and loaded.head != REPLAY_HEAD:
            replay.append(ModelPotential(f"{title}, replay head", loaded.model, REPLAY_HEAD))
    split = 2 if against else 1
    return Contenders(
        candidate=found[0],
        baseline=found[1] if against else None,
        others=tuple(found[split:]),
        replay_heads=tuple(replay),
        labels={found[1].name: f"{found[1].name} (foundation)"} if against else {},
        weights=RunFolder(Path(candidate).expanduser()).weights_digest,
    )


def require_model(name: str) -> None:
    """Check that a model exists, before other options are checked.

    Args:
        name: the model as the user named it.

    Raises:
        PestleError: the name is no catalogue name, file, folder or calculator.
    """
    if name.startswith(CALCULATOR) or catalogue.find(name) is not None:
        return
    if not Path(name).expanduser().exists():
        raise PestleError(
            f"there is no model, file or folder '{name}'",
            where="model",
            fix=f"{nearest(name, catalogue.names())} `pestle models` lists the names.".lstrip(),
        )


def named_by_file(name: str, file: Path, option: str) -> str:
    """Return the name of a model that stands in a file, unless it is that of a calculator.

    A calculator's module is imported only if the user types its name, because this runs its code.

    Args:
        name: the name in the file.
        file: the file.
        option: option with which the user can type the name.

    Raises:
        PestleError: the name is that of a calculator.
    """
    if name.startswith(CALCULATOR):
        raise PestleError(
            f"it names {name}, but a module is imported only if you type its name, not because a "
            "file contains it",
            where=str(file),
            fix=f"If you trust that module, type {option} {shlex.quote(name)}.",
        )
    return name


def _load(
    name: str,
    title: str,
    head: str | None,
    trust: bool,
    dtype: torch.dtype,
    place: torch.device,
) -> Potential:
    """Load one potential: an ASE calculator or a model in this precision on this device."""
    if name.startswith(CALCULATOR):
        from pestle.labels.calculators import CalculatorLabeller, current_folder_importable

        with current_folder_importable():
            labeller = CalculatorLabeller(name.partition(":")[2])
        return CalculatorPotential(title, lambda: labeller.calculator, fingerprint=labeller.id)
    model = load_model(name, trust=trust, dtype=dtype).to(place)
    wanted = head or (TARGET_HEAD if TARGET_HEAD in model.heads else None)
    return ModelPotential(title, model, wanted)


def title_of(name: str, taken: Sequence[str] = ()) -> str:
    """Return the title of a model in tables: the name of its folder, file or calculator.

    Args:
        name: the model as the user named it.
        taken: titles of other models; a number makes the title different from them.
    """
    path = Path(name)
    if name.startswith(CALCULATOR):
        title = name.rpartition(":")[2]
    else:
        resolved = path.resolve()
        # The name of a folder has no ending, even if it contains a point.
        title = resolved.name if resolved.is_dir() else resolved.stem
        title = name if catalogue.find(name) is not None or not title else title
        if title == "model" and path.resolve().parent.name:
            title = path.resolve().parent.name
    count, unique = 2, title
    while unique in taken:
        unique, count = f"{title} {count}", count + 1
    return unique


def file_name(name: str) -> str:
    """Return a name with `_` for characters that a file system may not accept."""
    return re.sub(r"[^\w.+-]+", "_", name)
