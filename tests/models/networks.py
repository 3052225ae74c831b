"""Every network at small width, with an input's shape and the spaces it must have, by hand.

A space is written as (size, copies, first letters of its actions): permute, rescale, flip, shift,
mix. The rules that they follow from:

- ReLU lets a unit through that is scaled by c > 0 where it is written and by 1 / c where it is
  read; tanh lets a sign through; GELU neither.
- What goes into a batch norm may be scaled and flipped along with its statistics and gain; what
  comes out is a unit of the ReLU that follows.
- What is added has the same units: one space per residual stage. Where the shortcut has a
  norm or a bias of its own, a constant can move from one summand's bias to the other's: a shift.
- A layer norm's input can be permuted only, but its gain and bias are written to what reads them
  (rescale, flip, unless ReLU forbids the sign).
"""

from dataclasses import dataclass
from functools import partial

import toroids as td

m = td.models


@dataclass(frozen=True)
class Network:
    """How to make it (from a seed), one input's shape, outputs, spaces; whether it takes tokens."""

    make: partial
    shape: tuple
    outputs: int
    spaces: list
    tokens: bool = False


def fully_connected(activation, acts, **options):
    make = partial(m.fully_connected, [6, 7, 5, 3], activation=activation, **options)
    return Network(make, (6,), 3, [(7, 1, acts), (5, 1, acts)])


def binary(norm, acts):
    make = partial(m.binary_fully_connected, [6, 7, 5, 3], norm)
    return Network(make, (6,), 3, [(7, 1, acts), (5, 1, acts)])


def binary_convolutional(norm, acts):
    make = partial(m.binary_convolutional, (2, 8, 8), 3, (3, 4), 5, norm)
    return Network(make, (2, 8, 8), 3, [(size, 1, acts) for size in (3, 4, 5)])


def lenet(shape, activation, acts, kernel):
    make = partial(m.lenet, shape, 3, (2, 3, 5, 4), kernel, activation)
    return Network(make, shape, 3, [(size, 1, acts) for size in (2, 3, 5, 4)])


def vgg(depth, batch_norm):
    """A space per convolution and per hidden linear layer; 64 channels are 2."""
    stages = {11: (1, 1, 2, 4), 16: (2, 2, 3, 6)}[depth]
    sizes = [n for n, times in zip((2, 4, 8, 16), stages, strict=True) for _ in range(times)]
    acts = "fpr" if batch_norm else "pr"
    spaces = [(size, 1, acts) for size in sizes] + [(16, 1, "pr")] * 2
    make = partial(m.vgg, depth, 3, width=1 / 32, batch_norm=batch_norm)
    return Network(make, (3, 32, 32), 3, spaces)


def resnet(make, sizes, blocks, norm):
    """Per stage a space within every block and the stream; shortcuts begin all but stage 1."""
    acts = "fpr" if norm == "batch" else "pr"
    spaces = []
    for stage, size in enumerate(sizes):
        spaces += [(size, 1, acts)] * blocks
        spaces.append((size, 1, acts + "s" if stage else acts))
    return Network(partial(make, 3, norm=norm), (3, 8, 8), 3, spaces)


def densenet40():
    """What each layer appends is a space, read by the norms of all after it; so are stem and transitions."""
    spaces = [(2, 1, "fpr")] * 36 + [(4, 1, "fpr"), (4 + 24, 1, "fpr"), (4 + 48, 1, "fpr")]
    return Network(partial(m.densenet40, 3, growth=2, stem=4), (3, 8, 8), 3, spaces)


def vit():
    """The residual stream, which rotates; per encoder two heads, of 3 x 3 matrices between query and key and between value and output, and GELU units.

    A key's bias adds to all scores of a query alike, which softmax does not see: a shift. Biases of
    values and of norms are shifts that later biases absorb.
    """
    encoder = [(2, 1, "p"), (3, 2, "mps"), (3, 2, "mps"), (8, 1, "p")]
    make = partial(m.vit, 3, size=8, dim=6, depth=2, heads=2, hidden=8)
    return Network(make, (3, 8, 8), 3, [(6, 1, "fprrs"), *encoder * 2])


def mlp_mixer():
    """The residual stream; per mixer the GELU units across and within tokens, and a norm's scale.

    Units across look at every channel on its own, so that the stream does not rotate.
    """
    make = partial(m.mlp_mixer, 3, size=8, dim=6, depth=2, across=5, within=9)
    return Network(
        make, (3, 8, 8), 3, [(6, 1, "fprs"), *[(5, 1, "p"), (9, 1, "p"), (1, 1, "fr")] * 2]
    )


def gpt():
    """As of a vision transformer, whose positions are those of tokens."""
    make = partial(m.gpt, 5, 4, dim=6, depth=1, heads=2, hidden=8)
    layer = [(2, 1, "p"), (3, 2, "mps"), (3, 2, "mps"), (8, 1, "p")]
    return Network(make, (4,), 5, [(6, 1, "fprrs"), *layer], tokens=True)


def decoder():
    """The residual stream; two groups of two heads; matrices of values; gated units; pairs."""
    make = partial(m.decoder, 9, dim=8, depth=1, heads=4, groups=2, hidden=5)
    layer = [(2, 1, "p"), (2, 2, "p"), (2, 2, "mp"), (5, 1, "fpr"), (1, 2, "pr")]
    return Network(make, (4,), 9, [(8, 1, "fprr"), *layer], tokens=True)


NETWORKS = {
    "fully connected": fully_connected("relu", "pr"),
    "fully connected, tanh, no bias": fully_connected("tanh", "fp", bias=False),
    "fully connected, gelu": fully_connected("gelu", "p"),
    # The fixed votes allow neither scales nor signs; a tree's units are told apart by their inputs.
    "committee": Network(partial(m.committee, 6, 5), (6,), 2, [(5, 1, "p")]),
    "committee, tanh": Network(
        partial(m.committee, 6, 5, "tanh", bias=False), (6,), 2, [(5, 1, "p")]
    ),
    "tree": Network(partial(m.committee, 6, 3, tree=True), (6,), 2, []),
    # Real inputs may tie; where a network takes their signs first, its units may be flipped.
    "binary perceptron": Network(partial(m.binary_perceptron, 5), (5,), 2, []),
    "binary committee": Network(partial(m.binary_committee, 5, 3), (5,), 2, [(3, 1, "p")]),
    "binary tree": Network(partial(m.binary_committee, 9, 3, tree=True), (9,), 2, []),
    "binary, no norm": binary("none", "fp"),
    "binary, thresholds": binary("real", "fp"),
    "binary, batch norm": binary("batch_norm", "fpr"),
    "binary convolutions": binary_convolutional("none", "fp"),
    "binary convolutions, batch norm": binary_convolutional("batch_norm", "fpr"),
    "spherical perceptron": Network(partial(m.spherical_perceptron, 5, -0.5), (5,), 2, []),
    "lenet": lenet((1, 8, 8), "relu", "pr", kernel=3),
    "lenet, tanh": lenet((3, 32, 32), "tanh", "fp", kernel=5),
    "vgg11, no norm": vgg(11, batch_norm=False),
    "vgg16": vgg(16, batch_norm=True),
    "resnet20": resnet(partial(m.resnet20, width=1 / 4), (4, 8, 16), 3, "batch"),
    "resnet20, layer norm": resnet(partial(m.resnet20, width=1 / 4), (4, 8, 16), 3, "layer"),
    "resnet20, no norm": resnet(partial(m.resnet20, width=1 / 4), (4, 8, 16), 3, "none"),
    "resnet18": resnet(partial(m.resnet18, width=1 / 16), (4, 8, 16, 32), 2, "batch"),
    "densenet40": densenet40(),
    "vit": vit(),
    "mlp_mixer": mlp_mixer(),
    "gpt": gpt(),
    "decoder": decoder(),
}
