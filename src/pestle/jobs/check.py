"""`pestle check`: what is in the data, what is wrong with it, what it implies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pestle.structures.checks import CheckReport, check_frames
from pestle.structures.reading import LabelKeys, read_frames


def check(
    data: Sequence[str],
    *,
    valid: Sequence[str] = (),
    test: Sequence[str] = (),
    foundation: str | None = None,
    head: str | None = None,
    trust: bool = False,
    keys: LabelKeys | None = None,
) -> CheckReport:
    """Check labelled structures.

    Args:
        data: files or globs of the training (or only) frames.
        valid, test: files of the other splits; frames shared between splits are errors.
        foundation: also compare the labels with this model's predictions.
        head: head of the foundation.
        trust: allow a `.model` file.
        keys: label keys.

    Raises:
        PestleError: a file cannot be read, or the foundation cannot be loaded.
    """
    patterns = {"train": data, "valid": valid, "test": test}
    readings = {name: read_frames(files, keys) for name, files in patterns.items() if files}
    splits = {name: reading.frames for name, reading in readings.items()}
    found = {name: reading.key_counts() for name, reading in readings.items()}
    if foundation is None:
        return check_frames(splits, keys=found)

    from pestle.devices import find_device
    from pestle.foundations import load_foundation
    from pestle.foundations.label_checks import check_with_foundation

    model = load_foundation(foundation, trust=trust).to(find_device("auto"))
    head = model.heads[model.head_index(head)]
    return check_with_foundation(splits, model, keys=found, head=head)


def check_lines(report: CheckReport) -> list[str]:
    """The report as text."""
    lines: list[str] = []
    for split, summary in report.summary["splits"].items():
        keys = report.summary["keys"].get(split, {})
        shown = {**summary, "label keys": {k: v for k, v in keys.items() if v}}
        lines.append(split)
        lines += [f"  {name.replace('_', ' '):<18} {_value(v)}" for name, v in shown.items() if v]
    for title, findings in (
        ("errors", report.errors),
        ("warnings", report.warnings),
        ("notes", report.notes),
    ):
        lines += ["", f"{len(findings)} {title}"]
        for item in findings:
            lines.append(f"  [{item.code}] {item.message}")
            if item.frames:
                more = item.n_frames - len(item.frames)
                tail = f" and {more} more" if more > 0 else ""
                lines.append(f"      in {', '.join(item.frames)}{tail}")
            if item.fix:
                lines.append(f"      {item.fix}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_value(v)}" for k, v in value.items() if v is not None) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return " ".join(_value(v) for v in value)
    return str(value)
