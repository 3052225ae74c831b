"""A path with one bend: two networks that a straight line does not join, joined without an error.

Two networks are trained apart. On the straight line between their weights most of what they learned
is lost; on the geodesic of the toroid, once units are aligned, some of it is. A third network in
between, trained so that the way over it is low, leaves nothing lost.
"""

import torch
from torch import nn

import toroids as td
from toroids.report.pictures import profile_picture, section_picture, write_picture


def make_model(seed: int) -> nn.Module:
    """A fully connected ReLU network, so narrow that aligning it leaves a barrier."""
    return td.models.fully_connected([64, 32, 32, 10], seed=seed)


def main() -> None:
    """Trains, aligns, bends, draws."""
    torch.set_num_threads(1)  # these networks are too small to gain from a second thread
    digits = td.data.digits(train=600)
    a, b = (td.solvers.SGD().train(make_model, digits.train, seed=seed).params for seed in (1, 2))
    model = make_model(0)
    group = td.discover(model, digits.train[0][:4], output="classifier")
    toroid = td.Toroid(group)

    alignment = td.align(group, b, to=a)
    start, end = alignment.reference, alignment.params
    before, after = (toroid.mean_angle(start, other) for other in (alignment.start, end))
    print(f"mean angle between the networks: {before:.3f} rad, aligned {after:.3f} rad")

    # the segments of the bend are geodesics, and the bend stays on the toroid
    train, test = (td.Landscape(model, data, on=toroid) for data in (digits.train, digits.test))
    bend = td.connect(train, start, end)
    profiles = {
        "straight line": td.profile(train, td.geometry.Line(a, b), points=101),
        "aligned, geodesic": bend.before,  # over the middle of the geodesic: the geodesic itself
        "aligned, over the trained bend": bend.after,
    }
    print("train error, the largest on the path above the larger end")
    for name, curve in profiles.items():
        print(f"  {name:31} {curve.barrier:6.2%} ± {curve.barrier_stderr:.2%}")
    print(f"the bend was trained for {len(bend.history)} steps and ended with {bend.ended}")
    unseen = {
        "geodesic": td.profile(test, toroid.geodesic(start, end)),
        "bend": td.profile(test, bend),
    }
    print("test error, which nothing was trained on")
    for name, curve in unseen.items():
        top = curve.error.argmax()
        print(f"  {name:31} {curve.error[top]:6.2%} ± {curve.error_stderr[top]:.2%} at its largest")

    wrong = round(bend.after.error.max().item() * len(digits.train[1]))
    found = f"At {len(bend.after.t)} points over the bend at most {wrong} of 600 images are wrong."
    write_picture(
        profile_picture(profiles, "train error"),
        "A path with one bend between two networks",
        [f"{found} Bands are one standard error."],
        "path_with_one_bend.html",
    )
    plane = td.section(train, [start, end, bend.bend], resolution=31)
    picture = section_picture(plane, ("first", "second", "bend"), "train error")
    picture.layout.meta = {**picture.layout.meta, "height": 320}  # it is wider than high
    write_picture(
        picture,
        "The plane through both networks and the bend",
        ["Every point is moved to the nearest one of the toroid before it is measured."],
        "plane_of_the_bend.html",
    )
    print("figures: path_with_one_bend.html, plane_of_the_bend.html")


if __name__ == "__main__":
    main()
