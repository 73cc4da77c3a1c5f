"""`pestle check`: what is in the data, what is wrong with it, what it implies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pestle.checks import CheckReport, check_frames
from pestle.checks.report import AgainstFoundation
from pestle.files import OneOrMore, each_of
from pestle.metrics import ALL
from pestle.records.data import Ranges, SplitSummary
from pestle.settings.data import DataSettings
from pestle.settings.run import RunSettings
from pestle.settings.run_file import build
from pestle.structures.dispersion import without_dispersion
from pestle.structures.readers import Notes
from pestle.structures.reading import LabelKeys, is_reference_atom, read_frames
from pestle.structures.selection import Selection
from pestle.structures.splits import NothingToHoldOut, Splits, correction_of, read_splits
from pestle.wording import count, counted, fixed, number


def check(
    data: OneOrMore,
    *,
    valid: OneOrMore = (),
    test: OneOrMore = (),
    foundation: str | Path | None = None,
    head: str | None = None,
    trust: bool = False,
    keys: LabelKeys | None = None,
    select: str | Sequence[str] = (),
    dispersion: str = "unknown",
    subtract_dispersion: str | None = None,
) -> CheckReport:
    """Check labelled structures.

    >>> report = pestle.check(["frames.xyz"], foundation="medium-mpa-0")
    >>> report.errors, report.warnings

    Args:
        data: file or glob, or several, of the training (or only) frames.
        valid, test: the same of the other splits; frames shared between splits are errors.
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
    keys = keys or LabelKeys()
    files = {"train": each_of(data), "valid": each_of(valid), "test": each_of(test)}
    about = {
        **{f"data.{name}": given for name, given in files.items()},
        **{f"data.{name}_key": key for name, key in vars(keys).items()},
        "data.select": each_of(select),
        "data.dispersion": dispersion,
        "data.subtract_dispersion": subtract_dispersion,
    }
    if foundation is not None:
        settings: RunSettings = build({}, about | {"foundation": str(foundation), "head": head})
        return _with_foundation(settings, trust)
    return _alone(build({}, about).data, keys)


def _alone(asked: DataSettings, keys: LabelKeys) -> CheckReport:
    """What can be said without a foundation."""
    patterns = {"train": asked.train, "valid": asked.valid, "test": asked.test}
    readings = {name: read_frames(files, keys) for name, files in patterns.items() if files}
    selection = Selection.of(asked.select)
    selection.require([frame for reading in readings.values() for frame in reading.frames])
    splits = {name: selection.keep(reading.frames) for name, reading in readings.items()}
    correction = correction_of(asked)
    if correction is not None:
        splits = {name: without_dispersion(f, correction) for name, f in splits.items()}
    found = {name: reading.key_counts() for name, reading in readings.items()}
    notes = Notes()
    for reading in readings.values():
        notes.add(reading.notes)
    return check_frames(splits, keys=found, notes=notes, mixed=selection.mixed)


def _with_foundation(settings: RunSettings, trust: bool) -> CheckReport:
    """What a run with this foundation would say of the data, and how far its predictions are."""
    from pestle.checks.dispersion import dispersion_of_labels
    from pestle.checks.report import finding, sorted_findings
    from pestle.foundations import load_foundation
    from pestle.foundations.devices import DTYPES, find_device
    from pestle.foundations.prediction import KnownPredictions
    from pestle.jobs.check_foundation import described
    from pestle.jobs.finetune.parent import read_parent
    from pestle.jobs.finetune.starting_model import make_start, reference_energies
    from pestle.jobs.preflight import model_findings, preflight

    splits, unsplit = _splits(settings)
    model = load_foundation(settings.foundation, trust=trust)
    model = model.with_dtype(DTYPES[settings.train.dtype]).to(find_device("auto"))
    head = model.heads[model.head_index(settings.head)]
    known, named = KnownPredictions(), splits.named()
    shown = dict(named)
    if splits.held_out:  # what is in the files, not what a run makes of them
        shown = {"train": [*named["train"], *named["valid"]], "test": splits.test}
    shown = {name: frames for name, frames in shown.items() if frames}
    report = preflight(splits, model, head, known, settings, shown=shown)
    if unsplit is not None:
        text = f"a run needs validation frames, and {unsplit.what}"
        report.findings.append(finding("warning", "no-validation", text, fix=unsplit.fix or ""))
    compared = None
    if not report.errors:
        frames = [frame for split in named.values() for frame in split]
        parent = read_parent(settings.foundation)
        stated = dispersion_of_labels(frames, settings.data.dispersion_left)
        learned = parent.learned(stated) if parent is not None else None
        e0s, compared, _ = reference_energies(settings, splits, model, head, known, learned)
        start, _ = make_start(settings, model, head, frames, e0s)
        repeats = settings.data.isolated_atom_repeats
        # As in a run: where the training data hold isolated atoms, it trains on them by default.
        atoms_trained = any(map(is_reference_atom, splits.isolated)) and repeats != 0
        report.findings += model_findings(
            e0s, start, frames, model, report.warnings, atoms_trained=atoms_trained
        )
    report.findings = sorted_findings(report.findings)
    report.foundation = described(
        named,
        model,
        head,
        known,
        stated=settings.data.dispersion_left,
        compared=compared,
    )
    return report


def _splits(settings: RunSettings) -> tuple[Splits, NothingToHoldOut | None]:
    """The frames as a run would split them; where none can be held out all are for training, and
    the reason stands beside them."""
    try:
        return read_splits(settings.data), None
    except NothingToHoldOut as error:
        data = settings.data.model_copy(update={"valid_fraction": 0.0})
        return read_splits(data), error


#: Titles of lines that are not called as their field.
_TITLES = {"isolated_atoms": "atom energies, eV"}


def check_lines(report: CheckReport) -> list[str]:
    """The report as text."""
    lines: list[str] = []
    for split, summary in report.summary["splits"].items():
        keys = report.summary["keys"].get(split, {})
        shown = {
            **summary,
            "n_frames": summary["n_frames"] - summary["n_isolated_atoms"],
            "labels": SplitSummary.model_validate(summary).labels_in_words,
            "labels_of_isolated_atoms": None,  # in the line above
            "periodicity": _kinds(summary["periodicity"]),
            "ranges": None,
            **_ranges_in_words(SplitSummary.model_validate(summary).ranges),
            "label keys": {k: _kinds(v) for k, v in keys.items() if v},
        }
        lines.append(split)
        for name, value in shown.items():
            if value:
                words = _TITLES.get(name) or name.removeprefix("n_").replace("_", " ")
                lines.append(f"  {words:<18} {_value(value)}")
    if report.foundation is not None:
        lines += ["", *_foundation_lines(report.foundation)]
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


def _foundation_lines(found: AgainstFoundation) -> list[str]:
    """The foundation beside the data, and a table of errors."""
    missing = f"; not {', '.join(found.not_covered)}" if found.not_covered else ""
    covered = "all" if not found.not_covered else ", ".join(found.covered) or "none"
    rows = {
        "licence": found.licence,
        "level of theory": found.level_of_theory,
        "  of the labels": found.level_of_labels or "the files do not say",
        "dispersion": f"{found.dispersion}; of the labels {found.dispersion_of_labels}",
        "elements": f"{covered} of the data known{missing}",
    }
    if found.offset:
        table = ", ".join(f"{s} {fixed(e, 4, sign=True)}" for s, e in found.offset.items())
        sums = ", ".join(found.offset_undetermined)
        rows["offset"] = f"eV for each atom, added below: {table}"
        rows["offset"] += f" (of {sums} the data determine sums only)" if sums else ""
    lines = [f"foundation {found.name}, head {found.head}"]
    lines += [f"  {name:<18} {text}" for name, text in rows.items()]
    if not found.errors:
        return [*lines, "  errors             not calculated: the data have errors of their own"]
    titles = ("frames", "energy meV/atom", "forces meV/Å", "stress meV/Å³")
    figures = {
        name: [count(e.n_frames), *map(number, (e.energy_rmse, e.forces_rmse, e.stress_rmse))]
        for name, e in found.errors.items()
    }
    if len(figures) == 2:  # the only group says the same as all of them
        figures.pop(ALL)
    width = max(20, *(len(name) for name in figures))
    head = "  ".join(f"{title:>15}" for title in titles)
    lines += ["", f"  {'RMSE less the offset':<{width}}  {head}"]
    for name, cells in figures.items():
        lines.append(f"  {name:<{width}}  " + "  ".join(f"{cell:>15}" for cell in cells))
    return lines


def _ranges_in_words(ranges: Ranges) -> dict[str, str]:
    """Return heading → ranges of labels and distances with their units."""
    energy, shown = ranges.energy_per_atom_eV, {}
    if energy is not None:
        low, middle, high = (number(e, 6) for e in (energy.min, energy.median, energy.max))
        shown["energies"] = f"{low} to {high} eV/atom, median {middle}"
    if ranges.force_max_eV_per_A is not None:
        shown["forces"] = (
            f"up to {number(ranges.force_max_eV_per_A)} eV/Å, RMS "
            f"{number(ranges.force_rms_eV_per_A)}"
        )
    if ranges.stress_max_eV_per_A3 is not None:
        shown["stress"] = f"components up to {number(ranges.stress_max_eV_per_A3)} eV/Å³"
    if ranges.nearest_distance_A is not None:
        shown["nearest atoms"] = f"{number(ranges.nearest_distance_A)} Å apart"
    return shown


def _kinds(counts: Mapping[str, int]) -> Any:
    """Return the kind that all structures are of; of several their counts, isolated atoms among
    them."""
    return next(iter(counts)) if len(counts) == 1 else counts


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_value(v)}" for k, v in value.items() if v is not None) or "none"
    if isinstance(value, float):
        text = number(value, 6)
        return text.rstrip("0").rstrip(".") if "." in text and "×" not in text else text
    if isinstance(value, (list, tuple)):
        return " ".join(_value(v) for v in value)
    return str(value)
