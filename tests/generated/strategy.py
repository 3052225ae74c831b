"""Random small modules, as a strategy of hypothesis: `PROGRAMS`."""

from dataclasses import replace

import torch
from generated.features import FEATURES
from generated.images import IMAGES, flat
from generated.program import VOCABULARY
from generated.scope import PROBES, Scope
from generated.sequences import SEQUENCES
from generated.weights import layer
from hypothesis import strategies as st

STEPS = 6  # at most; most of what goes wrong takes one or two


def program_of(random):
    """A program: inputs, some steps, what is returned, and the sizes of the example."""
    s = Scope(random)
    h = _first(s)
    for _ in range(random.randint(1, STEPS)):
        steps = [step for step, times in _table(h).items() for _ in range(times)]
        h = s.attempt(s.choose(*steps), h)
    return _runnable(s.program(_returned(s, h), _sizes(s)))


# One source of randomness, whose numbers are drawn: where every choice was a strategy of its own,
# hypothesis would spend most examples on repeating parts of earlier ones.
PROGRAMS = st.randoms(use_true_random=False).map(program_of)


def _table(h):
    if h.is_image:
        return IMAGES
    return FEATURES | SEQUENCES if h.is_sequence else FEATURES


def _first(s):
    """The inputs, and the first values made of them."""
    kind = s.choose("vector", "sequence", "ids", "image", "any image", "vector", "sequence", "ids")
    width = s.size()
    if kind == "vector":
        return s.step(f"{layer(s, width, s.size())}({s.take(f'x = floats(B, {width})')})")
    if "image" in kind:
        x = s.take(f"x = floats(B, {width}, {'T, T' if kind == 'any image' else '4, 4'})")
        conv = f"nn.Conv2d({width}, {s.size()}, {s.choose(1, 2)}, padding=1)"
        return s.step(f"{s.hold(conv)}({x})")
    if kind == "ids":
        x = s.take("x = ids(B, T)")
        h = s.line(
            lambda: f"{s.hold(f'nn.Embedding({VOCABULARY}, {width})')}({x})",
            lambda: f"{s.learned(VOCABULARY, width)}[{x}]",
        )
    else:
        x = s.take(f"x = floats(B, T, {width})")
        h = s.step(f"{layer(s, width, s.size())}({x})")
    if s.rarely():
        s.take("seen = bools(B, T)")
    if s.rarely():
        s.step(f"{layer(s, width, s.size())}({s.take(f'y = floats(B, S, {width})')})")
    return h


def _returned(s, h):
    """What is returned: read by a last layer, or as it is, alone or with something else."""
    if h.is_image and not s.rarely():
        h = s.attempt(flat, h)
    if h.is_features and not s.rarely():
        h = s.step(f"{layer(s, h.width, s.size())}({h})")
    options = [f"{h}"] * 3 + [f"{h}, {s.choose(*s.values)}", f"{h} > 0.1, {h}.mean(-1)"]
    if h.is_features:  # pixels at a border may be equal
        options.append(f"{h}.argmax(-1), {h}.sum()")
    return s.choose(*options)


def _sizes(s):
    """The example's sizes, one of each now and then, and equal to widths now and then."""
    return {name: s.choose(2, 1, 3, 5, *s.widths) for name in "BTS"}


def _runnable(program):
    """The program with an example on which it runs."""
    try:
        with torch.no_grad():
            program.module()(*program.inputs())
    except (RuntimeError, ValueError, IndexError):
        return replace(program, sizes={name: PROBES[0][name] for name in program.sizes})
    return program
