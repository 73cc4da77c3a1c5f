"""The model of an export: its heads and its precision."""

from __future__ import annotations

import torch

from pestle.errors import PestleError
from pestle.foundations.capabilities import Heads, OwnFile, require
from pestle.foundations.devices import DTYPES
from pestle.foundations.interface import TARGET_HEAD, Foundation

#: Advice if the head of a model cannot be renamed.
ONE_HEAD = f"Its head has to be called {TARGET_HEAD} where the model is made."


def chosen_head(foundation: Foundation, head: str | None) -> str:
    """Return the head to export.

    Args:
        foundation: the model.
        head: the head that the user named; `None` for the only one, or Default.

    Raises:
        PestleError: there is no such head, or the user must name one.
    """
    heads = foundation.heads
    if head is None and len(heads) > 1 and TARGET_HEAD not in heads:
        raise PestleError(
            f"{foundation.provenance.name} has the heads {', '.join(heads)}, and none is called "
            f"{TARGET_HEAD}",
            where="--head",
            fix=f"Name the one to export, e.g. --head {heads[0]}.",
        )
    return heads[foundation.head_index(head)]


def with_chosen_head(foundation: Foundation, chosen: str, all_heads: bool) -> Foundation:
    """Return the model with its chosen head as Default.

    Args:
        foundation: the model.
        chosen: name of the head.
        all_heads: whether the other heads are kept before it.

    Raises:
        PestleError: another head that is kept has the name Default.
    """
    others = [name for name in foundation.heads if name != chosen] if all_heads else []
    if TARGET_HEAD in others:
        raise PestleError(
            f"there is a head {TARGET_HEAD} beside {chosen}, and only one can have this name",
            where="--head",
            fix="Leave out --all-heads, or --head.",
        )
    if foundation.heads == (*others, TARGET_HEAD):
        return foundation  # building the network again would take a second
    wanted = {name: name for name in others} | {TARGET_HEAD: chosen}
    return require(foundation, Heads, where="--head", instead=ONE_HEAD).with_heads(wanted)


def in_own_precision(foundation: OwnFile, dtype: str | None) -> tuple[Foundation, list[str]]:
    """Convert a model to the precision that its own file format requires.

    Args:
        foundation: the model; its `own_dtype` is the precision.
        dtype: the precision that the user named.

    Returns:
        The model, and notes for the user.

    Raises:
        PestleError: the user named another precision.
    """
    own = foundation.own_dtype
    assert own is not None
    name = str(own).removeprefix("torch.")
    if dtype is not None and DTYPES[dtype] != own:
        raise PestleError(
            f"{foundation.own_format} files are read in {name}",
            where=f"--dtype {dtype}",
            fix="Leave out --dtype; the model folder keeps every digit.",
        )
    if foundation.dtype == own or foundation.export_obstacle(head=foundation.heads[-1]):
        return foundation, []
    return foundation.with_dtype(own), [f"written in {name}, as {foundation.own_format} files are"]


def in_precision(foundation: Foundation, dtype: str | None) -> tuple[Foundation, list[str]]:
    """Convert a model to the precision to write.

    Args:
        foundation: the model.
        dtype: the precision that the user named; `None` for the model's.

    Returns:
        The model, and notes for the user.

    Raises:
        PestleError: the user named float32, but total energies are too large for it.
    """
    wanted = foundation.dtype if dtype is None else DTYPES[dtype]
    notes = []
    if foundation.needs_double and wanted != torch.float64:
        largest = max(
            abs(e) for e0s in foundation.reference_energies.values() for e in e0s.values()
        )
        why = f"the reference energies reach {largest:,.0f} eV an atom, too large for float32"
        if dtype is not None:
            raise PestleError(
                f"{why}: total energies would be wrong by {6e-5 * largest:.1g} meV an atom",
                where=f"--dtype {dtype}",
                fix="Leave out --dtype.",
            )
        wanted = torch.float64
        notes.append(f"written in float64: {why}")
    if wanted != foundation.dtype:
        foundation = foundation.with_dtype(wanted)
    return foundation, notes
