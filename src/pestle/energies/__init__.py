"""Atomic reference energies (E0s): where they come from, single atoms, and the setting `e0s`."""
