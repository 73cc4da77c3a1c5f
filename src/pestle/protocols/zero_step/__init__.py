"""Protocol `zero_step`: result of the zero-step gate of a run, from before its first update."""

from pestle.protocols.declaration import Declaration

DECLARATION = Declaration(
    name="zero_step",
    title="Zero-step",
    question="Did the model start from its foundation?",
    place=0,
    scopes=("narrow", "broad"),
    of_run=True,
)
