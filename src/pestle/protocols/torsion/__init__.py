"""Protocol `torsion`: relative energies along scans of a dihedral angle."""

from pestle.protocols.declaration import Declaration, Input, Remedy

TORSIONS = Input(
    name="torsions",
    options=("--torsions",),
    help="Labelled scans.",
    lacking="no scan was given",
    how="--torsions FILES",
    asks=True,
)
DECLARATION = Declaration(
    name="torsion",
    title="Torsions",
    question="Are energies along scans of dihedral angles right?",
    place=90,
    takes=TORSIONS,
    reference="--torsions FILES",
    headline=True,
    uses=("energies along torsions",),
    remedy=Remedy("label structures along the scans, and train on them too"),
)
