"""What a hand-written derivative may leave out."""

from __future__ import annotations

from typing import Any

import torch


def wanted(ctx: Any) -> tuple[bool, ...]:
    """Which tensors given to a function need their gradient in the backward pass that is running.

    `ctx.needs_input_grad` says which could: the weights too, when only forces are asked for. The
    function's arguments that are no tensors come first and are not in the answer.
    """
    nodes = ctx.next_functions
    could = ctx.needs_input_grad[-len(nodes) :]
    return tuple(
        needed and node is not None and _will_run(node)
        for needed, (node, _) in zip(could, nodes, strict=True)
    )


def _will_run(node: Any) -> bool:
    """Whether a node is on the way to what is asked for; of leaves torch does not tell."""
    return "AccumulateGrad" in node.name() or torch._C._will_engine_execute_node(node)
