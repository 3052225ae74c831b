"""Small networks of every kind, with the spaces that discovery must find, written down by hand."""

import functools

import pytest
import torch
import torch.nn.functional as F
from discovery.function import Function
from torch import nn

from toroids.discovery.discover import group_of
from toroids.discovery.tracing.explore import explore

torch.manual_seed(0)


def unsettled(model):
    """Batch-norm statistics away from their initial values, no zero biases, no unit gains."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point():
                tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator))
    return model


def facts(group):
    """What is written down by hand: size, copies, actions of every space."""
    return sorted(
        (s.size, s.copies, "".join(sorted(a[0] for a in s.actions))) for s in group.spaces
    )


def conv_flatten_linear():
    layers = (nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 64, 5))
    return nn.Sequential(*layers), torch.randn(2, 3, 8, 8)


def linear_used_twice():
    def forward(m, x):
        return m.o(F.relu(m.l(F.relu(m.l(F.relu(m.a(x)))))))

    return Function(forward, a=nn.Linear(4, 8), l=nn.Linear(8, 8), o=nn.Linear(8, 3)), torch.randn(
        2, 4
    )


def depthwise_group_norm():
    layers = (
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.GroupNorm(2, 8),
        nn.ReLU(), nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 16, 3),
    )  # fmt: skip
    return nn.Sequential(*layers), torch.randn(2, 3, 6, 6)


def grouped_convolution():
    layers = (
        nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(12 * 9, 3),
    )  # fmt: skip
    return nn.Sequential(*layers), torch.randn(2, 3, 5, 5)


def batch_norm():
    layers = (
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2, padding=1),
        nn.Flatten(), nn.Linear(6 * 9, 3),
    )  # fmt: skip
    return nn.Sequential(*layers), torch.randn(2, 3, 6, 6)


def bounded(activation):
    def build():
        return nn.Sequential(nn.Linear(4, 6), activation, nn.Linear(6, 2)), torch.randn(3, 4)

    return build


def prelu():
    return nn.Sequential(nn.Linear(4, 6), nn.PReLU(6), nn.Linear(6, 2)), torch.randn(3, 4)


def accidental_widths():
    layers = (nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5))
    return nn.Sequential(*layers), torch.randn(5, 5)


def width_one():
    return nn.Sequential(nn.Linear(4, 1), nn.ReLU(), nn.Linear(1, 3)), torch.randn(2, 4)


def zero_padded_residual():
    def forward(m, x):
        h = F.relu(m.a(x))
        h = F.pad(h[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) + m.b(h)
        return m.o(F.relu(h).mean((2, 3)))

    model = Function(
        forward, a=nn.Conv2d(3, 4, 1), b=nn.Conv2d(4, 8, 3, stride=2, padding=1), o=nn.Linear(8, 3)
    )
    return model, torch.randn(2, 3, 6, 6)


def unread_unit():
    def forward(m, x):
        return m.o(F.relu(m.a(x))[:, :5])

    return Function(forward, a=nn.Linear(4, 8), o=nn.Linear(5, 3)), torch.randn(2, 4)


def fused_attention():
    def forward(m, x):
        b, n, e = x.shape
        q, k, v = m.qkv(x).reshape(b, n, 3, 2, e // 2).permute(2, 0, 3, 1, 4).unbind(0)
        return m.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, e))

    return Function(forward, qkv=nn.Linear(6, 18), o=nn.Linear(6, 6)), torch.randn(2, 4, 6)


def attention_by_hand():
    def forward(m, x):
        b, n, e = x.shape
        q, k, v = (layer(x).view(b, n, 2, e // 2).transpose(1, 2) for layer in (m.q, m.k, m.v))
        weights = (q @ k.transpose(-2, -1) / 1.5).softmax(-1)
        return m.o((weights @ v).transpose(1, 2).reshape(b, n, e))

    layers = {name: nn.Linear(6, 6) for name in "qkvo"}
    return Function(forward, **layers), torch.randn(2, 4, 6)


def attention_by_einsum():
    def forward(m, x):
        q, k, v = (layer(x).unflatten(-1, (2, 3)) for layer in (m.q, m.k, m.v))
        weights = torch.einsum("bshd,bthd->bhst", q, k).softmax(-1)
        return m.o(torch.einsum("bhst,bthd->bshd", weights, v).flatten(2))

    layers = {name: nn.Linear(6, 6) for name in "qkvo"}
    return Function(forward, **layers), torch.randn(2, 4, 6)


def grouped_query_attention():
    def forward(m, x):
        b, n, _ = x.shape
        q = m.q(x).view(b, n, 4, 3).transpose(1, 2)
        k, v = (layer(x).view(b, n, 2, 3).transpose(1, 2) for layer in (m.k, m.v))
        out = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return m.o(out.transpose(1, 2).reshape(b, n, 12))

    layers = dict(q=nn.Linear(5, 12), k=nn.Linear(5, 6), v=nn.Linear(5, 6), o=nn.Linear(12, 5))
    return Function(forward, **layers), torch.randn(2, 4, 5)


def multihead_attention():
    model = nn.MultiheadAttention(6, 2, batch_first=True)
    x = torch.randn(2, 4, 6)
    return Function(lambda m, x: m.a(x, x, x, need_weights=False)[0], a=model), x


def gated_unit():
    def forward(m, x):
        gate, up = m.both(x).chunk(2, -1)
        return m.down(F.silu(gate) * up)

    return Function(forward, both=nn.Linear(4, 12), down=nn.Linear(6, 4)), torch.randn(3, 4)


def squeeze_excite():
    def forward(m, x):
        h = F.relu(m.a(x))
        return m.o(
            (h * torch.sigmoid(m.up(F.relu(m.down(h.mean((2, 3), keepdim=True)))))).flatten(1)
        )

    layers = dict(
        a=nn.Conv2d(3, 6, 1), down=nn.Conv2d(6, 2, 1), up=nn.Conv2d(2, 6, 1), o=nn.Linear(24, 3)
    )
    return Function(forward, **layers), torch.randn(2, 3, 2, 2)


def channel_shuffle():
    def forward(m, x):
        h = F.relu(m.a(x))
        left, right = h.chunk(2, 1)
        h = torch.cat([left, F.relu(m.b(right))], 1)
        b, c, *space = h.shape
        h = h.view(b, 2, c // 2, *space).transpose(1, 2).reshape(b, c, *space)
        return m.o(h.mean((2, 3)))

    layers = dict(a=nn.Conv2d(3, 8, 1), b=nn.Conv2d(4, 4, 1), o=nn.Linear(8, 3))
    return Function(forward, **layers), torch.randn(2, 3, 4, 4)


def concatenation():
    def forward(m, x):
        a = F.relu(m.a(x))
        return m.o(torch.cat([a, F.relu(m.b(a))], -1))

    layers = dict(a=nn.Linear(4, 5), b=nn.Linear(5, 3), o=nn.Linear(8, 2))
    return Function(forward, **layers), torch.randn(3, 4)


def single_units_side_by_side():
    def forward(m, x):
        return m.o(F.relu(torch.cat([m.a(x), m.b(x)], -1)))

    layers = dict(a=nn.Linear(4, 1), b=nn.Linear(4, 1), o=nn.Linear(2, 3))
    return Function(forward, **layers), torch.randn(9, 4)


def single_outputs_side_by_side():
    def forward(m, x):
        h = F.relu(m.a(x))
        return torch.cat([m.b(h), m.c(h), -m.c(h)], -1)

    layers = dict(a=nn.Linear(4, 5), b=nn.Linear(5, 1), c=nn.Linear(5, 1))
    return Function(forward, **layers), torch.randn(9, 4)


def gates_of_blocks():
    """Rows and columns of every block are the same units, as in gated linear recurrences."""

    def forward(m, x):
        h = m.a(x)
        gate = torch.baddbmm(m.b[:, None], h.reshape(-1, 2, 4).permute(1, 0, 2), m.w)
        return m.o(h * gate.transpose(0, 1).reshape(h.shape).sigmoid())

    blocks = {n: nn.Parameter(torch.randn(2, 4, *k)) for n, k in (("w", (4,)), ("b", ()))}
    return Function(forward, a=nn.Linear(3, 8), o=nn.Linear(8, 3), **blocks), torch.randn(2, 3)


def part_added_to_part():
    def forward(m, x):
        first, second = F.relu(m.a(x)).chunk(2, -1)
        return m.o(torch.cat([first, second, second + F.relu(m.b(second))], -1))

    layers = dict(a=nn.Linear(4, 6), b=nn.Linear(3, 3), o=nn.Linear(9, 2))
    return Function(forward, **layers), torch.randn(3, 4)


def coupled_softmax():
    def forward(m, x):
        return m.o(m.a(x).view(-1, 4, 6).softmax(1).flatten(1))

    return Function(forward, a=nn.Linear(3, 24), o=nn.Linear(24, 2)), torch.randn(2, 3)


def in_place_on_a_part():
    def forward(m, x):
        h = m.a(x).relu_()
        h[:, 2:6] += 1
        return m.o(h)

    return Function(forward, a=nn.Linear(4, 8), o=nn.Linear(8, 3)), torch.randn(2, 4)


def residual_layer_norm():
    def forward(m, x):
        x = m.e(x)
        x = x + m.down(F.gelu(m.up(m.n(x))))
        return m.o(m.last(x))

    layers = dict(
        e=nn.Linear(3, 5), n=nn.LayerNorm(5), up=nn.Linear(5, 7), down=nn.Linear(7, 5),
        last=nn.LayerNorm(5), o=nn.Linear(5, 2),
    )  # fmt: skip
    return Function(forward, **layers), torch.randn(4, 3)


def tied_embedding():
    def forward(m, ids):
        x = m.e(ids)
        return {"logits": m.h(x + m.down(F.relu(m.up(x))))}

    model = Function(
        forward, e=nn.Embedding(9, 5), up=nn.Linear(5, 7), down=nn.Linear(7, 5), h=nn.Linear(5, 9)
    )
    model.h.weight = model.e.weight
    return model, torch.randint(0, 9, (2, 4))


def recurrent(kind):
    def build():
        def forward(m, x):
            return m.o(m.r(x)[0][-1])

        layers = dict(r=kind(3, 5, num_layers=2), o=nn.Linear(5, 2))
        return Function(forward, **layers), torch.randn(4, 2, 3)

    return build


def transposed_convolution():
    layers = (
        nn.Conv2d(3, 5, 3), nn.ReLU(), nn.ConvTranspose2d(5, 4, 2, stride=2), nn.ReLU(),
        nn.AvgPool2d(2), nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    return nn.Sequential(*layers), torch.randn(2, 3, 6, 6)


class SingleGain(nn.Module):
    """A residual branch behind one learned number."""

    def __init__(self, shape=()):
        super().__init__()
        self.gain = nn.Parameter(torch.full(shape, 0.5))
        self.inner, self.outer = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.outer(torch.tanh(x + self.gain * self.inner(x)))


def single_gain():
    return SingleGain(), torch.randn(5, 4)


def weight_norm():
    layers = (
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 6)), nn.ReLU(),
        nn.utils.parametrizations.weight_norm(nn.Linear(6, 2)),
    )  # fmt: skip
    return nn.Sequential(*layers), torch.randn(3, 4)


def padded_before_norm(pad):
    def build():
        layers = (
            nn.Conv2d(3, 4, 1), pad, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2),
        )  # fmt: skip
        model, inputs = nn.Sequential(*layers), torch.randn(2, 3, 3, 3)
        model(inputs)
        return model, inputs

    return build


def standardised_weights():
    def forward(m, x):
        flat = m.b.weight.reshape(1, 6, -1)
        weight = F.batch_norm(flat, None, None, training=True).view_as(m.b.weight)
        return m.o(F.relu(F.conv2d(F.relu(m.a(x)), weight)).flatten(1))

    layers = dict(a=nn.Conv2d(3, 5, 1), b=nn.Conv2d(5, 6, 2), o=nn.Linear(24, 2))
    return Function(forward, **layers), torch.randn(2, 3, 3, 3)


def dead_end():
    """What no rule knows pins what it touches, and only that."""

    def forward(m, x):
        return m.o(F.relu(m.b(torch.fft.fft(m.a(x)).real)))

    layers = dict(a=nn.Linear(4, 6), b=nn.Linear(6, 7), o=nn.Linear(7, 3))
    return Function(forward, **layers), torch.randn(2, 4)


# name: (builder, [(size, copies, first letters of the actions)])
EXPECTED = {
    "conv-flatten-linear": (conv_flatten_linear, [(16, 1, "pr")]),
    "linear used twice": (linear_used_twice, [(8, 1, "pr")]),
    "depthwise and group norm": (
        depthwise_group_norm,
        [(2, 1, "p"), (4, 2, "pr"), (12, 1, "pr")],
    ),
    "grouped convolution": (grouped_convolution, [(2, 1, "p"), (4, 2, "pr"), (6, 2, "pr")]),
    "batch norm": (batch_norm, [(6, 1, "fprs")]),
    "relu6": (bounded(nn.ReLU6()), [(6, 1, "p")]),
    "hardswish": (bounded(nn.Hardswish()), [(6, 1, "p")]),
    "gelu": (bounded(nn.GELU()), [(6, 1, "p")]),
    "tanh": (bounded(nn.Tanh()), [(6, 1, "fp")]),
    "hardtanh": (bounded(nn.Hardtanh()), [(6, 1, "fp")]),
    "leaky relu": (bounded(nn.LeakyReLU(0.1)), [(6, 1, "pr")]),
    "identity": (bounded(nn.Identity()), [(6, 1, "mps")]),
    "prelu": (prelu, [(6, 1, "pr")]),
    "accidental widths": (accidental_widths, [(5, 1, "pr"), (5, 1, "pr")]),
    "width one": (width_one, [(1, 1, "r")]),
    "zero-padded residual": (
        zero_padded_residual,
        [(4, 1, "pr"), (4, 1, "pr")],
    ),
    "unit read by nobody": (unread_unit, [(3, 1, "pr"), (5, 1, "pr")]),
    "fused attention": (fused_attention, [(2, 1, "p"), (3, 2, "mps"), (3, 2, "mps")]),
    "attention by hand": (attention_by_hand, [(2, 1, "p"), (3, 2, "mps"), (3, 2, "mps")]),
    "attention by einsum": (attention_by_einsum, [(2, 1, "p"), (3, 2, "mp"), (3, 2, "mps")]),
    "grouped-query attention": (
        grouped_query_attention,
        [(2, 1, "p"), (2, 2, "p"), (3, 2, "mps"), (3, 2, "mps")],
    ),
    "nn.MultiheadAttention": (multihead_attention, [(2, 1, "p"), (3, 2, "mps"), (3, 2, "mps")]),
    "gated unit": (gated_unit, [(6, 1, "fpr")]),
    "squeeze-excite": (squeeze_excite, [(2, 1, "pr"), (6, 1, "pr")]),
    "channel shuffle": (channel_shuffle, [(4, 1, "pr")] * 3),
    "concatenation": (concatenation, [(3, 1, "pr"), (5, 1, "pr")]),
    "single units side by side": (single_units_side_by_side, [(1, 1, "r"), (1, 1, "r")]),
    "single outputs side by side": (single_outputs_side_by_side, [(5, 1, "pr")]),
    "gates of blocks": (gates_of_blocks, [(2, 1, "p"), (4, 2, "fpr")]),
    "part added to part": (part_added_to_part, [(3, 1, "pr"), (3, 1, "pr")]),
    "in-place on a part": (in_place_on_a_part, [(4, 1, "p"), (4, 1, "pr")]),
    "residual layer norm": (residual_layer_norm, [(5, 1, "fprrs"), (7, 1, "p")]),
    "tied embedding": (tied_embedding, [(5, 1, "prs"), (7, 1, "pr")]),  # rotations of the stream
    "lstm": (recurrent(nn.LSTM), [(5, 1, "fps"), (5, 1, "fps")]),
    "gru": (recurrent(nn.GRU), [(5, 1, "fps"), (5, 1, "fps")]),
    "rnn": (recurrent(nn.RNN), [(5, 1, "fps"), (5, 1, "fps")]),
    "transposed convolution": (transposed_convolution, [(4, 1, "pr"), (5, 1, "pr")]),
    # a scale of all gains at once passes the ReLU; of a direction, no scale counts
    "weight norm": (weight_norm, [(6, 1, "fpr"), (2, 1, "fr")]),
    # the two rows, and the two columns, of padding are alike: what reads them may be exchanged
    "zeros around before a norm": (
        padded_before_norm(nn.ZeroPad2d(1)),
        [(2, 1, "p"), (2, 1, "p"), (4, 1, "fpr")],
    ),
    "averages with zeros before a norm": (
        padded_before_norm(nn.AvgPool2d(2, padding=1)),
        [(4, 1, "fpr")],
    ),
    "standardised weights": (standardised_weights, [(5, 1, "p"), (6, 1, "ps"), (1, 1, "r")]),
    "a single gain": (single_gain, [(1, 1, "fr")]),
    "an operator without a rule": (dead_end, [(7, 1, "pr"), (1, 1, "fr")]),
}


# Whatever is tested on one network is tested by one worker, which explores the network once.
NAMES = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in EXPECTED]


def built(name):
    torch.manual_seed(2)
    model, inputs = EXPECTED[name][0]()
    return unsettled(model).eval(), inputs


@functools.cache
def found(name):
    """A network with its inputs, what was explored of it, and the group; looked at, not changed."""
    model, inputs = built(name)
    explored = explore(model, inputs)
    return model, inputs, explored, group_of(explored)
