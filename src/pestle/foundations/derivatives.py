"""Find out which gradients a hand-written derivative need not compute."""

from __future__ import annotations

from typing import Any

import torch


def wanted(ctx: Any) -> tuple[bool, ...]:
    """Return for each tensor argument of a function whether its gradient is needed now.

    "Now" means the backward pass that is running. `ctx.needs_input_grad` only says which gradients
    could be needed; it includes those of the weights even if only forces are asked for.

    Args:
        ctx: context of a `torch.autograd.Function` whose arguments that are not tensors come first.

    Returns:
        One entry per tensor argument.
    """
    nodes = ctx.next_functions
    could = ctx.needs_input_grad[-len(nodes) :]
    return tuple(
        needed and node is not None and _will_run(node)
        for needed, (node, _) in zip(could, nodes, strict=True)
    )


def _will_run(node: Any) -> bool:
    """Return whether the running backward pass needs the gradient that goes to this node.

    torch does not tell this for leaves (nodes that accumulate a gradient); they count as needed.
    """
    return "AccumulateGrad" in node.name() or torch._C._will_engine_execute_node(node)
