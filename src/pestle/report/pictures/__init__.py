"""Plots of a page as pictures for a paper: drawn without a browser (draw.py), their data (data.py),
and the files (write.py)."""
