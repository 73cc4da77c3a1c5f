"""The verdict of a qualification, and its copy in the card of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pestle.files import Damaged
from pestle.jobs.potentials import Contenders
from pestle.jobs.qualify_inputs import OfRun
from pestle.jobs.qualify_next import next_step
from pestle.jobs.qualify_request import Request
from pestle.jobs.qualify_tests import Tested
from pestle.progress import warn
from pestle.protocols.verdict import conclude, in_order, use_of
from pestle.records.card import Card, VerdictInWords
from pestle.records.folder import versions
from pestle.records.verdict import CountedFinding, Verdict
from pestle.settings.scope import Scope


def verdict_of(
    tested: Tested,
    scope: Scope,
    loaded: Contenders,
    needed: Sequence[str],
    asked: Request,
    run: OfRun | None,
) -> Verdict:
    """Conclude the verdict from all results.

    Args:
        tested: results of all protocols.
        scope: what the model will be used for.
        loaded: the potentials.
        needed: names of the protocols that the scope needs.
        asked: the request.
        run: the run that made the model; `None` if no run made it.

    Returns:
        The content of verdict.json.
    """
    findings, quick = in_order(tested.findings, needed), not asked.full
    concluded = conclude(
        scope, loaded.candidate.name, findings, needed, tested.not_tested, quick=quick
    )
    found = Verdict(
        verdict=concluded.verdict,
        sentence=concluded.sentence,
        scope=scope,
        candidate=loaded.candidate.name,
        weights=loaded.weights,
        baseline=loaded.baseline.name if loaded.baseline else None,
        others=tuple(potential.name for potential in loaded.others),
        labels=loaded.labels,
        quick=quick,
        thresholds=str(asked.thresholds) if asked.thresholds is not None else "shipped",
        command=asked.command,
        findings=tuple(
            CountedFinding(**asdict(finding), counts=counts)
            for finding, counts in zip(findings, concluded.counted, strict=True)
        ),
        protocols=tested.protocols,
        not_tested=tuple(sorted(tested.not_tested, key=lambda entry: not entry.needed)),
        versions=versions(),
    )
    looks = [name for name, part in tested.protocols.items() if part.first_look]
    use = use_of(findings, tested.not_tested, looks)
    step = next_step(found, asked, run)
    return found.model_copy(update={"use": use.model_copy(update={"next": step})})


def write_to_card(verdict: Verdict, path: Path) -> None:
    """Write the verdict into the card of a model, which stays with a model without its run folder.

    Args:
        verdict: the verdict on the target head.
        path: file of the card; without this file nothing is written.
    """
    if not path.is_file():
        return
    try:
        card = Card.read(path)
    except Damaged as error:
        warn(f"{error.where}: {error.what}; the verdict is not written there")
        return
    assert verdict.use is not None
    said = VerdictInWords(
        verdict=verdict.verdict,
        scope=verdict.scope,
        use_for=verdict.use.use_for,
        not_for=verdict.use.not_for,
    )
    card.model_copy(update={"verdict": said}).write(path, sealed=True)
