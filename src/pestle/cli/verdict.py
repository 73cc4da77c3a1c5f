"""How a terminal shows the result of `pestle qualify`."""

from __future__ import annotations

import logging

from pestle.cli.output import print_table
from pestle.cli.probe_tables import findings_table, not_tested_table
from pestle.jobs.qualify import Qualification
from pestle.progress import conclude, detail, logger, say


def print_verdict(result: Qualification) -> None:
    """Findings, what was not tested, what a full test would add, and the verdict last."""
    found = result.verdict
    print_table(findings_table(found.findings))
    everything = logger.isEnabledFor(logging.DEBUG)
    shown = [entry for entry in found.not_tested if entry.needed or everything]
    if shown:
        print_table(not_tested_table(shown))
    others = [entry.protocol for entry in found.not_tested if entry not in shown]
    if others:
        say(f"not tested, and not needed: {', '.join(others)} (how: --verbose)")
    for name, part in found.protocols.items():
        if part.full_extent:
            detail(f"quick {name}: {part.extent}; with --full: {part.full_extent}")
    conclude(f"\n{found.verdict.upper()}: {found.sentence}")
    conclude(f"report: {result.report}")
