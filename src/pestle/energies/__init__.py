"""Atomic reference energies (E0s): sources, what a single atom gives, how they are written."""
