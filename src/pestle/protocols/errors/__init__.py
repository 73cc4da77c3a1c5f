"""Protocol `errors`: predictions against labels on held-out sets, by group."""

from pestle.protocols.declaration import HELD_OUT, Declaration

DECLARATION = Declaration(
    name="errors",
    title="Errors",
    question="How far are energies, forces and stresses from the labels?",
    place=10,
    takes=HELD_OUT,
    scopes=("narrow", "broad"),
)
