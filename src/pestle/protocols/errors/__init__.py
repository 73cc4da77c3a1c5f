"""Protocol `errors`: predictions against labels on held-out sets, by group."""

from pestle.protocols.declaration import HELD_OUT, Declaration, Remedy

DECLARATION = Declaration(
    name="errors",
    title="Errors",
    question="How far are energies, forces and stresses from the labels?",
    place=10,
    takes=HELD_OUT,
    scopes=("narrow", "broad"),
    uses=("energies and forces of configurations like its data",),
    basis=True,
    remedy=Remedy("add labelled frames like those with the largest errors, and train again"),
)
