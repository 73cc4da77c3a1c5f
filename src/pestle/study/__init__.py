"""Studies: a matrix of runs, the engine that works through it, its tables and plots.

The way of a study: `study_file` (what the user writes) → `matrix` (which settings, one by one) →
`plan` (cells, known by what they are made of) → `engine` (Parsl) → `worker` (one cell, where it is
calculated) → `status`, `tables`. Nothing is kept but files: run folders, and one record a cell.
"""
