"""Several runs as tables on standard output."""

from __future__ import annotations

import typer

from pestle.cli.output import print_table, width
from pestle.records.gathered import Gathered
from pestle.reports.gathering.terminal import spoken_notes, terminal_tables


def print_gathered(gathered: Gathered) -> None:
    """Print the table, block by block, then what must be known of it."""
    for table in terminal_tables(gathered, width()):
        print_table(table)
    for note in spoken_notes(gathered):
        typer.echo(note)
