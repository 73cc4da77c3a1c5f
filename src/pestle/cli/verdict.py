"""How a terminal shows the result of `pestle qualify`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pestle.cli.output import print_table
from pestle.cli.probe_tables import findings_table, not_tested_table
from pestle.progress import say


def print_verdict(result: Mapping[str, Any]) -> None:
    """Findings, what was not tested, what a full test would add, and the verdict last."""
    print_table(findings_table(result["findings"]))
    if result["not_tested"]:
        print_table(not_tested_table(result["not_tested"]))
    for name, part in result["protocols"].items():
        if part["full_extent"]:
            say(f"quick {name}: {part['extent']}; with --full: {part['full_extent']}")
    say(f"\n{result['verdict'].upper()}: {result['sentence']}")
    say(f"report: {result['report']}")
