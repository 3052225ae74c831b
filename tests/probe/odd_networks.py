"""Networks in which units are hard to see: shared, hidden, repeated, or read by themselves."""

import torch
import torch.nn.functional as F
from discovery.function import Function
from torch import nn


def tied_autoencoder():
    def forward(m, x):
        h = torch.tanh(F.linear(torch.tanh(m.a(x)), m.b.weight))
        return m.o(torch.tanh(F.linear(h, m.b.weight.t())))

    return Function(forward, a=nn.Linear(4, 6), b=nn.Linear(6, 8, bias=False), o=nn.Linear(6, 2))


def two_inputs_and_two_parities():
    """One layer read with its sign and without it."""

    def forward(m, x):
        return m.o(torch.cat([torch.tanh(m.a(x)), m.a(x.flip(0)).abs()], -1))

    return Function(forward, a=nn.Linear(4, 6), o=nn.Linear(12, 2))


def gram():
    """The Gram matrix is indexed by the units twice: it must not be taken for observations."""

    def forward(m, x):
        h = m.a(x).unflatten(0, (2, 3))
        return m.o(torch.einsum("bij,ij->bi", h.transpose(1, 2) @ h, m.w.weight))

    return Function(forward, a=nn.Linear(4, 6), w=nn.Linear(6, 6, bias=False), o=nn.Linear(6, 2))


def outer_product():
    def forward(m, x):
        return m.o((F.relu(m.a(x))[:, :, None] * F.relu(m.b(x))[:, None, :]).flatten(1))

    return Function(forward, a=nn.Linear(4, 5), b=nn.Linear(4, 3), o=nn.Linear(15, 2))


def factorised_weight():
    """The inner units are seen in the parameters only."""

    def forward(m, x):
        return m.o(F.relu(F.linear(x, m.u.weight @ m.v.weight)))

    layers = dict(u=nn.Linear(3, 6, bias=False), v=nn.Linear(4, 3, bias=False))
    return Function(forward, **layers, o=nn.Linear(6, 2))


def repeated_channels():
    """Every unit twice, each time with a gain of its own."""

    def forward(m, x):
        h = torch.repeat_interleave(torch.tanh(m.a(x)), 2, -1)
        return m.o(h * torch.tanh(m.g.weight))

    layers = dict(a=nn.Linear(4, 6), g=nn.Linear(12, 1, bias=False), o=nn.Linear(12, 2))
    return Function(forward, **layers)


def in_place():
    def forward(m, x):
        h = m.a(x)
        first = m.b(h)
        h.relu_()
        h += m.c(h)
        return first + m.o(h)

    layers = dict(a=nn.Linear(4, 6), b=nn.Linear(6, 2), c=nn.Linear(6, 6), o=nn.Linear(6, 2))
    return Function(forward, **layers)


def both_ways():
    def forward(m, x):
        h, (last, memory) = m.r(x.view(3, 2, 4))
        return m.o(h.mean(1)) + m.p(last[-1]).mean() + m.p(memory[0]).mean()

    recurrent = nn.LSTM(4, 6, num_layers=3, bidirectional=True)
    return Function(forward, r=recurrent, o=nn.Linear(12, 2), p=nn.Linear(6, 2))


def final_state_only():
    def forward(m, x):
        return m.o(m.r(x.view(3, 2, 4))[1].flatten(1).mean(0))

    return Function(forward, r=nn.GRU(4, 6, num_layers=2, bias=False), o=nn.Linear(12, 2))


def shuffled_before_norm():
    layers = (
        nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 8, 1), nn.ChannelShuffle(4), nn.BatchNorm2d(8),
        nn.Tanh(), nn.Conv2d(8, 4, 1, groups=2), nn.PixelShuffle(2), nn.Flatten(), nn.Linear(4, 2),
    )  # fmt: skip
    return nn.Sequential(*layers)


def normed_heads():
    """Signs of heads' entries and of heads, and values of one space that another one moves."""

    def forward(m, x):
        x = x.view(2, 3, 4)
        q, k, v = (f(x).unflatten(-1, (2, 4)).transpose(1, 2) for f in (m.q, m.k, m.v))
        q, k = (F.rms_norm(h, (4,), m.g.weight[0]) for h in (q, k))
        return m.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    layers = {name: nn.Linear(4, 8) for name in "qkv"}
    return Function(forward, **layers, g=nn.Linear(4, 1, bias=False), o=nn.Linear(8, 4))


ODD = {
    make.__name__.replace("_", " "): make
    for make in (
        tied_autoencoder, two_inputs_and_two_parities, gram, outer_product, factorised_weight,
        repeated_channels, in_place, both_ways, final_state_only, shuffled_before_norm,
        normed_heads,
    )
}  # fmt: skip
