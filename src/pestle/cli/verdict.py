"""How a terminal shows the result of `pestle qualify`."""

from __future__ import annotations

from pestle.cli.output import print_table
from pestle.cli.probe_tables import findings_table, not_tested_table
from pestle.jobs.qualify import Qualification
from pestle.progress import say


def print_verdict(result: Qualification) -> None:
    """Findings, first those that count for the scope, what was not tested, what a full test would
    add, the verdict, and what the model may be used for last."""
    found = result.verdict
    counted = [finding for finding in found.findings if finding.counts]
    others = [finding for finding in found.findings if not finding.counts]
    print_table(findings_table(counted, f"findings that count for the {found.scope} scope"))
    if others:
        title = f"further findings, which do not count for the {found.scope} scope"
        print_table(findings_table(others, title))
    if found.not_tested:
        print_table(not_tested_table(found.not_tested))
    for name, part in found.protocols.items():
        if part.full_extent:
            say(f"quick {name}: {part.extent}; with --full: {part.full_extent}")
    say(f"\n{found.verdict.upper()}: {found.sentence}")
    if found.use is not None:
        for about, line in found.use.lines.items():
            say(f"{about}:".ljust(12) + line)
    say(f"report: {result.report}")
