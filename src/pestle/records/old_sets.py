"""How the sets of a continued run are called, wherever they are judged again."""

from __future__ import annotations

_OLD = "old "


def old_set(split: str, run: str) -> str:
    """Name of a set of a continued run: `old test (naive)`.

    Args:
        split: train, valid or test.
        run: what the continued run is called.
    """
    return f"{_OLD}{split} ({run})"


def is_old(name: str) -> bool:
    """Whether a set is one of a continued run."""
    return name.startswith(_OLD) and name.endswith(")")


def chose_the_model(name: str) -> bool:
    """Whether a set had a part in choosing the model to keep: validation frames, old and new."""
    return name == "valid" or (is_old(name) and name.startswith(f"{_OLD}valid "))
