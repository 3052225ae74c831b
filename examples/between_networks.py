"""What lies between networks: barriers, a bend without error, a star, a merged network.

Trains four networks on the digits, and measures what is between them once symmetries are gone.
"""

from itertools import pairwise

from torch import nn

import toroids as td


def main() -> None:
    """Trains, aligns, measures."""
    digits = td.data.digits(train=600)

    def make_model(seed: int) -> nn.Module:
        return td.models.fully_connected([64, 48, 48, 10], seed=seed)

    networks = [td.solvers.sgd(make_model, digits.train, seed=seed).params for seed in range(4)]
    model, group = make_model(0), td.fully_connected_group(networks[0], output="classifier")
    toroid = td.Toroid(group)

    print("train error between neighbours, above the larger end, ± one standard error")
    for a, b in pairwise(networks):
        aligned = td.align(group, b, to=a)
        raw = td.profile(model, td.Line(a, b), digits.train)
        geodesic = toroid.geodesic(aligned.reference, aligned.params)
        curve = td.profile(model, geodesic, digits.train, tolerance=0.002)
        bend = td.connect(model, aligned.reference, aligned.params, digits.train, toroid=toroid)
        print(
            f"  raw line {raw.barrier:.2%} ± {raw.barrier_stderr:.2%}, geodesic "
            f"{curve.barrier:.2%} ± {curve.barrier_stderr:.2%}, over a trained bend "
            f"{bend.after.barrier:.2%} ({len(bend.history)} steps, {len(bend.after.t)} points)"
        )

    star = td.star(group, model, networks, digits.train, tolerance=0.02)
    for number, (reached, (low, high)) in enumerate(
        zip(star.reached.tolist(), star.intervals.tolist(), strict=True)
    ):
        print(f"network {number} reaches {reached:.0%} of the others [{low:.0%}, {high:.0%}]")

    merged = td.merge(group, model, networks, digits.train)
    errors = [td.evaluate(model, network, digits.test).error for network in networks]
    together = td.evaluate_ensemble(model, networks, digits.test)
    print(
        f"test error: {min(errors):.2%} to {max(errors):.2%}, merged "
        f"{td.evaluate(model, merged, digits.test).error:.2%}, ensemble {together.error:.2%}"
    )


if __name__ == "__main__":
    main()
