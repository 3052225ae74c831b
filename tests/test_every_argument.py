"""Every public function, given something of every wrong kind in the place of every argument.

It does what it is for, or it raises a ToroidsError of one sentence; never anything else.
"""

import inspect
import itertools
import math
import types
from fractions import Fraction

import numpy as np
import pytest
import torch

import toroids as td
from toroids import data, models, solvers, study
from toroids.design.config import StudyConfig
from toroids.discovery.proof.verify import Verification
from toroids.errors import ToroidsError
from toroids.explore.explore import explore
from toroids.report.page import write_report

# A user's function that takes the arguments may raise what it likes, and a network is one.
# Right numbers in these places: wide networks, and seconds that are used up.
LONG, RIGHT = ("width", "budget"), ("whole", "fraction")
OWN = ("metric", "progress", "make_model", "path", "join", "ready")


def networks(make, widths, count=3):
    made = [make(widths, seed=seed).double() for seed in range(count)]
    return made[0], [network.state_dict() for network in made]


NET, (A, B, C) = networks(models.fully_connected, [4, 5, 3])
GROUP = td.symmetry.fully_connected_group(A, output="classifier")
X, Y = torch.randn(12, 4, dtype=torch.float64), torch.arange(12) % 3
DATA = (X, Y)
SMALL = (X.float(), Y)
BITS, SIGNS = networks(models.binary_fully_connected, [5, 3, 2])
CUBE = td.geometry.Hypercube(td.discover(BITS, torch.ones(2, 5, dtype=torch.float64)))
P, Q, R = (td.canonicalize(CUBE.group, each) for each in SIGNS)
TWO = (torch.randn(12, 5, dtype=torch.float64).sign(), torch.arange(12) % 2)


def make(seed):
    return models.fully_connected([4, 5, 3], seed=seed)


def make_bits(seed):
    return models.binary_committee(5, 3, seed=seed)


TRAINING = {"make_model": make, "data": SMALL, "seed": 0}
BINARY = {"make_model": make_bits, "data": (TWO[0].float(), TWO[1]), "seed": 0}
HERE, CORNERS = td.Landscape(NET, DATA), td.Landscape(BITS, TWO, on=CUBE)
CURVED = td.Landscape(NET, DATA, on=td.Toroid(GROUP))
TEXT = data.text(__file__, 16)
CALLS = {
    td.binary.BinaryConv2d: {"inputs": 1, "outputs": 1, "kernel": 1},
    td.binary.BinaryLinear: {"inputs": 2, "outputs": 1},
    td.geometry.Hypercube: {"group": CUBE.group},
    td.geometry.Line: {"a": A, "b": B},
    td.geometry.Polyline: {"points": [A, B]},
    td.probe.Probe: {"model": NET, "group": GROUP, "inputs": X},
    td.Toroid: {"group": GROUP},
    td.align: {"group": GROUP, "params": A, "to": B},
    td.align_many: {"group": GROUP, "networks": [A, B]},
    td.canonicalize: {"group": GROUP, "params": A},
    td.compare: {"group": GROUP, "a": A, "b": B},
    td.compare_many: {"group": GROUP, "networks": [A, B]},
    td.landscape.BendRecipe: {},
    td.connect: {"landscape": HERE, "a": A, "b": B, "recipe": td.landscape.BendRecipe(2), "points": 3},
    td.curvature: {"landscape": CURVED, "params": td.canonicalize(GROUP, A), "count": 1},
    td.dead_units: {"model": NET, "params": A, "data": DATA},
    td.evaluate_ensemble: {"landscape": HERE, "networks": [A, B]},
    td.flip_profile: {"landscape": CORNERS, "a": P, "b": Q, "orders": 1, "points": 3},
    td.landscape.Greedy: {},
    td.load_params: {"path": "gone"},
    td.local_energy: {"landscape": HERE, "params": A, "sigmas": (0.1,), "samples": 2},
    td.median_section: {"landscape": CORNERS, "networks": [P, Q, R], "resolution": 2},
    td.merge: {"group": GROUP, "networks": [A, B], "landscape": HERE},
    td.profile: {"landscape": HERE, "path": td.geometry.Line(A, B), "points": 3},
    td.recalibrate: {"model": NET, "params": A, "data": DATA},
    td.repair: {"model": NET, "params": A, "ends": [A, B], "data": DATA},
    td.save_params: {"params": A, "path": "out"},
    td.section: {"landscape": HERE, "networks": [A, B, C], "resolution": 2},
    td.star: {"landscape": CURVED, "networks": [A, B], "points": 3},
    td.landscape.Until: {"precision": 0.1},
    td.landscape.Worst: {},
    data.Dataset: {"train": SMALL, "test": SMALL, "classes": 3},
    data.augment: {"inputs": torch.rand(2, 1, 4, 4), "generator": torch.Generator()},
    data.digits: {"train": 10},
    data.find: {"name": "gone"},
    data.folder: {"path": "gone"},
    data.text: {"path": __file__, "length": 16},
    data.glyphs: {"train": 2, "test": 2},
    data.patterns: {"inputs": 5, "density": 1.0},
    data.teacher: {"inputs": 5, "train": 4, "test": 4},
    data.teacher_labels: {"weights": torch.ones(1, 4), "inputs": torch.ones(2, 4)},
    data.teacher_weights: {"inputs": 4},
    models.binary_committee: {"inputs": 5, "hidden": 3},
    models.binary_convolutional: {"shape": (1, 8, 8), "channels": (2, 2), "classes": 2},
    models.binary_fully_connected: {"widths": [4, 3, 2]},
    models.binary_perceptron: {"inputs": 5},
    models.committee: {"inputs": 6, "hidden": 3},
    models.decoder: {"dim": 8, "depth": 1, "heads": 2},
    models.densenet40: {"growth": 1},
    models.fully_connected: {"widths": [4, 3, 2]},
    models.gpt: {"dim": 8, "depth": 1, "heads": 2},
    models.lenet: {"shape": (1, 28, 28), "classes": 2},
    models.mlp_mixer: {"depth": 1},
    models.resnet18: {"width": 0.02},
    models.resnet20: {"width": 0.1},
    models.spherical_perceptron: {"inputs": 5},
    models.vgg: {"width": 0.02},
    models.vit: {"depth": 1},
    solvers.Recipe: {},
    solvers.SGD(budget=1).train: TRAINING,
    solvers.SGD().passes: {"examples": 12},
    solvers.AdversarialSGD().passes: {"examples": 12},
    solvers.FocusingBP(budget=1).train: BINARY,
    solvers.SBPI(budget=1).train: BINARY,
    study.export_run: {"folder": "gone", "out": "tables"},
    study.list_runs: {"root": "."},
    study.load_config: {"path": "gone"},
    study.make_engine: {"name": "in-process"},
    study.make_plan: {"config": None},
    study.make_tables: {"rows": []},
    study.estimate: {"config": None, "folder": "gone"},
    study.open_run: {"folder": "gone"},
    study.read_rows: {"folder": "gone"},
    study.run_study: {"config": None, "folder": "gone"},
    explore: {"folder": "gone"},
    write_report: {"folder": "gone"},
}  # fmt: skip
CALLS |= dict.fromkeys((*solvers.SOLVERS.values(), solvers.FocusingBP, solvers.SBPI), {})
LEG = {"tensor": "hidden.weight", "axis": 0, "role": "write", "operator": "hidden"}
LEGS = (td.symmetry.Leg(**LEG), td.symmetry.Leg("output.weight", 1, "read", "output"))
SPACE = {"name": "hidden", "size": 5, "copies": 1, "actions": frozenset({"permute"}), "legs": LEGS}
SHAPES = {"hidden.weight": (5, 4), "output.weight": (3, 5)}
ELEMENT = GROUP.random(torch.Generator().manual_seed(0))
TOROID, PROBE = td.Toroid(GROUP), td.probe.Probe(NET, GROUP, X)
CA, CB = (td.canonicalize(GROUP, each) for each in (A, B))
TANGENT = TOROID.log(CA, CB)
FLIPS = td.landscape.FlipEvaluator(BITS, P, TWO)
WEIGHT = next(iter(CUBE.group.binary))
DATASET = data.Dataset(SMALL, SMALL, 3)
GENERATOR = torch.Generator()
CALLS |= {
    td.symmetry.Condition: {"buffer": "order", "digest": "0"},
    td.symmetry.Element: {"choices": ELEMENT.choices},
    td.Landscape: {"model": NET, "data": DATA},
    td.landscape.FlipEvaluator: {"model": BITS, "params": P, "data": TWO},
    td.symmetry.Generator: {"action": "flip", "exponents": (1.0, 1.0)},
    td.symmetry.Leg: LEG,
    td.symmetry.Norm: {"weight": "w", "bias": "b", "mean": "m", "variance": "v", "eps": 1e-5},
    td.symmetry.Output: {},
    td.symmetry.Space: SPACE,
    td.symmetry.SpaceElement: {"permutation": torch.tensor([1, 0])},
    td.SymmetryGroup: {"spaces": (td.symmetry.Space(**SPACE),), "shapes": SHAPES},
    td.symmetry.Element.load: {"path": "gone"},
    td.SymmetryGroup.from_json: {"text": GROUP.to_json()},
    td.audit: {"model": NET, "inputs": X, "group": GROUP},
    td.discover: {"model": NET, "inputs": X, "verify": False},
    td.evaluate: {"model": NET, "params": A, "data": DATA},
    td.symmetry.fully_connected_group: {"params": A},
    td.verify: {"group": GROUP, "model": NET, "inputs": X, "trials": 1},
    td.widen: {"narrow": NET, "params": A, "wide": NET, "inputs": X},
    ELEMENT.save: {"path": "element"},
    GROUP.check: {"params": A},
    GROUP.random: {},
    GROUP.without: {"space": "hidden1", "action": "permute"},
    GROUP.restricted: {"actions": {"permute"}},
    GROUP.compose: {"g": ELEMENT, "h": ELEMENT},
    GROUP.inverse: {"g": ELEMENT},
    GROUP.apply: {"element": ELEMENT, "params": A},
    GROUP.moved: {"element": ELEMENT, "params": A},
    TOROID.check: {"params": CA},
    **{
        getattr(TOROID, name): {"a": CA, "b": CB}
        for name in ("angles", "distances", "distance", "mean_angle", "geodesic", "log")
    },
    TOROID.measures: {"a": CA, "b": CB},
    CUBE.measures: {"a": P, "b": Q},
    TOROID.exp: {"a": CA, "tangent": TANGENT},
    TOROID.project: {"params": A},
    TOROID.project_tangent: {"a": CA, "vector": TANGENT},
    TOROID.freedom: {"a": CA},
    TOROID.random_tangent: {"a": CA, "generator": GENERATOR},
    TOROID.transport: {"a": CA, "b": CB, "tangent": TANGENT},
    TOROID.inner: {"first": TANGENT, "second": TANGENT},
    TOROID.mean: {"networks": [CA, CB]},
    CUBE.check: {"params": P},
    CUBE.distances: {"a": P, "b": Q},
    CUBE.distance: {"a": P, "b": Q},
    CUBE.geodesic: {"a": P, "b": Q},
    CUBE.flip: {"params": P, "fraction": 0.5, "generator": GENERATOR},
    CUBE.median: {"a": P, "b": Q, "c": R},
    CUBE.majority: {"networks": [P, Q]},
    td.geometry.Line(A, B).__call__: {"t": 0.5},
    TOROID.geodesic(CA, CB).__call__: {"t": 0.5},
    td.geometry.Polyline([A, B]).__call__: {"t": 0.5},
    CUBE.geodesic(P, Q).__call__: {"t": 0.5},
    PROBE.__call__: {"params": A},
    HERE.__call__: {"params": A},
    HERE.scores: {"params": A},
    HERE.fit_temperature: {"params": A},
    HERE.temperature_at: {"params": A},
    HERE.measure: {"params": A},
    HERE.output: {"params": A, "inputs": X},
    HERE.outputs: {"params": A},
    HERE.check: {"outputs": torch.ones(12, 3), "targets": Y},
    HERE.gradient: {"params": A},
    HERE.ready: {"params": A},
    FLIPS.flip: {"name": WEIGHT, "positions": [0]},
    FLIPS.flip_at: {"positions": [0]},
    FLIPS.errors_if: {"name": WEIGHT, "positions": [0]},
    DATASET.subset: {"count": 6},
    TEXT.encode: {"text": "def"},
    TEXT.decode: {"tokens": TEXT.encode("def")},
    DATASET.label_noise: {"fraction": 0.5},
    DATASET.to: {"device": "cpu"},
}
# Made by other functions only; asks for what no test has; or takes any function.
NOT_CALLED = {"BitPath", "Path", "Geodesic", "FlipEvaluator", "flip_curve", "Sign", "CanonicalParams",
              "ManyAlignment", "hub", "rule", "Listed", "OpenRun", "Plan", "StudyConfig", "Work",
              "Epoch", "Trained", "Descent", "Solver", "Activations", "Alignment", "Bend", "Curvature", "FlipProfile",
              "LocalEnergy", "MedianSection", "Absorbed", "Text", "Comparison", "Family", "Audit", "Evaluation", "Verification", "Profile", "Section", "Star"}  # fmt: skip

WRONG = {
    "nothing": None,
    "whole": np.int64(7),
    "huge": 10**30,
    "negative": -3,
    "fraction": Fraction(5, 2),
    "nan": math.nan,
    "infinite": math.inf,
    "text": "7",
    "bytes": b"7",
    "true": True,
    "list": [1, "a"],
    "empty": [],
    "dict": {"a": 1},
    "set": {1, 2},
    "tensor": torch.ones(2),
    "integers": torch.tensor([1, 2]),
    "complex": torch.ones(2, dtype=torch.complex64),
    "array": np.ones(3),
    "object": object(),
    "class": int,
    "module": NET,
    "function": lambda: 0,
    "null": "a\0b",
    "long": {name: tensor.long() for name, tensor in A.items()},
    "complex weights": {name: tensor.to(torch.complex128) for name, tensor in A.items()},
    "narrow": {name: tensor.to(torch.float8_e4m3fn) for name, tensor in A.items()},
    "meta": {name: tensor.to("meta") for name, tensor in A.items()},
    "sparse": {name: tensor.to_sparse() for name, tensor in A.items()},
    "not finite": {name: tensor * math.nan for name, tensor in A.items()},
    "generator": torch.Generator(),
    "endless": itertools.count(),
    "long list": range(10**12),
    "wide": torch.ones(1).expand(10**12),
    "large": 1e300,
    "large ratio": Fraction(10**400),
    "numbered": {1: torch.ones(1)},
    "nameless": {},
    "packed": torch.ones(2).to_sparse(),
    "no entries": torch.empty(0),
    "nested weights": {
        name: torch.nested.nested_tensor([t, t], layout=torch.jagged) for name, t in A.items()
    },
    "meta data": (X.to("meta"), Y),
    "sparse data": (X.to_sparse(), Y),
    "scalar array": np.array(1.0),
    "lazy": torch.nn.LazyLinear(3),
}
WRONG["in itself"] = [WRONG["list"]]
WRONG["in itself"].append(WRONG["in itself"])
CASES = [
    pytest.param(function, argument, id=f"{function.__name__}-{argument}")
    for function in CALLS
    for argument in inspect.signature(function).parameters
    if argument not in ("args", "kwargs")
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("function", "argument"), CASES)
def test_it_is_done_or_refused_in_one_sentence(function, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, value in WRONG.items():
        if (argument in OWN and kind in ("module", "lazy")) or (argument in LONG and kind in RIGHT):
            continue
        try:
            function(**{**CALLS[function], argument: value})
        except ToroidsError as error:
            assert "\n" not in str(error), kind
            assert len(str(error)) < 1000, kind
        except Exception as error:
            pytest.fail(f"{kind}: {type(error).__name__}: {error}")


RECIPE = {
    "budget": 1,
    "batch_size": np.int64(6),
    "lr": Fraction(1, 10),
    "momentum": np.float32(0.5),
}


def test_numbers_of_other_libraries_are_read_as_pythons_own():
    trained = solvers.SGD(**RECIPE).train(make, SMALL, np.int64(0))
    plain = solvers.SGD(**{**RECIPE, "batch_size": 6, "lr": 0.1, "momentum": 0.5}).train(
        make, SMALL, 0
    )
    assert all(torch.equal(trained.params[name], plain.params[name]) for name in plain.params)
    recipe = solvers.SGD(**RECIPE)
    assert [type(getattr(recipe, name)) for name in RECIPE] == [int, int, float, float]
    solvers.Adam(budget=1, betas=(0, 0.5)).train(make, SMALL, 0)


def test_a_number_that_the_precision_cannot_hold():
    half = lambda seed: make(seed).half()  # noqa: E731
    with pytest.raises(ToroidsError, match="too large for the precision of the weights"):
        solvers.SGD(budget=1, lr=1e30).train(half, (SMALL[0].half(), Y), 0)
    with pytest.raises(ToroidsError, match="too large for the precision of the weights"):
        solvers.AdversarialSGD(budget=1, corrupt_budget=1, corrupt_lr=1e300).train(**TRAINING)


def test_no_public_function_is_left_out():
    known = {function.__name__ for function in CALLS} | NOT_CALLED
    for module in (td, data, models, solvers, study):
        for name in module.__all__:
            found = getattr(module, name)
            home = getattr(found, "__module__", "")
            wanted = inspect.isfunction(found) or inspect.isclass(found)
            if wanted and home.startswith("toroids."):
                kind = inspect.isclass(found) and issubclass(found, Exception)
                assert kind or name in known, name


# What is told apart by names only; what needs no argument; what is trusted by those who call it.
METHODS_NOT_CALLED = {"to_json", "identity", "extra_repr", "forward", "evaluation", "flipped", "apply_",
                      "copies_from", "score", "of", "of_kind", "index_on", "rate", "growing", "params",
                      "group", "data", "model", "tensors", "row",
                      "batch_loss", "minibatches", "evaluation_mode"}  # fmt: skip


def test_no_public_method_is_left_out():
    known = {function.__qualname__ for function in CALLS}
    for module in (td, data, solvers, study):
        for kind in (getattr(module, name) for name in module.__all__):
            if inspect.isclass(kind) and not issubclass(
                kind, Exception | StudyConfig | Verification
            ):
                for name, member in vars(kind).items():
                    method = isinstance(member, types.FunctionType | staticmethod)
                    method = method and not getattr(member, "__isabstractmethod__", False)
                    if method and not name.startswith("_") and name not in METHODS_NOT_CALLED:
                        assert f"{kind.__name__}.{name}" in known, (kind, name)
