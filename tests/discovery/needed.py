"""Networks that people bring: on graphs, with cells, stacked weights, lookups, transforms."""

import torch
import torch.nn.functional as F
import torch.nn.utils as U
from discovery.function import Function
from torch import nn
from torch.nn.utils import parametrizations as P

EDGES = torch.tensor([[0, 1, 2, 3, 1], [1, 2, 3, 0, 3]])


def gcn(m, x, edges):
    h = m.a(x)
    return m.b(F.relu(torch.zeros_like(h).index_add(0, edges[1], h[edges[0]])))


def sage(m, x, edges):
    h = F.relu(m.a(x))
    to = edges[1][:, None].expand(-1, h.shape[1])
    mean = torch.zeros_like(h).scatter_reduce(0, to, h[edges[0]], "mean", include_self=False)
    return m.b(torch.cat([h, mean], 1))


def gin(m, x, edges):
    h = m.a(x)
    to = edges[1][:, None].expand(-1, h.shape[1])
    return m.c(F.relu(m.b((1 + m.eps) * h + torch.zeros_like(h).scatter_add(0, to, h[edges[0]]))))


def gat(m, x, edges):
    h = m.a(x).view(-1, 2, 4)
    source, target = (h * m.source).sum(-1), (h * m.target).sum(-1)
    score = F.leaky_relu(source[edges[0]] + target[edges[1]], 0.2).exp()
    total = torch.zeros_like(source).index_add(0, edges[1], score)
    weight = score / (total[edges[1]] + 1e-9)
    out = torch.zeros_like(h).index_add(0, edges[1], h[edges[0]] * weight[:, :, None])
    return m.b(F.relu(out.flatten(1)))


def adjacency(m, x, a):
    return m.b(F.relu(torch.sparse.mm(a.to_sparse(), m.a(x))))


def cell(m, x):
    h = c = x.new_zeros(x.shape[0], 5)
    for t in range(x.shape[1]):
        if isinstance(m.cell, nn.LSTMCell):
            h, c = m.cell(x[:, t], (h, c))
        else:
            h = m.cell(x[:, t], h)
    return m.out(h)


def unrolled(m, x):
    h = x.new_zeros(x.shape[0], 5)
    for t in range(x.shape[1]):
        h = torch.tanh(m.i(x[:, t]) + m.u(h))
    return m.out(h)


def rotary(m, x):
    pairs = (*x.shape[:2], 2, 2, 2)
    q, k = (torch.view_as_complex(layer(x).view(pairs)) for layer in (m.q, m.k))
    angle = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * x.new_tensor([1.0, 0.1])
    turn = torch.polar(torch.ones_like(angle), angle)[None, :, None]
    q, k = (torch.view_as_real(z * turn).flatten(3) for z in (q, k))
    weight = torch.einsum("bqhd,bkhd->bhqk", q, k).softmax(-1)
    v = m.v(x).view(*x.shape[:2], 2, 4)
    return m.o(torch.einsum("bhqk,bkhd->bqhd", weight, v).flatten(2))


def deformable(m, x):
    offsets = torch.tanh(m.offsets(x)).permute(0, 2, 3, 1)
    rows, columns = (torch.linspace(-1, 1, n, dtype=x.dtype) for n in x.shape[2:])
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1) + 0.1 * offsets
    return m.out(F.relu(F.grid_sample(m.a(x), grid, align_corners=True))).mean((2, 3))


def unpooled(m, x):
    h, where = F.max_pool2d(F.relu(m.a(x)), 2, return_indices=True)
    return m.b(F.max_unpool2d(h, where, 2))


def experts(m, x):
    h = F.relu(torch.einsum("nik,bi->nbk", m.up, x))
    return (torch.einsum("nko,nbk->nbo", m.down, h) * m.gate(x).softmax(-1).t()[:, :, None]).sum(0)


def ensemble(m, x):
    h = F.relu(torch.bmm(x.expand(3, -1, -1), m.w) + m.b[:, None])
    return torch.bmm(F.relu(torch.bmm(h, m.u) + m.c[:, None]), m.v).mean(0)


def members(m, x):
    h = F.relu(torch.baddbmm(m.b, x.expand(3, -1, -1), m.w))
    return torch.bmm(h, m.v).transpose(0, 1)


def mapped(m, x):
    weights = {"0.weight": m.w, "0.bias": m.b, "2.weight": m.v, "2.bias": m.c}

    def one(params, x):
        return torch.func.functional_call(m.skeleton[0], params, (x,))

    return torch.vmap(one, (0, None))(weights, x).mean(0)


def heads(m, x):
    q, k, v = (torch.einsum("bti,hid->bhtd", x, w) for w in (m.q, m.k, m.v))
    return torch.einsum("bhtd,hdo->bto", (q @ k.mT).softmax(-1) @ v, m.o)


def operator(m, x):
    z = torch.fft.rfft(m.up(x), dim=1)
    z = torch.einsum(
        "bti,tio->bto", z, torch.complex(m.real[: z.shape[1]], m.imaginary[: z.shape[1]])
    )
    return m.out(F.relu(torch.fft.irfft(z, n=x.shape[1], dim=1) + m.skip(x)))


def flow(m, x):
    h = m.i(x)
    for k in range(3):
        h = h + 0.1 * m.b(torch.tanh(m.a(torch.cat([h, torch.full_like(h[..., :1], 0.1 * k)], -1))))
    return m.out(h)


def gated(m, x):
    h, total = m.i(x[..., :1]), 0
    for tanh, gate, back, skip in (m.one, m.two):
        z = torch.tanh(tanh(h)) * gate(h).sigmoid()
        h, total = h + back(z), total + skip(z)
    return m.out(F.relu(total))


def modulated(m, x):
    style = m.style(x.mean((2, 3)))
    weight = (m.w * style[:, None, :, None, None]).flatten(0, 1)
    h = F.conv2d(x.flatten(0, 1)[None], weight, padding=1, groups=len(x))
    return m.out(F.relu(h.view(len(x), -1, *x.shape[2:])))


def normed(m, x):
    q, k, v = m.qkv(x).view(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
    weight = (m.q_norm(q) @ m.k_norm(k).mT).softmax(-1)
    return m.o((weight @ v).transpose(1, 2).flatten(2))


def leaky(m, x):
    h = m.a(x)
    return m.b(torch.where(h > 0, h, 0.1 * h))


def gates(stream, units, read):
    shapes = ((stream, units), (stream, units), (units, stream), (units, read))
    return nn.ModuleList(L(*shape) for shape in shapes)


def updated(m, x):
    h = m.a(x)
    h[h < 0] *= 0.1
    h[h > 1] = h[h > 1].clamp(max=0) + h[h > 1]
    return m.b(h)


def small(*shape):
    return nn.Parameter(torch.randn(shape) * 0.5)


L, IMAGE = nn.Linear, (torch.randn(2, 3, 6, 6),)
ROWS, STEPS, GRAPH = (torch.randn(4, 3),), (torch.randn(2, 4, 3),), (torch.randn(4, 3), EDGES)
SKELETON = [nn.Sequential(L(3, 8), nn.ReLU(), L(8, 2))]
# What is found, written down by hand: size, copies and first letters of the actions of all spaces.
NEEDED = {
    "GCN": (lambda: Function(gcn, a=L(3, 5), b=L(5, 2)), GRAPH, [(5, 1, "pr")]),
    "GraphSAGE": (lambda: Function(sage, a=L(3, 5), b=L(10, 2)), GRAPH, [(5, 1, "pr")]),
    "GIN": (
        lambda: Function(gin, a=L(3, 5), b=L(5, 6), c=L(6, 2), eps=nn.Parameter(torch.tensor(0.1))),
        GRAPH, [(5, 1, "mp"), (6, 1, "pr")],
    ),
    "GAT": (
        lambda: Function(gat, a=L(3, 8), source=small(2, 4), target=small(2, 4), b=L(8, 2)),
        GRAPH, [(2, 1, "p"), (4, 2, "pr")],
    ),
    "sparse product": (
        lambda: Function(adjacency, a=L(3, 5), b=L(5, 2)), (*ROWS, torch.rand(4, 4)), [(5, 1, "pr")],
    ),
    "tensordot": (
        lambda: Function(
            lambda m, x: m.b(F.relu(torch.tensordot(x, m.w, dims=([1], [0])))),
            w=small(3, 5), b=L(5, 2),
        ),
        ROWS, [(5, 1, "pr")],
    ),
    "EmbeddingBag": (
        lambda: nn.Sequential(nn.EmbeddingBag(10, 6), L(6, 5), nn.ReLU(), L(5, 2)),
        (torch.randint(10, (4, 3)),), [(5, 1, "pr"), (6, 1, "mp")],
    ),
    "LSTMCell": (lambda: Function(cell, cell=nn.LSTMCell(3, 5), out=L(5, 2)), STEPS, [(5, 1, "fps")]),
    "GRUCell": (lambda: Function(cell, cell=nn.GRUCell(3, 5), out=L(5, 2)), STEPS, [(5, 1, "fps")]),
    "RNNCell": (lambda: Function(cell, cell=nn.RNNCell(3, 5), out=L(5, 2)), STEPS, [(5, 1, "fps")]),
    "unrolled": (
        lambda: Function(unrolled, i=L(3, 5), u=L(5, 5), out=L(5, 2)), STEPS, [(5, 1, "fps")],
    ),
    "deformable": (
        lambda: Function(
            deformable, a=nn.Conv2d(3, 5, 3, padding=1), offsets=nn.Conv2d(3, 2, 3, padding=1),
            out=nn.Conv2d(5, 2, 1),
        ),
        IMAGE, [(5, 1, "pr")],
    ),
    "max_unpool": (
        lambda: Function(unpooled, a=nn.Conv2d(3, 5, 3, padding=1), b=nn.Conv2d(5, 2, 1)),
        IMAGE, [(5, 1, "pr")],
    ),
    "PixelUnshuffle": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.ReLU(), nn.PixelUnshuffle(2), nn.Conv2d(16, 2, 1)
        ),
        IMAGE, [(4, 1, "pr")],
    ),
    "complex rotary": (
        lambda: Function(rotary, q=L(8, 8), k=L(8, 8), v=L(8, 8), o=L(8, 8)),
        (torch.randn(2, 3, 8),), [(2, 1, "p"), (2, 2, "pr"), (4, 2, "mp")],
    ),
    "norms on queries and keys": (
        lambda: Function(normed, qkv=L(8, 24), q_norm=nn.LayerNorm(4), k_norm=nn.LayerNorm(4), o=L(8, 8)),
        (torch.randn(2, 3, 8),), [(2, 1, "p"), (4, 1, "fprs"), (4, 2, "mps")],
    ),
    "spectral norm": (
        lambda: nn.Sequential(P.spectral_norm(L(3, 5)), nn.ReLU(), L(5, 2)), ROWS,
        [(5, 1, "p"), (1, 1, "fr")],
    ),
    "spectral norm, old": (
        lambda: nn.Sequential(U.spectral_norm(L(3, 5)), nn.ReLU(), L(5, 2)), ROWS,
        [(5, 1, "p"), (1, 1, "fr")],
    ),
    "weight norm": (
        lambda: nn.Sequential(P.weight_norm(L(3, 5)), nn.ReLU(), L(5, 2)), ROWS, [(5, 1, "fpr")],
    ),
    "leaky by hand": (lambda: Function(leaky, a=L(3, 5), b=L(5, 2)), ROWS, [(5, 1, "pr")]),
    "masks by hand": (lambda: Function(updated, a=L(3, 5), b=L(5, 2)), ROWS, [(5, 1, "p")]),
    "relu by hand": (
        lambda: Function(lambda m, x: m.b((m.a(x) > 0) * m.a(x)), a=L(3, 5), b=L(5, 2)),
        ROWS, [(5, 1, "pr")],
    ),
    "sorted channels": (
        lambda: Function(lambda m, x: m.b(m.a(x).sort(-1)[0]), a=L(3, 5), b=L(5, 2)),
        ROWS, [(5, 1, "p"), (1, 1, "r")],
    ),
    "top channels": (
        lambda: Function(lambda m, x: m.b(m.a(x).topk(3, -1)[0]), a=L(3, 5), b=L(3, 2)),
        ROWS, [(5, 1, "p"), (1, 1, "r")],
    ),
    "Fourier mixing": (
        lambda: Function(
            lambda m, x: m.b(F.relu(m.a(torch.fft.fft2(x).real))), a=L(3, 5), b=L(5, 2)
        ),
        STEPS, [(5, 1, "pr")],
    ),
    "stacked experts": (
        lambda: Function(experts, up=small(3, 3, 5), down=small(3, 5, 2), gate=L(3, 3)),
        ROWS, [(1, 1, "s"), (3, 1, "p"), (3, 1, "s"), (5, 3, "pr")],
    ),
    "ensemble": (
        lambda: Function(
            ensemble, w=small(3, 3, 5), b=small(3, 5), u=small(3, 5, 6), c=small(3, 6),
            v=small(3, 6, 2),
        ),
        ROWS, [(3, 1, "p"), (5, 3, "pr"), (6, 3, "pr")],
    ),
    "ensemble, all outputs": (
        lambda: Function(members, w=small(3, 3, 5), b=small(3, 1, 5), v=small(3, 5, 2)),
        ROWS, [(5, 1, "pr")] * 3,
    ),
    "Fourier operator": (
        lambda: Function(
            operator, up=L(3, 4), real=small(3, 4, 5), imaginary=small(3, 4, 5), skip=L(3, 5), out=L(5, 2),
        ),
        STEPS, [(4, 1, "mp"), (5, 1, "pr")],
    ),
    "images from vectors": (
        lambda: nn.Sequential(
            L(3, 36), nn.ReLU(), nn.Unflatten(1, (4, 3, 3)), nn.ConvTranspose2d(4, 2, 2)
        ),
        ROWS, [(4, 1, "pr")],
    ),
    "steps from vectors": (
        lambda: Function(
            lambda m, x: m.out(m.gru(F.relu(m.a(x)).view(-1, 4, 5).transpose(0, 1))[1][0]),
            a=L(3, 20), gru=nn.GRU(5, 3), out=L(3, 2),
        ),
        ROWS, [(3, 1, "fps"), (5, 1, "pr")],
    ),
    "factors of a matrix": (
        lambda: Function(
            lambda m, i, j: (m.a(i) * m.b(j)).sum(-1), a=nn.Embedding(9, 4), b=nn.Embedding(8, 4)
        ),
        (torch.randint(9, (5,)), torch.randint(8, (5,))), [(4, 1, "mp")],
    ),
    "time beside units": (
        lambda: Function(flow, i=L(3, 4), a=L(5, 6), b=L(6, 4), out=L(4, 2)),
        ROWS, [(4, 1, "mps"), (6, 1, "fp")],
    ),
    "gated stack": (
        lambda: Function(gated, i=L(1, 4), one=gates(4, 5, 6), two=gates(4, 5, 6), out=L(6, 2)),
        STEPS, [(4, 1, "mps"), (5, 1, "fp"), (5, 1, "fp"), (6, 1, "prs")],
    ),
    "modulated convolution": (
        lambda: Function(modulated, style=L(3, 3), w=small(5, 3, 3, 3), out=nn.Conv2d(5, 2, 1)),
        IMAGE, [(5, 1, "pr"), (3, 1, "fr")],
    ),
    "vmap": (
        lambda: Function(
            mapped, w=small(3, 8, 3), b=small(3, 8), v=small(3, 2, 8), c=small(3, 2),
            skeleton=SKELETON,
        ),
        ROWS, [(3, 1, "p"), (8, 3, "pr")],
    ),
    "stacked heads": (
        lambda: Function(heads, q=small(2, 8, 4), k=small(2, 8, 4), v=small(2, 8, 4), o=small(2, 4, 8)),
        (torch.randn(2, 3, 8),), [(2, 1, "p"), (4, 2, "mp"), (4, 2, "mp")],
    ),
}  # fmt: skip
