"""Molecular dynamics of one or many structures; a stopped run continues bit for bit."""
