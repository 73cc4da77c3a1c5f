"""What is wrong with data for a foundation: one way for `pestle check -f` and a run that begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pestle.adaptation import method_of
from pestle.checks import CheckReport
from pestle.checks.against_foundation import check_with_foundation
from pestle.checks.dispersion import dispersion_findings
from pestle.checks.report import CheckFinding, finding
from pestle.energies.reference_energies import ReferenceEnergies
from pestle.energies.setting import fallback, given_elements
from pestle.energies.single_atoms import single_atom_note
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import KnownPredictions
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame
from pestle.structures.selection import Selection
from pestle.structures.splits import Splits
from pestle.wording import counted


def preflight(
    splits: Splits,
    foundation: Foundation,
    head: str,
    known: KnownPredictions,
    settings: RunSettings,
    *,
    shown: Mapping[str, Sequence[Frame]] | None = None,
) -> CheckReport:
    """Check the data of a run, also with predictions.

    Args:
        splits: frames of the run.
        foundation: makes the predictions.
        head: head of the foundation.
        known: predictions of this head that exist already; new ones are added.
        settings: settings of the run.
        shown: what the summary is about instead of the splits.
    """
    named = splits.named()
    from_scratch = method_of(settings).from_scratch
    report = check_with_foundation(
        named,
        foundation,
        keys=splits.keys,
        head=head,
        max_edges=settings.train.eval_batch_edges,
        known=known,
        notes=splits.notes,
        e0_method=fallback(settings.e0s, from_scratch=from_scratch),
        given_e0s=given_elements(settings.e0s),
        mixed=Selection.of(settings.data.select).mixed,
        shown=shown,
        held_out=splits.held_out,
    )
    if not from_scratch:
        everything = [frame for frames in named.values() for frame in frames]
        stated = settings.data.dispersion_left
        report.findings += dispersion_findings(everything, foundation, head, stated)
    return report


def require_sound(report: CheckReport) -> None:
    """Refuse data with an error.

    Raises:
        PestleError: the checks found an error; the message names the first one.
    """
    if not report.errors:
        return
    first, more = report.errors[0], len(report.errors) - 1
    where = ", ".join(first.frames[:3])
    if first.n_frames > 3:
        where += f" and {first.n_frames - 3} more"
    others = f" ({counted(more, 'more error')}: run `pestle check`.)" if more else ""
    raise PestleError(first.message, where=where or "data", fix=first.fix + others)


def model_findings(
    e0s: ReferenceEnergies,
    model: Foundation,
    frames: Sequence[Frame],
    foundation: Foundation,
    said: Sequence[CheckFinding],
    *,
    atoms_trained: bool,
) -> list[CheckFinding]:
    """Warnings about the model that training would begin with.

    Args:
        e0s: its reference energies.
        model: with these E0s and the target head.
        frames: all frames of the run.
        foundation: as loaded.
        said: warnings about the data. What they say of compositions is not said again.
        atoms_trained: whether the run trains on isolated atoms, so that no advice to do so is due.
    """
    open_e0s = any(f.code == "composition-rank" for f in said)
    found = [
        finding("warning", "e0s", f"E0s: {text}")
        for text in e0s.warnings
        if not (open_e0s and e0s.null_space_text and e0s.null_space_text in text)
    ]
    of_atoms = [] if atoms_trained else single_atom_note(model, frames)
    found += [finding("warning", "single-atoms", text) for text in of_atoms]
    licence = foundation.provenance.licence
    if "non-commercial" in licence.lower():
        text = f"the foundation is under {licence}: the fine-tuned model inherits it, and "
        found.append(finding("warning", "licence", text + "commercial use is not allowed"))
    return found


def as_lines(findings: Sequence[CheckFinding]) -> list[str]:
    """Each finding with its advice in one line, as plans and cards list warnings."""
    return [
        f"{f.message}{'' if f.message.endswith('?') else '.'} {f.fix}" if f.fix else f.message
        for f in findings
    ]
