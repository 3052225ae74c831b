"""Aligning two networks of the library `transformers`, trained apart, and what lies between them.

Two small vision transformers learn the digits from other starts. Their symmetries (channels of the
residual stream, heads and matrices inside them, hidden units) are found from the module alone. On
the straight line between the two, nearly half of the images are lost; each way of aligning the
second to the first loses fewer, and the one that looks at the loss the fewest, though it makes the
two less similar than the others do. All errors are on test images, which neither training nor
alignment has seen.
"""

import torch
from torch import nn

import toroids as td
from toroids.report.pictures import profile_picture, write_picture

try:
    import transformers
except ImportError:
    raise SystemExit("this example needs pip install 'toroids[transformers]'") from None


def make_model(seed: int) -> nn.Module:
    """A vision transformer built from a configuration: four patches, two layers of four heads."""
    config = transformers.ViTConfig(
        image_size=8,
        patch_size=4,
        num_channels=1,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        hidden_act="relu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label={label: str(label) for label in range(10)},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return transformers.ViTForImageClassification(config)


def main() -> None:
    """Trains, discovers, aligns, measures, draws."""
    torch.set_num_threads(1)  # these networks are too small to gain from a second thread
    digits = td.data.digits(train=600)
    train, test = ((inputs.view(-1, 1, 8, 8), y) for inputs, y in (digits.train, digits.test))
    model = make_model(0).eval()
    a, b = (
        td.solvers.Adam(budget=30, lr=0.003).train(make_model, train, seed).params
        for seed in (1, 2)
    )
    unseen = td.Landscape(model, test)
    for name, params in (("first", a), ("second", b)):
        found = unseen(params)
        print(f"{name} network: test error {found.error:.2%} ± {found.error_stderr:.2%}")

    group = td.discover(model, train[0][:4], output="classifier")
    changed = td.verify(group, model, train[0][:64])
    print(f"{len(group.spaces)} spaces; their symmetries change the outputs by {changed:.0e}")

    toroid = td.Toroid(group)
    curves = {"straight line": td.profile(unseen, td.geometry.Line(a, b))}
    print("similarity   largest test error on the path")
    print(f"{'':10}   {largest(curves['straight line'])}  straight line")
    landscape = td.Landscape(model, (train[0][:200], train[1][:200]))
    for method, name in (
        ("descent", "aligned, space by space"),
        ("best", "aligned, most similar"),
        ("loss", "aligned, lowest loss"),
    ):
        looked = landscape if method == "loss" else None
        alignment = td.align(group, b, to=a, method=method, landscape=looked)
        path = toroid.geodesic(alignment.reference, alignment.params)
        curves[name] = td.profile(unseen, path)
        print(f"{alignment.similarity:10.1f}   {largest(curves[name])}  {name}")
    print(f"{alignment.similarity_before:10.1f}   before any of them")

    write_picture(
        profile_picture(curves, "test error"),
        "Between two vision transformers that were trained apart",
        ["Aligned networks are joined by geodesics. Bands are one standard error."],
        "align_two_transformers.html",
    )
    print("figure: align_two_transformers.html")


def largest(curve: td.landscape.Profile) -> str:
    """The largest error of a profile, and its standard error."""
    top = curve.error.argmax()
    return f"{curve.error[top]:6.2%} ± {curve.error_stderr[top]:.2%}"


if __name__ == "__main__":
    main()
