"""Writing a MACE foundation as the pickled file that mace's own programs load."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TypeVar

import torch

from pestle.checksums import replacing_with_sum
from pestle.errors import PestleError
from pestle.foundations.capabilities import Heads
from pestle.foundations.mace.copies import compiled
from pestle.foundations.mace.runtime import Network
from pestle.foundations.network_foundation import NetworkFoundation

Headed = TypeVar("Headed", bound=Heads)


def with_default_head(foundation: Headed, head: str | None) -> Headed:
    """A model that MACECalculator loads without `head=`.

    Args:
        foundation: the model; not changed.
        head: the head to keep alone; `None` keeps all of them, Default last.

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


def single_head(foundation: Headed, head: str | None) -> Headed:
    """The chosen head alone, called Default, on the CPU and in the precision to write."""
    made = with_default_head(foundation, foundation.heads[foundation.head_index(head)])
    if made.needs_double and made.dtype != torch.float64:
        made = made.with_dtype(torch.float64)
    if made.device.type != "cpu":
        made = (made.copy() if made is foundation else made).to("cpu")
    return made


def module_for_export(foundation: NetworkFoundation) -> Network:
    """An independent mace module with its E0s in float64, on the CPU."""
    network = compiled(foundation.network).cpu()
    if foundation.needs_double:
        network = network.double()
    network.atomic_energies_fn.atomic_energies = foundation.e0s.detach().cpu().clone()
    return network


def write(foundation: NetworkFoundation, path: Path) -> None:
    """Write `path`, complete or not at all, and its hash beside it."""
    buffer = io.BytesIO()  # torch says nothing of the disk when it writes to a file itself
    torch.save(module_for_export(foundation), buffer)
    content = buffer.getbuffer()
    with replacing_with_sum(path, size=len(content)) as temporary:
        temporary.write_bytes(content)
