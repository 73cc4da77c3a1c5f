"""Typed, versioned models of everything that is written and read again."""
