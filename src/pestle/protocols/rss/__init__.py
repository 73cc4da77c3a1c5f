"""Protocol `rss`: random crystals are relaxed under pressure, and crystals that implode are
counted.
"""

from pestle.protocols.declaration import REPLAY, SEARCH, Declaration

DECLARATION = Declaration(
    name="rss",
    title="Random structure search",
    question="Do random crystals keep their atoms apart when they are relaxed under pressure?",
    place=50,
    scopes=("broad",),
    headline=True,
    uses=(SEARCH,),
    remedy=REPLAY,
)
