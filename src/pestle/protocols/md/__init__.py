"""Protocol `md`: whether molecular dynamics stays stable."""

from pestle.protocols.declaration import STRUCTURES, Declaration, Remedy

DECLARATION = Declaration(
    name="md",
    title="Molecular dynamics",
    question="Does molecular dynamics stay stable?",
    place=60,
    takes=STRUCTURES,
    scopes=("narrow", "broad"),
    headline=True,
    uses=("molecular dynamics",),
    remedy=Remedy(
        "label structures near the failures (flagged.xyz of the test), add them to the training "
        "data, and train again"
    ),
)
