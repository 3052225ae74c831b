"""Two networks trained apart: far from each other as they are, close once symmetries are gone.

Trains two networks on the digits, aligns the second to the first, and prints the train error in the
middle of three paths between them.
"""

from torch import nn

import toroids as td


def main() -> None:
    """Trains, aligns, compares."""
    digits = td.data.digits(train=600)

    def make_model(seed: int) -> nn.Module:
        return td.models.fully_connected([64, 128, 128, 10], seed=seed)

    a = td.solvers.sgd(make_model, digits.train, seed=1, hold=10).params
    b = td.solvers.sgd(make_model, digits.train, seed=2, hold=10).params
    model = make_model(0)

    group = td.fully_connected_group(a, output="classifier")
    print(group)
    print(f"outputs change by at most {td.verify(group, model, digits.train[0][:64]):.1e}")

    toroid = td.Toroid(group)
    alignment = td.align(group, b, to=a)
    canonical_b = td.canonicalize(group, b)
    before = toroid.mean_angle(alignment.reference, canonical_b)
    after = toroid.mean_angle(alignment.reference, alignment.params)
    print(f"mean angle: {before:.3f} rad before alignment, {after:.3f} rad after")

    paths: dict[str, td.Path] = {
        "raw line": td.Line(a, b),
        "aligned line": td.Line(alignment.reference, alignment.params),
        "aligned geodesic": toroid.geodesic(alignment.reference, alignment.params),
    }
    for name, path in paths.items():
        curve = td.profile(model, path, digits.train)
        peak = curve.error.argmax()
        print(
            f"{name:17} largest train error {curve.error[peak]:.2%} "
            f"± {curve.error_stderr[peak]:.2%}, barrier {curve.barrier:.2%}"
        )


if __name__ == "__main__":
    main()
