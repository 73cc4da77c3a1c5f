"""HTML pages about one run or several runs; each page is one file that needs no other file.

A page is made in three steps. `reading` reads the records of a folder. Other modules make rows of
tables (`verdict`, `overview`, `asked`, `notices`, `error_tables`, `data`, `e0s`, `facts`,
`flagged`) and plots (`charts`, `curves`, `drift`, with `figures`). `page` fills the templates with
them, and `comparison` does the same for several runs.
"""

from pestle.reports.comparison import write_comparison
from pestle.reports.page import write_report

__all__ = ["write_comparison", "write_report"]
