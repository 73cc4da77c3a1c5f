"""Protocol `rdf`: partial radial distribution functions against a reference."""

from pestle.protocols.declaration import STRUCTURES, Declaration

DECLARATION = Declaration(
    name="rdf",
    title="Radial distribution functions",
    question="Does a simulation have the structure of the reference?",
    place=70,
    takes=STRUCTURES,
    reference="--set rdf.reference=FILE",
    headline=True,
)
