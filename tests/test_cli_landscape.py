"""The shell commands that measure the landscape, on networks that were trained on digits."""

from dataclasses import dataclass

import pytest
import torch
from landscape.networks import digits
from safetensors.torch import save_file

import toroids as td
from toroids.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    _, _, a, b, data = digits()
    third = {name: (a[name] + b[name]) / 2 + 0.01 for name in a}
    for name, params in (("a", a), ("b", b), ("c", third)):
        td.save_params(params, folder / f"{name}.safetensors")
    inputs, labels = data.train
    save_file({"inputs": inputs, "labels": labels}, folder / "train.safetensors")
    (folder / "nets.py").write_text(
        "import toroids as td\n\ndef build():\n"
        "    return td.models.fully_connected([64, 32, 32, 10], seed=0)\n\n"
        "def binary():\n    return td.models.binary_fully_connected([64, 21, 10], norm='none')\n"
    )
    for seed, name in enumerate("pqr"):
        model = td.models.binary_fully_connected([64, 21, 10], norm="none", seed=seed)
        td.save_params(model.state_dict(), folder / f"{name}.safetensors")
    return folder


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def toroids(folder, monkeypatch, capsys):
    """Runs a command in this process, which saves the start of another."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)

    def run(command, *arguments, networks="ab", model="build"):
        files = [f"{name}.safetensors" for name in networks]
        options = ["--model", f"nets:{model}", "--input", "2,64", *map(str, arguments)]
        monkeypatch.setattr("sys.argv", ["toroids", command, *files, *options])
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code
        return Result(code, *capsys.readouterr())

    return run


def done(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def page(path):
    text = path.read_text()
    assert "Plotly.newPlot" in text
    assert "src=" not in text.replace("src=this", "").split("</script>")[-1]
    return text


def test_profile_prints_barriers_and_draws_them(toroids, folder):
    out = done(
        toroids("profile", "--data", "train.safetensors", "--out", "p.html",
                "--way", "geodesic", "--way", "bend", "--points", 11, "--steps", 1000)
    )  # fmt: skip
    lines = {line.split(":")[0]: line for line in out.splitlines() if ": barrier" in line}
    model, group, a, b, data = digits()
    found = td.align(group, b, to=a)
    path = td.Toroid(group).geodesic(found.reference, found.params)
    expected = td.profile(td.Landscape(model, data.train), path, 11).barrier
    assert f"barrier {expected:.4g} " in lines["geodesic"]
    assert "barrier 0 " in lines["bend"]
    assert "over a trained bend" in page(folder / "p.html")


def test_flatness_of_several_networks(toroids, folder):
    out = done(
        toroids("flatness", "--data", "train.safetensors", "--out", "f.html",
                "--sigmas", "0.2,0.4", "--samples", 4)
    )  # fmt: skip
    model, _, a, _, data = digits()
    group = td.discover(model, data.train[0][:2], output="classifier")
    canonical, toroid = td.canonicalize(group, a), td.Toroid(group)
    energy = td.local_energy(td.Landscape(model, data.train, on=toroid), canonical, (0.2, 0.4), 4)
    assert f"a.safetensors: sigma 0.4  increase {energy.increase[1]:.4g}" in out
    assert "b.safetensors: 4 samples of multiplicative noise" in out
    page(folder / "f.html")
    tangent = done(
        toroids("flatness", "--data", "train.safetensors", "--out", "f.html",
                "--sigmas", "0.2", "--samples", 2, "--kind", "tangent")
    )  # fmt: skip
    assert "2 samples of tangent noise" in tangent


def test_section_through_three_networks(toroids, folder):
    out = done(
        toroids("section", "--data", "train.safetensors", "--out", "s.html",
                "--resolution", 5, networks="abc")
    )  # fmt: skip
    model, _, a, _, data = digits()
    assert f"a.safetensors: error {td.evaluate(model, a, data.train).error:.4g} at (0, 0)" in out
    page(folder / "s.html")


def test_section_along_a_training(toroids, folder):
    out = done(
        toroids("section", "--data", "train.safetensors", "--out", "s.html",
                "--resolution", 3, "--trajectory", networks="abca")
    )  # fmt: skip
    model, group, *_ = digits()
    given = [td.load_params(folder / f"{name}.safetensors") for name in "abca"]
    given = [td.canonicalize(group, network) for network in given]
    landscape = td.Landscape(model, digits()[-1].train)
    found = td.section(landscape, given, 3, axes="principal")
    (x, y), error, away = found.points[1].tolist(), found.errors[1], found.away[1]
    assert f"error {error:.4g} at ({x:.4g}, {y:.4g}), {away:.4g} from the plane\n" in out
    assert "of the squared distances lie along the two axes" in out
    assert "principal axes of 4 checkpoints, canonical" in page(folder / "s.html")


def test_binary_weights_are_flipped(toroids, folder):
    binary = {"model": "binary"}
    data = ("--data", "train.safetensors", "--out", "flips.html")
    made = {name: td.load_params(folder / f"{name}.safetensors") for name in "pqr"}
    model = td.models.binary_fully_connected([64, 21, 10], norm="none")
    cube = td.geometry.Hypercube(td.discover(model, torch.randn(2, 64), output="classifier"))
    x = td.canonicalize(cube.group, made["p"])
    y, z = (td.align(cube.group, made[name], to=x).params for name in "qr")
    train = digits()[-1].train

    out = done(toroids("profile", *data, "--points", 5, "--orders", 3, networks="pq", **binary))
    expected = td.flip_profile(td.Landscape(model, train, on=cube), x, y, 3, 5).barrier
    assert f"\nflips: barrier {expected:.4g} (standard error" in out
    assert out.startswith("flips_raw: barrier")
    assert "random flips, aligned" in page(folder / "flips.html")

    greedy = ("--way", "flips_greedy", "--orders", 1, "--points", 5)
    out = done(toroids("profile", *data, *greedy, networks="pq", **binary))
    landscape = td.Landscape(model, train, on=cube)
    expected = td.flip_profile(landscape, x, y, td.landscape.Greedy(1, 100), 201).barrier
    assert f"flips_greedy: barrier {expected:.4g} (1 greedy order); 201 points" in out

    out = done(toroids("flatness", *data, "--samples", 2, networks="p", **binary))
    assert "p.safetensors: 2 samples of flips noise" in out

    out = done(toroids("section", *data, "--resolution", 3, networks="pqr", **binary))
    found = td.median_section(td.Landscape(model, train, on=cube), [x, y, z], 3)
    assert f"median: error {found.median_error:.4g}\n" in out
    assert f"p.safetensors: error {found.errors[0]:.4g}, {found.legs[0]:.4g} of the weights" in out
    assert "distance from the median" in page(folder / "flips.html")

    out = done(toroids("section", *data, "--resolution", 3, "--raw", networks="pqr", **binary))
    y, z = (td.canonicalize(cube.group, made[name]) for name in "qr")
    found = td.median_section(td.Landscape(model, train, on=cube), [x, y, z], 3)
    assert f"median: error {found.median_error:.4g}\n" in out

    for command, option, message in (
        ("profile", ("--way", "geodesic"), "no way 'geodesic' between binary weights"),
        ("profile", ("--tolerance", 0.1), "flip in whole steps"),
        ("section", ("--tolerance", 0.1), "flip in whole steps"),
        ("section", ("--trajectory",), "binary weights have no principal axes"),
    ):
        networks = "pq" if command == "profile" else "pqr"
        refused = toroids(command, *data, *option, networks=networks, **binary)
        assert refused.returncode != 0
        assert message in refused.stderr
    assert (
        "no way 'flips' between real weights" in toroids("profile", *data, "--way", "flips").stderr
    )


def test_merge_writes_a_network_and_compares(toroids, folder):
    out = done(
        toroids("merge", "--data", "digits:test", "--train", "train.safetensors",
                "--out", "m.safetensors", "--picture", "m.html")
    )  # fmt: skip
    merged = td.load_params(folder / "m.safetensors")
    model, group, a, b, data = digits()
    expected = td.merge(
        td.discover(model, torch.randn(2, 64)), [a, b], td.Landscape(model, data.train)
    )
    assert all(torch.allclose(merged[name], expected[name]) for name in expected)
    error = td.evaluate(model, merged, td.data.digits().test).error
    assert f"merged: error {error:.4g} " in out
    assert "ensemble: error" in out
    page(folder / "m.html")


@pytest.mark.parametrize(
    ("command", "networks", "arguments", "message"),
    [
        ("section", "ab", ["--data", "digits", "--out", "x.html"], "a plane goes through three"),
        ("section", "ab", ["--data", "digits", "--out", "x.html", "--trajectory"], "2 checkpoints"),
        ("merge", "a", ["--out", "x.safetensors"], "1 networks to merge"),
        ("merge", "ab", ["--out", "x.safetensors", "--picture", "x.html"], "pass --data"),
        ("profile", "ab", ["--data", "nowhere", "--out", "x.html"], "no weight file `nowhere`"),
        ("profile", "ab", ["--data", "a.safetensors", "--out", "x.html"], "expected `inputs`"),
        ("profile", "ab", ["--data", "digits", "--out", "x.html", "--way", "up"], "no way 'up'"),
        ("flatness", "a", ["--data", "digits", "--out", "x.html", "--sigmas", "a"], "the sigmas"),
        ("flatness", "a", ["--data", "digits", "--out", "a.safetensors/x.html"], "cannot use"),
        ("section", "abc", ["--data", "digits", "--out", "."], "`.` is a folder"),
        (
            "profile",
            "ab",
            ["--data", "digits", "--out", "x.html", "--metric", "f"],
            "no metric 'f'",
        ),
        ("merge", "ab", ["--out", "x.safetensors", "--metric", "f"], "there is no metric 'f'"),
        (
            "merge",
            "ab",
            ["--out", "x.safetensors", "--method", "loss"],
            "looks at data; pass --train",
        ),
        ("section", "abc", ["--data", "digits", "--out", "x.html", "--method", "f"], "no method"),
        ("flatness", "a", ["--data", "digits", "--out", "x.html", "--seed", "-1"], "--seed"),
    ],
)
def test_mistakes_get_one_sentence(toroids, folder, command, networks, arguments, message):
    result = toroids(command, *arguments, networks=networks)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(folder.glob("x.*"))
