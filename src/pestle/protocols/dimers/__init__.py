"""Protocol `dimers`: energy curves of two atoms."""

from pestle.protocols.declaration import DISSOCIATION, REPLAY, SEARCH, Declaration

DECLARATION = Declaration(
    name="dimers",
    title="Dimers",
    question="Do two atoms of every pair of elements repel at short range?",
    place=40,
    scopes=("broad",),
    headline=True,
    uses=("atoms pressed together (high pressure, collisions)", DISSOCIATION, SEARCH),
    remedy=REPLAY,
)
