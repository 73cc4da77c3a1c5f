"""Molecular dynamics that goes on bit for bit after a stop, one structure or many at once."""
