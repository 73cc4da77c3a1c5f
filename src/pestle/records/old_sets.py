"""Names of the sets of a continued run, on which later models are judged again."""

from __future__ import annotations

_OLD = "old "


def old_set(split: str, run: str) -> str:
    """Return the name of a set of a continued run, such as `old test (naive)`.

    Args:
        split: train, valid or test.
        run: name of the continued run.
    """
    return f"{_OLD}{split} ({run})"


def is_old(name: str) -> bool:
    """Whether a set belongs to a continued run."""
    return name.startswith(_OLD) and name.endswith(")")


def chose_the_model(name: str) -> bool:
    """Whether a set had a part in choosing the model to keep: validation frames, old and new."""
    return name == "valid" or (is_old(name) and name.startswith(f"{_OLD}valid "))
