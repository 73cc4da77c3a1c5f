"""Protocol `atoms`: energies of single atoms."""

from pestle.protocols.declaration import DISSOCIATION, ISOLATED_ATOMS, Declaration, Remedy

DECLARATION = Declaration(
    name="atoms",
    title="Single atoms",
    question="Does a single atom of each element have the energy that it should have?",
    place=30,
    takes=ISOLATED_ATOMS,
    where_possible=True,
    uses=("energies of atomisation", DISSOCIATION),
    remedy=Remedy("take E0s of isolated atoms, or train on the atoms (data.isolated_atom_repeats)"),
)
