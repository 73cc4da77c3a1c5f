"""One self-contained HTML page about a run: verdict, what was asked, what came out, how to repeat.

From plain files to a page in three steps, kept apart: `reading` gives records; the modules of
rows (`verdict`, `overview`, `notices`, `error_tables`, `facts`, `flagged`) and of plots
(`charts`, `curves`, `drift`, drawn with `figures`) prepare; `page` renders. `comparison` does the
same with several runs.
"""

from pestle.reports.comparison import write_comparison
from pestle.reports.page import write_report

__all__ = ["write_comparison", "write_report"]
