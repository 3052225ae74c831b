"""What a newcomer hands to the wrong place: every public function answers in one sentence.

Mistakes that one function alone can see are tested beside it; these are of a kind with many.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

import toroids as td
from toroids import study
from toroids.design.config import StudyConfig
from toroids.errors import ToroidsError
from toroids.explore.explore import explore


@pytest.fixture(scope="module")
def network():
    return td.models.fully_connected([4, 8, 3], seed=0).double()


@pytest.fixture(scope="module")
def params(network):
    return network.state_dict()


@pytest.fixture(scope="module")
def group(params):
    return td.symmetry.fully_connected_group(params, output="classifier")


X = torch.randn(16, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.arange(16) % 3
DATA = (X, Y)
NAN = (X * math.nan, Y)


def refuses(message, call, *arguments, **keywords):
    with pytest.raises(ToroidsError, match=message) as caught:
        call(*arguments, **keywords)
    assert "\n" not in str(caught.value)


def test_a_module_where_its_weights_belong(network, params, group):
    message = r"got a Sequential; pass its \.state_dict\(\)"
    refuses(message, td.canonicalize, group, network)
    refuses(message, td.align, group, network, to=params)
    refuses(message, td.geometry.Line, network, network)
    refuses(message, td.evaluate, network, network, DATA)
    refuses(message, td.save_params, network, "never.safetensors")
    refuses(message, td.symmetry.fully_connected_group, network)


def test_paths_arrays_and_nothing_where_weights_belong(params, group):
    refuses(r"got a str; pass what td.load_params", td.align, group, "b.st", to="a.st")
    refuses(r"got a NoneType; pass tensors by name", td.canonicalize, group, None)
    arrays = {name: tensor.numpy() for name, tensor in params.items()}
    refuses(r"is a ndarray; pass a tensor", td.canonicalize, group, arrays)
    refuses(r"is a list; pass a tensor", td.symmetry.fully_connected_group, {"a.weight": [[1.0]]})


def test_something_else_where_a_module_belongs(network, params, group):
    message = "expected a torch.nn.Module, got"
    refuses(f"{message} OrderedDict", td.evaluate, params, network, DATA)
    refuses(f"{message} OrderedDict", td.audit, params, X)
    refuses(f"{message} SymmetryGroup", td.verify, group, group, X)
    refuses(f"{message} the class Linear; pass an instance", td.discover, nn.Linear, X)
    refuses(f"{message} OrderedDict", td.widen, params, params, network, X)
    refuses(f"{message} int", td.Landscape, 3, DATA)


def test_something_else_where_a_group_belongs(network, params):
    message = "`?group`? is a .*; pass a SymmetryGroup( or None)?, as td.discover"
    for call in (td.canonicalize, td.align_many):
        refuses(message, call, params, [params, params])
    refuses(message, td.Toroid, network)
    refuses(message, td.verify, params, network, X)
    refuses(message, td.probe.Probe, network, params, X)
    refuses(message, td.audit, network, X, group=params)


def test_a_group_of_another_network(network):
    other = td.models.fully_connected([4, 6, 3]).double()
    refuses("in the model but", td.audit, network, X, group=td.discover(other, X))


def test_one_network_where_several_belong(network, params, group):
    message = "are a (Ordered|d).*; pass a list of state dicts, one per network"
    refuses(message, td.align_many, group, params)
    landscape = td.Landscape(network, DATA, on=td.Toroid(group))
    refuses(message, td.merge, group, params)
    refuses(message, td.star, landscape, params)
    refuses(message, td.section, landscape, params)
    refuses(message, td.evaluate_ensemble, landscape, params)
    refuses(message, td.repair, network, params, params, DATA)
    refuses(message, td.geometry.Polyline, params)


def test_something_else_where_an_element_belongs(params, group):
    message = "is (None|3); pass an Element, as group.random"
    refuses(message, group.apply, None, params)
    refuses(message, group.inverse, 3)


def test_inputs_on_which_the_network_does_not_run(network, group, capfd):
    wide = torch.randn(2, 7, dtype=torch.float64)
    message = r"`Sequential` fails on the inputs \(2, 7\) of torch.float64: .*; pass an example"
    refuses(message, td.discover, network, wide)
    refuses(message, td.audit, network, wide)
    refuses(message, td.probe.Probe, network, group, wide)
    refuses(message, td.verify, group, network, wide)
    refuses("and an output_key that its output has", td.discover, network, X, output_key="no")
    refuses("fails on the inputs", td.discover, network, torch.ones(2, 4).long())
    assert "Traceback" not in capfd.readouterr().err  # torch logs what it fails at


def test_nothing_is_printed_of_what_cannot_be_traced(capfd):
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    refuses("cannot be traced", td.discover, Branching(), X)
    assert capfd.readouterr() == ("", "")


def test_data_that_are_not_finite(network, params, group):
    refuses("are NaN or infinite; pass finite inputs", td.audit, network, NAN[0])
    refuses("is NaN or infinite; pass finite", td.probe.Probe(network, group, NAN[0]), params)
    refuses("are NaN on these data", td.dead_units, network, params, NAN)
    refuses("are NaN or infinite", td.evaluate_ensemble, td.Landscape(network, NAN), [params])
    refuses("in the repaired network", td.repair, network, params, [params], NAN)
    normed = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    refuses("recalibrated network", td.recalibrate, normed, normed.state_dict(), NAN)
    weights = td.data.teacher_weights(4).double()
    refuses("hold NaN or infinity", td.data.teacher_labels, weights, NAN[0])


def test_data_in_another_form(network, params):
    arrays = (X.numpy(), Y.numpy())
    refuses("make tensors of arrays by torch.as_tensor", td.evaluate, network, params, arrays)
    digits = td.data.digits(10)
    refuses("pass its .train or .test", td.evaluate, network, params, digits)
    refuses("pass its .train or .test", td.solvers.SGD().train, lambda _: network, digits, 0)
    refuses("train is .*ndarray.*; pass a pair of tensors", td.data.Dataset, arrays, arrays, 3)
    refuses("train is NoneType; pass a pair", td.data.Dataset, None, None, 3)
    refuses("`classes` is '3'", td.data.Dataset, DATA, DATA, "3")
    refuses(r"\(3, 5\) and \(2, 4\)", td.data.teacher_labels, torch.ones(3, 5), torch.ones(2, 4))
    refuses("`inputs` is .1.; pass a dense tensor", td.data.augment, [1], torch.Generator())
    refuses("`generator` is 3; pass a torch.Gen", td.data.augment, torch.ones(1, 1, 4, 4), 3)


def test_words_and_fractions_where_numbers_belong(network, params, group):
    refuses("a positive number, 'fit' or", td.Landscape, network, DATA, temperature="cold")
    refuses("`batch_size` is 2.5", td.Landscape, network, DATA, batch_size=2.5)
    landscape = td.Landscape(network, DATA)
    refuses("`sigmas` is 0.1; pass a list of numbers", td.local_energy, landscape, params, 0.1)
    three = [params, params, params]
    refuses("`resolution` is 3.5", td.section, landscape, three, 3.5)
    refuses("`resolution` is .3, 3, 3.", td.section, landscape, three, (3, 3, 3))
    refuses("`count` is 1.5; pass a whole number", td.curvature, landscape, params, 1.5)
    refuses(
        "`autocast` is 'bf16'; pass a dtype or None, as torch.bfloat16",
        td.Landscape,
        network,
        DATA,
        autocast="bf16",
    )
    refuses(
        "`metric` is 3; pass a text or a function", td.evaluate, network, params, DATA, metric=3
    )
    refuses("`budget` is 1.5; pass a whole number", td.solvers.Recipe, budget=1.5)
    refuses("`train` is 10.5; pass a whole number", td.data.digits, 10.5)
    refuses("`inputs` is 1.5; pass a whole number", td.binary.BinaryLinear, 1.5, 2)
    refuses("`port` is 'a'; pass a whole number", explore, "runs/none", port="a")


def test_limits_out_of_range(network, params, group):
    canonical = td.canonicalize(group, params)
    refuses("the budget is -1 seconds", td.align_many, group, [params, params], budget=-1)
    refuses("the budget is -1 seconds", td.merge, group, [params, params], budget=-1)
    refuses("`budget` is 'a'; pass a number", td.align, group, params, to=params, budget="a")
    toroid = td.Toroid(group)
    refuses("the tolerance is -1", toroid.mean, [canonical], tolerance=-1)
    refuses("iterations is 0", toroid.mean, [canonical], iterations=0)
    refuses("weights .*nan", td.repair, network, params, [params] * 2, DATA, [math.nan, 0.5])


def test_something_else_where_a_place_belongs(network, params, group):
    toroid = td.Toroid(group)
    refuses("the vector has nothing for", toroid.inner, {}, {})
    refuses("the path is a dict", td.profile, td.Landscape(network, DATA), dict(params))
    refuses(
        "`join` is 'line'; pass a function of 2 arguments",
        td.geometry.Polyline,
        [params, params],
        join="line",
    )
    refuses("`on` is 'x'; pass td.Toroid", td.Landscape, network, DATA, on="x")
    refuses("`on` is a SymmetryGroup; pass td.Toroid", td.Landscape, network, DATA, on=group)
    on_toroid = td.Landscape(network, DATA, on=toroid)
    refuses(
        "pass .* on=td.geometry.Hypercube", td.local_energy, on_toroid, params, (0.1,), kind="flips"
    )
    refuses("`landscape` is a Sequential; pass a Landscape, as td.L", td.profile, network, params)
    message = "on a Toroid, not on a hypercube; pass .*on=td.geometry.Hypercube"
    refuses(message, td.flip_profile, on_toroid, params, params)
    three = (params, params, params)
    refuses(message, td.median_section, on_toroid, three)


def test_an_order_of_flips_as_a_list():
    make = td.models.binary_fully_connected
    cube = td.geometry.Hypercube(td.discover(make([5, 3, 2]), torch.ones(1, 5)))
    a, b = (td.canonicalize(cube.group, make([5, 3, 2], seed=s).state_dict()) for s in (0, 1))
    refuses("pass every one of the", cube.geodesic, a, b, order=[0, 0])
    order = cube.geodesic(a, b).order
    assert cube.geodesic(a, b, order=order.tolist()).order.equal(order)


def test_an_ensemble_without_probabilities(network, params):
    data = (X, X[:, :3])
    landscape = td.Landscape(network, data, metric="squared-error")
    refuses("average the outputs", td.evaluate_ensemble, landscape, [params])


def test_names_of_groups_and_rules(params):
    refuses(
        r"\['no'\] are not in the parameters",
        td.symmetry.fully_connected_group,
        params,
        buffers=["no"],
    )
    refuses("`text` is None; pass a text", td.SymmetryGroup.from_json, None)
    refuses("not JSON", td.SymmetryGroup.from_json, "?")
    refuses("name one or more", td.rule)
    refuses("name one or more", td.rule, lambda c, x: x)


def test_solvers_and_models(network):
    data = (torch.rand(12, 4), torch.arange(12) % 3)
    make = lambda seed: td.models.fully_connected([4, 8, 3], seed=seed)  # noqa: E731
    sgd = td.solvers.SGD(budget=1).train
    refuses("make_model is a Sequential; pass a function", sgd, network, data, 0)
    refuses("what make_model returns: expected a torch.nn.Module", sgd, lambda _: 3, data, 0)
    refuses(r"`seed` is 'a'; pass a whole number", sgd, make, data, "a")
    refuses(r"the seeds are \[-1\]; pass ints", sgd, make, data, np.int64(-1))
    refuses("`betas` is 0.9; pass 2 numbers", td.solvers.Adam, betas=0.9)
    refuses("`scope` is 3; pass 2 numbers", td.solvers.EntropySGD, scope=3)
    refuses("`coupling` is 3; pass 2 numbers", td.solvers.ReplicatedSGD, coupling=3)
    refuses("`widths` is 3; pass a list of whole numbers", td.models.fully_connected, 3)
    refuses("`widths` is .*2.5", td.models.binary_fully_connected, [4, 2.5, 3])
    refuses("`seed` is 'a'; pass a whole number", td.models.binary_perceptron, 5, seed="a")
    refuses("the seed is -1", td.models.lenet, seed=-1)
    refuses("`shape` is 0; pass a list of whole numbers", td.models.lenet, 0)
    refuses("`shape` is 0; pass a list of whole numbers", td.models.binary_convolutional, 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_devices_that_are_not_there(params, tmp_path):
    data = (torch.rand(12, 4), torch.arange(12) % 3)
    make = lambda seed: td.models.fully_connected([4, 8, 3], seed=seed)  # noqa: E731
    td.save_params(params, tmp_path / "a.safetensors")
    for device in ("cuda", "banana"):
        message = f"the device '{device}' cannot be used: .*; pass one that is here"
        refuses(message, td.load_params, tmp_path / "a.safetensors", device)
        refuses(message, td.data.digits(10).to, device)
        refuses(message, td.solvers.SGD(budget=1).train, make, data, 0, device=device)


def test_studies(tmp_path):
    refuses("`config` is .*; pass a StudyConfig", study.make_plan, "studies/digits.toml")
    refuses("pass a list of texts", study.load_config, "studies/digits.toml", "seeds=[0]")
    refuses("pass a list of Rows", study.make_tables, [{"a": 1}])
    refuses("`rows` is 'runs/digits'; pass a list of Rows", study.make_tables, "runs/digits")
    (tmp_path / "file").write_text("")
    text = {"name": "x", "seeds": [0], "solvers": {"sgd": {"method": "sgd"}}}
    config = StudyConfig.model_validate(text)
    refuses("is a file; name the folder", study.estimate, config, tmp_path / "file")


def test_a_folder_where_a_file_belongs(params, tmp_path):
    refuses("is a folder; name a file that may be replaced", td.save_params, params, tmp_path)


def test_kinds_within_kinds_have_one_plural():
    refuses("pass a dict of lists of whole numbers up to", td.SymmetryGroup, (), {"a": 3})


LONG = "x" * 100_000
STUDY = StudyConfig.model_validate(
    {"name": "s", "seeds": [0], "solvers": {"sgd": {"method": "sgd", "budget": 1}}}
)


@pytest.mark.parametrize(
    "call",
    [
        lambda: study.open_run(LONG),
        lambda: study.list_runs(LONG),
        lambda: study.run_study(STUDY, LONG),
        lambda: study.export_run("\ud800", "x"),
        lambda: study.export_run("x", "\ud800"),
        lambda: td.load_params("\ud800"),
        lambda: td.symmetry.Element.load("\ud800"),
        lambda: td.save_params({}, LONG),
        lambda: td.models.lenet(activation=LONG),
        lambda: td.models.lenet(activation=f"a\rb {'x ' * 1_000_000}"),
        lambda: td.SymmetryGroup.from_json(f'{{"a": {"9" * 5000}}}'),
        lambda: study.load_config("\ud800"),
        lambda: td.discover(nn.Linear(4, 3), (X,) * 1000),
    ],
)
def test_what_is_long_or_no_text_is_told_in_a_short_sentence(call):
    with pytest.raises(ToroidsError) as raised:
        call()
    sentence = str(raised.value)
    assert len(sentence) < 3500
    assert sentence.isprintable()
