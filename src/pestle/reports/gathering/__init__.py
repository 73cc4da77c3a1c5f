"""One table of several run folders.

`sameness` finds runs that differ only by their seed, `frames` finds out whether runs were judged on
the same frames, and `spread` calculates means and standard deviations. `shown` and `files` show the
table on a terminal, on a page, and as CSV and LaTeX.
"""
