"""Symmetries that are known and not granted: that docs/trust.md says of them what is true."""

import torch
from torch.nn.functional import layer_norm

UNITS = 6
ONES = torch.ones(UNITS, 1, dtype=torch.float64)


def _draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def _spectrum(basis, gain):
    """Of the gains between vectors without a mean."""
    return torch.linalg.eigh(basis.T @ (gain[:, None] * basis))


def _of_equal_spectrum(basis, gain):
    """Other gains with the same eigenvalues: a walk along these, and Newton's steps back."""
    values = _spectrum(basis, gain)[0]
    for _ in range(10):
        slopes = (basis @ _spectrum(basis, gain)[1]).square().T
        gain = gain + torch.linalg.svd(slopes)[2][-1] / 50
        for _ in range(5):
            now, vectors = _spectrum(basis, gain)
            back = torch.linalg.pinv((basis @ vectors).square().T)
            gain = gain - back @ (now - values)
    return gain


def _network(x, write, gain, bias, read, up):
    """A stream behind the gain of a layer norm, with one more layer on it."""
    stream = layer_norm(x @ write.T, (UNITS,)) * gain + bias
    inside = torch.tanh(layer_norm(stream, (UNITS,)) @ read.T)
    return layer_norm(stream + inside @ up.T, (UNITS,)) @ read.T


def test_gains_of_a_layer_norm_on_a_stream_change_along_their_spectrum():
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.cat([ONES, _draw(UNITS, UNITS - 1)], 1))[0][:, 1:]
    x, write, gain, bias = _draw(20, 4), _draw(UNITS, 4), _draw(UNITS), _draw(UNITS)
    read, up = _draw(3, UNITS), _draw(UNITS, 3)
    moved = _of_equal_spectrum(basis, gain)
    before, after = (_spectrum(basis, g)[1] for g in (gain, moved))
    after = after * (after * before).sum(dim=0).sign()
    turn = basis @ after @ before.T @ basis.T + ONES @ ONES.T / UNITS
    assert (gain - moved).abs().max() > 0.01

    one = _network(x, write, gain, bias, read, up)
    turned = turn @ (write - write.mean(dim=0)), moved, turn @ bias, read @ turn.T, turn @ up
    torch.testing.assert_close(_network(x, *turned), one, atol=1e-10, rtol=0)
    # the gains as they were do not go with the turned stream
    wrong = turned[0], gain, *turned[2:]
    assert (_network(x, *wrong) - one).abs().max() > 1e-3
