"""Protocol `rdf`: partial radial distribution functions against a reference."""

from pestle.protocols.declaration import STRUCTURES, Declaration, Remedy

DECLARATION = Declaration(
    name="rdf",
    title="Radial distribution functions",
    question="Does a simulation have the structure of the reference?",
    place=70,
    takes=STRUCTURES,
    reference="--set rdf.reference=FILE",
    headline=True,
    uses=("the structure of the simulated material",),
    remedy=Remedy("label frames of the simulation, add them to the training data, and train again"),
)
