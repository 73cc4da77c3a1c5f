"""Write a MACE foundation as the pickled file that mace's own programs load."""

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
from pestle.foundations.trusted import remember_own

Headed = TypeVar("Headed", bound=Heads)


def with_default_head(foundation: Headed, head: str | None) -> Headed:
    """Return a model that MACECalculator can load without the argument `head`.

    Args:
        foundation: the model; not changed.
        head: name of the only head to keep, which is then called Default; `None` keeps all heads
            and puts Default last.

    Raises:
        PestleError: there is no such head; or none was chosen, and none of several heads is called
            Default.
    """
    heads = foundation.heads
    if heads == ("Default",) and head in (None, "Default"):
        return foundation  # nothing to rename, and building the network anew would take a second
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
    # Programs that do not name a head use the last one.
    ordered = [name for name in heads if name != defaults[0]] + [defaults[0]]
    if ordered == list(heads):
        return foundation
    return foundation.with_heads({name: name for name in ordered})


def single_head(foundation: Headed, head: str | None) -> Headed:
    """Return a model with one head, called Default, on the CPU and in the precision to write.

    Args:
        foundation: the model; not changed.
        head: name of the head to keep, as for `Foundation.head_index`.

    Raises:
        PestleError: there is no such head, or no name was given and several heads are possible.
    """
    made = with_default_head(foundation, foundation.heads[foundation.head_index(head)])
    if made.needs_double and made.dtype != torch.float64:
        made = made.with_dtype(torch.float64)
    if made.device.type != "cpu":
        made = (made.copy() if made is foundation else made).to("cpu")
    return made


def module_for_export(foundation: NetworkFoundation) -> Network:
    """Return an independent mace module on the CPU that holds its E0s, in float64.

    Args:
        foundation: a MACE foundation; not changed.
    """
    network = compiled(foundation.network).cpu()
    if foundation.needs_double:
        network = network.double()
    network.atomic_energies_fn.atomic_energies = foundation.e0s.detach().cpu().clone()
    return network


def write(foundation: NetworkFoundation, path: Path) -> None:
    """Write the file, complete or not at all, and its hash beside it.

    Args:
        foundation: a MACE foundation.
        path: file to write.
    """
    buffer = io.BytesIO()  # torch's own errors do not say that a disk is full
    torch.save(module_for_export(foundation), buffer)
    content = buffer.getbuffer()
    with replacing_with_sum(path, size=len(content)) as temporary:
        temporary.write_bytes(content)
    remember_own(content)
