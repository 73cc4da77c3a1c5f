"""The result of `pestle qualify` on a terminal."""

from __future__ import annotations

import logging

from pestle.cli.output import print_table
from pestle.cli.probe_tables import findings_table, not_tested_table
from pestle.jobs.qualify import Qualification
from pestle.progress import conclude, detail, logger, say
from pestle.reports.verdict import conclusion, tally
from pestle.typed import under


def print_verdict(result: Qualification) -> None:
    """Print the result of a qualification.

    The order is: findings that count for the scope, other findings, what was not tested, what a
    full test would add, the verdict, and what the model may be used for.

    Args:
        result: the qualification.
    """
    found = result.verdict
    counted = [finding for finding in found.findings if finding.counts]
    others = [finding for finding in found.findings if not finding.counts]
    print_table(findings_table(counted, f"findings that count for the {found.scope} scope"))
    if others:
        title = f"further findings, which do not count for the {found.scope} scope"
        print_table(findings_table(others, title))
    everything = logger.isEnabledFor(logging.DEBUG)
    shown = [entry for entry in found.not_tested if entry.needed or everything]
    if shown:
        print_table(not_tested_table(shown))
    left = [entry.protocol for entry in found.not_tested if entry not in shown]
    if left:
        say(f"not tested, and not needed: {', '.join(left)} (how: --verbose)")
    for name, part in found.protocols.items():
        if part.full_extent:
            detail(f"quick {name}: {part.extent}; with --full: {part.full_extent}")
    # The tables above hold the findings; the sentence does not quote one of them again.
    levels = tally([finding.level for finding in counted])
    conclude(f"\n{found.verdict.upper()}: {conclusion(found)} ({levels})")
    if found.use is not None:
        for about, line in found.use.lines.items():
            conclude(under(about, line, 12))
    conclude(f"report: {result.report}")
