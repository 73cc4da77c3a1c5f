"""One self-contained HTML page about a run: what was asked, what came out, what to be wary of.

From plain files to a page in three steps, kept apart: `run_folder` reads, the modules of rows
(`overview`, `notices`, `error_tables`, `energies`, `facts`) and of plots (`curves`, `parity`,
`profile`) prepare, `page` renders.
"""

from pestle.report.page import write_report

__all__ = ["write_report"]
