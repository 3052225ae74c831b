import torch
from discovery.function import Function
from discovery.written import facts
from torch import nn

import toroids as td


def test_a_token_stands_beside_those_of_an_image_whose_rows_and_columns_have_angles():
    """Places of rows with features, and of columns with features, overlap where both are one axis."""

    def forward(m, x):
        lines = (torch.arange(float(n)) for n in x.shape[1:3])
        grid = torch.stack(torch.meshgrid(*lines, indexing="ij"), -1).flatten(0, 1)
        waves = (grid[:, :, None] * m.speeds).flatten(1).repeat(1, 2).cos()
        tokens = m.a(x).flatten(1, 2).unflatten(-1, (2, 8)) * waves[:, None]
        tokens = torch.cat([m.first.expand(len(x), 1, 2, 8), tokens], 1)
        return m.o(tokens.tanh().flatten(2)).sum(1)

    parts = {"first": nn.Parameter(torch.randn(2, 8)), "speeds": torch.tensor([1.0, 0.3])}
    model = Function(forward, a=nn.Linear(3, 16), o=nn.Linear(16, 3), **parts)
    group = td.discover(model.eval(), torch.randn(2, 4, 5, 3))
    assert facts(group) == [(2, 1, "p"), (4, 2, "fp"), (4, 2, "fp")]


def test_heads_side_by_side_keep_the_scales_that_each_has_by_itself():
    """What a product of matrices gives has places of heads, and of heads with features."""

    def forward(m, x):
        q, k, v = (f(x).unflatten(1, (2, 4)) for f in (m.q, m.k, m.v))
        memory = k[..., None] * v[:, :, None]
        read = [(each[:, :, None] @ memory).squeeze(2) for each in (q, q.tanh())]
        return m.o(m.norm(torch.stack(read, 1).flatten(0, 1).flatten(1)))

    parts = {name: nn.Linear(3, 8, bias=False) for name in "qkv"}
    model = Function(forward, norm=nn.GroupNorm(2, 8), o=nn.Linear(8, 2), **parts)
    group = td.discover(model, torch.randn(5, 3))
    # keys take back what values have, head by head
    assert facts(group) == [(2, 1, "fpr"), (4, 2, "fp"), (4, 2, "fprs")]
