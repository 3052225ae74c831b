"""Two language models trained apart, on one toroid: what each kind of symmetry does for the loss.

Two small transformers with RMS norms, rotary positions and gated units learn the characters of
Python's own language reference from other starts. On the straight line between them, what both know
is lost. Permuting heads and units does not help: the residual stream of one is a rotation of the
other's. Rotated by Procrustes, which takes no data, the barrier shrinks, and again when what lowers
the loss between the two is learned. All losses are on test text, which neither training nor
alignment has seen.

`--large` trains networks of 0.35 million parameters, for about twenty minutes on one core.
"""

import sys

import torch

import toroids as td
from toroids.report.pictures import profile_picture, write_picture

LARGE = "--large" in sys.argv
LENGTH = 64 if LARGE else 16


def make_model(seed: int) -> torch.nn.Module:
    """A decoder in the manner of Llama."""
    dim, depth = (96, 3) if LARGE else (16, 1)
    return td.models.decoder(TEXT.classes, dim, depth, heads=4, seed=seed)


TEXT = td.data.text(length=LENGTH, most=None if LARGE else 20_000)


def main() -> None:
    """Trains, discovers, aligns, measures, draws."""
    torch.set_num_threads(1)  # these networks are too small to gain from a second thread
    epochs, lr = (8, 0.003) if LARGE else (4, 0.02)
    a, b = (
        td.solvers.Adam(budget=epochs, batch_size=32, lr=lr)
        .train(make_model, TEXT.train, seed)
        .params
        for seed in (1, 2)
    )
    model = make_model(0).eval()
    group = td.discover(model, TEXT.train[0][:4], verify=LARGE)
    unseen, known = td.Landscape(model, TEXT.test), td.Landscape(model, TEXT.train)
    curves = {"straight line": td.profile(unseen, td.geometry.Line(a, b))}
    for name, own, method in (
        ("permuted", group.restricted({"permute", "flip", "rescale", "shift"}), "descent"),
        ("rotated", group, "descent"),
        ("learned", group, "loss"),
    ):
        found = td.align(own, b, to=a, method=method, landscape=known)
        path = td.Toroid(own).geodesic(found.reference, found.params)
        curves[name] = td.profile(unseen, path)

    first, last = (curves["straight line"].loss[end] for end in (0, -1))
    print(f"test loss of the two: {first:.3f} and {last:.3f} nats per character")
    print("barrier: the largest loss above the chord, at 25 points")
    for name, curve in curves.items():
        top = curve.loss_over_chord.argmax()
        print(f"{curve.loss_barrier_over_chord:8.3f} ± {curve.loss_stderr[top]:.3f}  {name}")
    write_picture(
        profile_picture(curves, "test loss, nats per character", "loss"),
        "Between two language models that were trained apart",
        ["Aligned networks are joined by geodesics. Bands are one standard error."],
        "two_transformers.html",
    )
    print("figure: two_transformers.html")


if __name__ == "__main__":
    main()
