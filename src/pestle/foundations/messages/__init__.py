"""Messages between neighbours, summed: where MACE and NequIP spend most of their time.

A path couples a block of the sender's features with a block of the spherical harmonics to a block
of the message, channel by channel ("uvu"), and weighs each channel by the radial network:

    m_i[k, u] = Σ_j Σ_n Q_ij[n, k] w_ij[u] x_j[n, u],   Q_ij[n, k] = Σ_m C_kmn Y_m(r_ij).

The coefficients C are applied to the harmonics, which have no channels; the sum over neighbours j
and components n is then one matrix product for an atom and a path. `message_sums` is that sum with
hand-written first and second derivatives: it is linear in each of Q, w and x, so all of them are
sums of the same few products. They are made group by group (`neighbourhoods.Group`), and nothing
as large as w x is ever kept. In a group w x is laid out as [path, receiver, component, place,
channel]: the matrix products take components and places together, and what is done number by number
runs over places and channels without a break.
"""

from pestle.foundations.messages.neighbourhoods import Neighbourhoods, neighbourhoods
from pestle.foundations.messages.paths import Path, Paths
from pestle.foundations.messages.sums import message_sums

__all__ = ["Neighbourhoods", "Path", "Paths", "message_sums", "neighbourhoods"]
