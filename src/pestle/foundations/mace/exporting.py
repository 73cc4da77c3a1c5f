"""Writing a MACE foundation as the pickled file that mace's own programs load."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pestle.checksums import replacing_with_sum
from pestle.errors import PestleError
from pestle.foundations.mace.copies import compiled
from pestle.foundations.mace.runtime import Network

if TYPE_CHECKING:
    from pestle.foundations.mace.foundation import MaceFoundation


def with_default_head(foundation: MaceFoundation, head: str | None) -> MaceFoundation:
    """A model that MACECalculator loads without `head=`.

    Raises:
        PestleError: several heads, none of them named Default, and none chosen.
    """
    heads = foundation.heads
    if heads == ("Default",) and head in (None, "Default"):
        return foundation  # nothing to rename: building the network anew takes a second
    if head is not None:
        foundation.head_index(head)
        return foundation.with_heads({"Default": head})
    if len(heads) == 1:
        return foundation
    defaults = [name for name in heads if name.lower() == "default"]
    if not defaults:
        raise PestleError(
            f"none of the heads {', '.join(heads)} is called Default, so programs that load the "
            "file could not tell which one is meant",
            where="head",
            fix="Name the head to export, e.g. --head " + heads[0] + ".",
        )
    # Programs that do not know a head's name take the last one.
    ordered = [name for name in heads if name != defaults[0]] + [defaults[0]]
    if ordered == list(heads):
        return foundation
    return foundation.with_heads({name: name for name in ordered})


def module_for_export(foundation: MaceFoundation) -> Network:
    """An independent mace module with its E0s in float64, on the CPU."""
    network = compiled(foundation.network).cpu()
    if foundation.needs_double:
        network = network.double()
    network.atomic_energies_fn.atomic_energies = foundation.e0s.detach().cpu().clone()
    return network


def export(foundation: MaceFoundation, path: Path, *, head: str | None = None) -> None:
    """Write `path`, complete or not at all, and its hash beside it."""
    network = module_for_export(with_default_head(foundation, head))
    buffer = io.BytesIO()  # torch says nothing of the disk when it writes to a file itself
    torch.save(network, buffer)
    content = buffer.getbuffer()
    with replacing_with_sum(path, size=len(content)) as temporary:
        temporary.write_bytes(content)
