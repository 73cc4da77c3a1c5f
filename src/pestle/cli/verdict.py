"""How a terminal shows the result of `pestle qualify`."""

from __future__ import annotations

from pestle.cli.output import print_table
from pestle.cli.probe_tables import findings_table, not_tested_table
from pestle.jobs.qualify import Qualification
from pestle.progress import say


def print_verdict(result: Qualification) -> None:
    """Findings, what was not tested, what a full test would add, and the verdict last."""
    found = result.verdict
    print_table(findings_table(found.findings))
    if found.not_tested:
        print_table(not_tested_table(found.not_tested))
    for name, part in found.protocols.items():
        if part.full_extent:
            say(f"quick {name}: {part.extent}; with --full: {part.full_extent}")
    say(f"\n{found.verdict.upper()}: {found.sentence}")
    say(f"report: {result.report}")
