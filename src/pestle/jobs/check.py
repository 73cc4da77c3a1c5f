"""`pestle check`: what is in the data, what is wrong with it, what it implies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pestle.checks import CheckReport, check_frames
from pestle.records.wording import counted
from pestle.settings.run import RunSettings
from pestle.settings.run_file import build
from pestle.structures.dispersion import without_dispersion
from pestle.structures.readers import Notes
from pestle.structures.reading import LabelKeys, read_frames
from pestle.structures.selection import Selection
from pestle.structures.splits import correction_of


def check(
    data: Sequence[str],
    *,
    valid: Sequence[str] = (),
    test: Sequence[str] = (),
    foundation: str | None = None,
    head: str | None = None,
    trust: bool = False,
    keys: LabelKeys | None = None,
    select: Sequence[str] = (),
    dispersion: str = "unknown",
    subtract_dispersion: str | None = None,
) -> CheckReport:
    """Check labelled structures.

    >>> report = pestle.check(["frames.xyz"], foundation="medium-mpa-0")
    >>> report.errors, report.warnings

    Args:
        data: files or globs of the training (or only) frames.
        valid, test: files of the other splits; frames shared between splits are errors.
        foundation: also compare the labels with this model's predictions.
        head: head of the foundation.
        trust: allow a `.model` file.
        keys: label keys.
        select: `KEY=VALUE` of the frames to check, as the setting `data.select`.
        dispersion: whether the labels hold dispersion: included, none or unknown.
        subtract_dispersion: functional whose D3 correction is taken from them first.

    Raises:
        PestleError: a file cannot be read, no frame has a key or value of the selection, or the
            foundation cannot be loaded.
    """
    patterns = {"train": data, "valid": valid, "test": test}
    readings = {name: read_frames(files, keys) for name, files in patterns.items() if files}
    selection = Selection.of(select)
    selection.require([frame for reading in readings.values() for frame in reading.frames])
    splits = {name: selection.keep(reading.frames) for name, reading in readings.items()}
    about = {"data.dispersion": dispersion, "data.subtract_dispersion": subtract_dispersion}
    settings: RunSettings = build({}, about)
    asked = settings.data
    correction = correction_of(asked)
    if correction is not None:
        splits = {name: without_dispersion(f, correction) for name, f in splits.items()}
    found = {name: reading.key_counts() for name, reading in readings.items()}
    notes = Notes()
    for reading in readings.values():
        notes.add(reading.notes)
    if foundation is None:
        return check_frames(splits, keys=found, notes=notes, mixed=selection.mixed)

    from pestle.checks.against_foundation import check_with_foundation
    from pestle.checks.dispersion import dispersion_findings
    from pestle.foundations import load_foundation
    from pestle.foundations.devices import find_device

    model = load_foundation(foundation, trust=trust).to(find_device("auto"))
    head = model.heads[model.head_index(head)]
    report = check_with_foundation(
        splits, model, keys=found, head=head, notes=notes, mixed=selection.mixed
    )
    everything = [frame for frames in splits.values() for frame in frames]
    report.findings += dispersion_findings(everything, model, head, asked.dispersion_left)
    return report


def check_lines(report: CheckReport) -> list[str]:
    """The report as text."""
    lines: list[str] = []
    for split, summary in report.summary["splits"].items():
        keys = report.summary["keys"].get(split, {})
        shown = {**summary, "label keys": {k: v for k, v in keys.items() if v}}
        lines.append(split)
        lines += [f"  {name.replace('_', ' '):<18} {_value(v)}" for name, v in shown.items() if v]
    for title, findings in (
        ("error", report.errors),
        ("warning", report.warnings),
        ("note", report.notes),
    ):
        lines += ["", counted(len(findings), title)]
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
