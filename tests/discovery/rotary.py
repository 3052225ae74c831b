"""Attention with rotary embeddings, written in as many ways as there are."""

import torch
from torch import nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention

HEAD = 4


def angles(positions, size=HEAD):
    """(..., size / 2) angles at integer positions."""
    rates = 10.0 ** -torch.arange(0.0, 2, 4 / size)
    return positions[..., None] * rates


def half_split(x, at):
    """Turns entry i with entry i + size / 2."""
    cos, sin = at.cos().repeat(1, 2), at.sin().repeat(1, 2)
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def interleaved(x, at):
    """Turns entry 2 i with entry 2 i + 1."""
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * at.cos() - b * at.sin(), a * at.sin() + b * at.cos()], -1).flatten(-2)


def complex_product(x, at):
    """Multiplies pairs by exp(i angle)."""
    z = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(z * torch.polar(torch.ones_like(at), at)).flatten(-2)


def written(x, at):
    """Writes the two halves into an empty tensor."""
    out = torch.empty_like(x)
    n = x.shape[-1] // 2
    out[..., :n] = x[..., :n] * at.cos() - x[..., n:] * at.sin()
    out[..., n:] = x[..., n:] * at.cos() + x[..., :n] * at.sin()
    return out


def partial(x, at):
    """Turns the first half of the entries only."""
    n = x.shape[-1] // 2
    return torch.cat([half_split(x[..., :n], at[..., : n // 2]), x[..., n:]], -1)


def none(x, at):
    """Turns nothing."""
    return x


def swapped(x, at):
    """Turns the other way round, as imaginary parts come first."""
    return half_split(x.roll(x.shape[-1] // 2, -1), at)


def uneven(x, at):
    """No rotation: the two entries of a pair have other angles."""
    cos, sin = (f(torch.cat([at, 2 * at], -1)) for f in (torch.cos, torch.sin))
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def bent(x, at):
    """No linear map."""
    return half_split(x, at).tanh()


def measured(x, at):
    """Divides by the length afterwards, which phases keep."""
    y = complex_product(x, at)
    return y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 0.1)


def normed(x, at):
    """The same by a norm, and around another way of turning."""
    return rms_norm(half_split(rms_norm(x, x.shape[-1:], eps=0.1), at), x.shape[-1:], eps=0.2)


def measured_in_part(x, at):
    """Divides by what the first entry of the first pair has: the second pair turns alone."""
    y = half_split(x, at)
    return y / (1 + torch.linalg.vector_norm(y[..., :1], dim=-1, keepdim=True))


class Attention(nn.Module):
    """Two layers around attention with rotary embeddings.

    `turn` is one of the functions above; `keys` how many of the heads keys have; `fused` whether
    one projection writes queries, keys and values; `gains` whether norms with gains stand between.
    """

    def __init__(
        self, turn, heads=2, keys=1, width=6, bias=False, fused=False, gains=False, matmul=False,
        positions=None, turn_keys=None,
    ):  # fmt: skip
        super().__init__()
        self.turn, self.turn_keys = turn, turn_keys or turn
        self.heads, self.keys, self.fused, self.matmul = heads, keys, fused, matmul
        sizes = [HEAD * heads, HEAD * keys, HEAD * keys]
        self.sizes = sizes
        if fused:
            self.qkv = nn.Linear(width, sum(sizes), bias=bias)
        else:
            self.q, self.k, self.v = (nn.Linear(width, n, bias=bias) for n in sizes)
        self.o = nn.Linear(HEAD * heads, width, bias=False)
        self.q_norm, self.k_norm = (
            (nn.RMSNorm(HEAD), nn.RMSNorm(HEAD)) if gains else (nn.Identity(), nn.Identity())
        )
        if positions is not None:
            self.register_buffer("positions", positions)

    def forward(self, x, positions=None):
        if hasattr(self, "positions"):
            positions = self.positions[: x.shape[1]]
        if positions is None:
            positions = torch.arange(x.shape[1])
        parts = (
            self.qkv(x).split(self.sizes, -1) if self.fused else (self.q(x), self.k(x), self.v(x))
        )
        q, k, v = (p.unflatten(-1, (-1, HEAD)).transpose(1, 2) for p in parts)
        at = angles(positions)
        q, k = self.turn(self.q_norm(q), at), self.turn_keys(self.k_norm(k), at)
        k, v = (y.repeat_interleave(self.heads // self.keys, 1) for y in (k, v))
        if self.matmul:
            y = (q @ k.transpose(2, 3) / 2).softmax(-1) @ v
        else:
            y = scaled_dot_product_attention(q, k, v)
        return self.o(y.transpose(1, 2).flatten(2))
