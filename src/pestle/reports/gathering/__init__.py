"""Any run folders gathered into one table: which runs differ by seed alone (sameness.py), on which
frames they were judged (frames.py), means and spreads (spread.py), and the table shown on a
terminal, a page, and as CSV and LaTeX (shown.py, files.py)."""
