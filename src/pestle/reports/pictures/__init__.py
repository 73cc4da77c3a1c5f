"""Plots of a page as pictures for a paper: drawn without a browser (draw.py, marks.py, axes.py),
their data (data.py), and the files (write.py)."""
