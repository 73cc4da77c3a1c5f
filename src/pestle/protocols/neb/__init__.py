"""Protocol `neb`: reaction paths on the given images and on a relaxed band."""

from pestle.protocols.declaration import Declaration, Input, Remedy

PATH = Input(
    name="path",
    options=("--path",),
    help="Reaction path: reactant first, product last; several times.",
    lacking="no reaction path was given",
    how="--path FILE",
    asks=True,
)
DECLARATION = Declaration(
    name="neb",
    title="Reaction paths",
    question="Are barriers and energies of reactions right?",
    place=80,
    takes=PATH,
    reference="--path FILE",
    headline=True,
    uses=("barriers of reactions",),
    remedy=Remedy("label structures along the path, and train on them too"),
)
