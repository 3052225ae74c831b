"""`toroids compare`: what it prints and writes, and what it refuses."""

import json

import pytest
import torch
from cli.commands import MODEL, fill, run
from safetensors.torch import save_file

import toroids as td

NAMES = {"0": "hidden1", "2": "output"}


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path)
    a = td.load_params(tmp_path / "a.safetensors")
    renamed = {f"{NAMES[n[0]]}{n[1:]}": x for n, x in a.items()}
    group = td.symmetry.fully_connected_group(renamed)
    moved = group.apply(group.random(torch.Generator().manual_seed(0)), renamed)
    copy = {n: moved[f"{NAMES[n[0]]}{n[1:]}"] for n in a}
    td.save_params(copy, tmp_path / "copy.safetensors")
    return tmp_path


def test_a_pair_is_printed_and_written(folder, capsys):
    options = ("--out", "page.html", "--json", "found.json", "--element", "e.safetensors")
    assert run(folder, "compare", "a.safetensors", "copy.safetensors", *MODEL, *options) == 0
    out = capsys.readouterr().out
    assert "copy in disguise: Their weights are equal to the rounding of float64" in out
    assert "no element reaches more than 1.0000" in out
    found = json.loads((folder / "found.json").read_text())
    assert found["verdict"] == "copy in disguise"
    assert found["networks"] == ["a.safetensors", "copy.safetensors"]
    page = (folder / "page.html").read_text()
    assert "Copy in disguise." in page and "Layer by layer" in page
    element = td.symmetry.Element.load(folder / "e.safetensors")
    assert element.choices["0"].permutation.shape == (1, 4)


def test_outputs_are_compared_on_data(folder, capsys):
    data = {"inputs": torch.randn(9, 3).double(), "targets": torch.zeros(9, dtype=torch.long)}
    save_file(data, folder / "data.safetensors")
    options = ("--data", "data.safetensors", "--json", "found.json", "--out", "page.html")
    assert run(folder, "compare", "a.safetensors", "copy.safetensors", *MODEL, *options) == 0
    assert "on 9 examples; the largest is the same in 100.00 %" in capsys.readouterr().out
    found = json.loads((folder / "found.json").read_text())["outputs"]
    assert found["deviation"] < 1e-12 and found["first"]["examples"] == 9
    assert "on 9 examples" in (folder / "page.html").read_text()


def test_many_networks_make_a_tree(folder, capsys):
    files = [f"{name}.safetensors" for name in ("a", "b", "copy")]
    assert run(folder, "compare", *files, *MODEL, "--out", "page.html", "--json", "f.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "  a.safetensors" in [line[2:] for line in lines]
    found = json.loads((folder / "f.json").read_text())
    assert found["names"] == files and len(found["pairs"]) == 3
    assert found["distances"][0][2] < 1e-9 < found["distances"][0][1]
    page = (folder / "page.html").read_text()
    assert "Family tree" in page and "Of 3 pairs:" in page


def test_bad_input_is_refused_in_one_sentence(folder, capsys):
    a = td.load_params(folder / "a.safetensors")
    wide = {**a, "0.weight": torch.ones(5, 3).double()}
    cases = {
        "wide": (wide, "has shape (4, 3) in the network but (5, 3) in the checkpoint"),
        "wide2": (wide, "3 of 4 tensors fit: compare them with --only 0.bias --only 2."),
        "half": ({n: x for n, x in a.items() if n[0] == "0"}, "lacks `2.weight`, `2.bias`; "),
        "half2": ({n: x for n, x in a.items() if n[0] == "0"}, "2 of 4 tensors fit: compare them"),
        "other": ({"x": torch.ones(2)}, "0 of 4 tensors fit, so that no part can be compared"),
        "deeper": ({**a, "4.weight": torch.ones(2, 2)}, "holds `4.weight`, for which the model"),
        "head": (
            {**a, "2.weight": torch.ones(7, 4).double(), "2.bias": torch.ones(7).double()},
            "2 of 4 tensors fit: compare them with --only 0 --only 2, with as many entries",
        ),
        "nan": ({**a, "2.bias": a["2.bias"] * torch.nan}, "NaN or infinite"),
        "int8": ({**a, "0.weight": a["0.weight"].to(torch.int8)}, "holds quantised weights"),
        "packed": ({**a, "0.qweight": torch.ones(3, dtype=torch.int32)}, "dequantise it with"),
    }
    for name, (params, sentence) in cases.items():
        save_file(params, folder / f"{name}.safetensors")
        assert run(folder, "compare", "a.safetensors", f"{name}.safetensors", *MODEL) == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1, name
    (folder / "loop.safetensors").symlink_to("loop.safetensors")
    for words, sentence in (
        (("a.safetensors", "./a.safetensors"), "are the same file"),
        (("a.safetensors",), "pass two or more"),
        (("a.safetensors", "loop.safetensors"), "it is a link that leads back to itself"),
        (
            ("a.safetensors", "b.safetensors", "nan.safetensors"),
            "`2.bias` in `nan.safetensors` has",
        ),
        (
            ("a.safetensors", "b.safetensors", "c.safetensors", "--only", "0"),
            "are for two networks",
        ),
    ):
        assert run(folder, "compare", *words, *MODEL) == 2
        assert sentence in capsys.readouterr().err


def test_outputs_are_not_written_onto_each_other(folder, capsys):
    words = ("compare", "a.safetensors", "b.safetensors", *MODEL, "--out", "x", "--json", "x")
    assert run(folder, *words) == 2
    assert "`x` is what the command reads" in capsys.readouterr().err


def test_names_that_steer_a_terminal_are_escaped(folder, capsys):
    name = "\x1b[31m\u202eodd\n"
    (folder / "copy.safetensors").rename(folder / name)
    assert (
        run(folder, "compare", "a.safetensors", "b.safetensors", name, *MODEL, "--out", name * 2)
        == 0
    )
    out = capsys.readouterr().out
    assert "\\x1b[31m\\u202eodd" in out and "\x1b" not in out and "\u202e" not in out
