"""Protocol `atoms`: energies of single atoms."""

from pestle.protocols.declaration import ISOLATED_ATOMS, Declaration

DECLARATION = Declaration(
    name="atoms",
    title="Single atoms",
    question="Does a single atom of each element have the energy that it should have?",
    place=30,
    takes=ISOLATED_ATOMS,
    where_possible=True,
)
