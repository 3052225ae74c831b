"""Single rows with the few values that a test is about."""

from toroids.statistics.measured import Curve, Flatness, Moments, Network, Pair


def network(name, increase, test_error, architecture="mlp"):
    flatness = Flatness(sigma=[0.0, 0.5], increase=[0.0, increase], stderr=[0.0, 0.0], samples=1)
    return Network(
        name=name,
        architecture=architecture,
        solver=name.split("-")[0],
        seed=0,
        seconds=1.0,
        config={},
        ended="budget",
        epochs=1,
        gradient_steps=1,
        history=[],
        train_error=0.0,
        train_loss=0.0,
        test_error=test_error,
        test_error_stderr=0.0,
        test_loss=0.0,
        flatness=flatness,
        notes=[],
        measure_seconds=1.0,
    )


def ends(a, b, path, barrier):
    curve = Curve(
        t=[0.0, 1.0], error=[0.0, barrier], error_stderr=[0, 0], loss=[0, 0], barrier=barrier
    )
    return {
        "a": a,
        "b": b,
        "architecture": "mlp",
        "seconds": 1.0,
        "solver_a": a.split("-")[0],
        "solver_b": b.split("-")[0],
        "profiles": {path: curve},
    }


def pair(a, b, barrier):
    return Pair(
        **ends(a, b, "geodesic", barrier),
        method="exact",
        similarity=Moments(before=0.1, after=0.5),
        mean_angle=Moments(before=2.0, after=1.0),
        distance=Moments(before=20.0, after=10.0),
        layers=[],
        notes=[],
    )
