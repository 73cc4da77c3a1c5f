"""Colours of plots and swatches, each with its counterpart on a dark background.

Told apart by people who are colour-blind and in grey print; those of models have a contrast of at
least 4.5 to their background.
"""

from __future__ import annotations

INK, GRID, FAINT = "#27272a", "#e7e5e4", "#a8a29e"
PAPER, VEIL = "#ffffff", "rgba(255,255,255,0.8)"
FOUNDATION_COLOUR, TUNED_COLOUR, SCRATCH_COLOUR = "#7a6a58", "#0b5cad", "#c2410c"
REFERENCE_COLOUR = "#18181b"
#: Further models, in the order in which they are met.
OTHER_COLOURS = ("#0f766e", "#86198f", "#a16207", "#be123c", "#4d7c0f", "#475569")
TRAIN_COLOUR, REPLAY_COLOUR = "#93a3b8", "#b45309"
BUDGET_COLOUR, BEYOND_COLOUR = "#a61b1b", "rgba(166,27,27,0.08)"

#: Colour → what a reader with a dark screen sees.
DARK = {
    INK: "#e7e5e4",
    GRID: "#3f3f46",
    FAINT: "#8a8580",
    PAPER: "#18181b",
    VEIL: "rgba(24,24,27,0.8)",
    FOUNDATION_COLOUR: "#c0ad97",
    TUNED_COLOUR: "#6cb2ff",
    SCRATCH_COLOUR: "#ff8f5e",
    REFERENCE_COLOUR: "#fafafa",
    TRAIN_COLOUR: "#8ea0b8",
    REPLAY_COLOUR: "#f0ad4e",
    BUDGET_COLOUR: "#ff8a8a",
    BEYOND_COLOUR: "rgba(255,138,138,0.12)",
    "#0f766e": "#4fd1c5",
    "#86198f": "#e08ae8",
    "#a16207": "#e3b341",
    "#be123c": "#ff8fa3",
    "#4d7c0f": "#a3d65c",
    "#475569": "#a8b5c8",
}
