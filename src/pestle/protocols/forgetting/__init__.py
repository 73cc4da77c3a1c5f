"""Protocol `forgetting`: how much a model still knows of the foundation's training distribution."""

from pestle.protocols.declaration import REPLAY, SEARCH, Declaration, Input

BROAD = Input(
    name="broad",
    options=("--broad",),
    help="Labelled frames like those the foundation was trained on, for forgetting; by default "
    "generated ones that the foundation labels.",
    asks=True,
)
DECLARATION = Declaration(
    name="forgetting",
    title="Forgetting",
    question="Does the model still know what its foundation knew?",
    place=20,
    takes=BROAD,
    scopes=("broad",),
    headline=True,
    uses=("configurations unlike its data", SEARCH),
    remedy=REPLAY,
)
