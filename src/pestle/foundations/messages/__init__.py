"""Compute the summed messages between neighbours, where MACE and NequIP spend most of their time.

A path couples one block of the sender's features with one block of the spherical harmonics and
gives one block of the message. It does so channel by channel (e3nn calls this "uvu") and multiplies
each channel by a weight from the radial network:

    m_i[k, u] = Σ_j Σ_n Q_ij[n, k] w_ij[u] x_j[n, u],   Q_ij[n, k] = Σ_m C_kmn Y_m(r_ij).

Here i is the receiver, j a sender, u a channel, and k, n and m are components of the message, the
features and the harmonics. The files of this folder use the letters of this equation: Q are the
couplings, w the weights, x the features, m the messages, and G the gradient of the energy with
respect to m.

The coefficients C are applied to the harmonics first, because the harmonics have no channels. The
sum over neighbours j and components n is then one matrix product per atom and path. `message_sums`
is this sum with hand-written first and second derivatives. The sum is linear in each of Q, w and x,
so all derivatives are sums of the same few products.

The products are made for one group of receivers after another (`neighbourhoods.Group`), so that the
product w x of all edges is never in memory at once. Within a group, w x has the axes [path,
receiver, component, slot, channel], where a slot is the place of one neighbour. In this order the
matrix products sum over components and slots together, and elementwise operations run over slots
and channels without gaps in memory.
"""

from pestle.foundations.messages.neighbourhoods import Neighbourhoods, neighbourhoods
from pestle.foundations.messages.paths import Path, Paths
from pestle.foundations.messages.sums import message_sums

__all__ = ["Neighbourhoods", "Path", "Paths", "message_sums", "neighbourhoods"]
