"""Typed, versioned models of all files that are written and read again."""
