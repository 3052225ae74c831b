"""`toroids merge` on folders of shards."""

import json
import shutil

import pytest
import torch
from cli.commands import MODEL, arguments, fill, run

import toroids as td
from toroids.checkpoint import open_checkpoint, save_checkpoint
from toroids.symmetry.group import SymmetryGroup

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A language model in many shards, and a copy of it that a random element has moved."""
    folder = tmp_path_factory.mktemp("written")
    config = transformers.LlamaConfig(
        vocab_size=20, hidden_size=8, intermediate_size=12, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=16,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(folder / "a", max_shard_size="1KB")
    (folder / "a" / "tokenizer.json").write_text("{}")
    assert run(folder, "symmetries", "a", "--json", "group.json") == 0
    group = SymmetryGroup.from_json((folder / "group.json").read_text())
    element = group.random(torch.Generator().manual_seed(0))
    source = open_checkpoint(folder / "a")
    save_checkpoint(group.moved(element, model.state_dict()), source, folder / "b")
    return folder, model


@pytest.fixture
def folders(written, tmp_path):
    """The same, to be changed."""
    folder, model = written
    return shutil.copytree(folder, tmp_path, dirs_exist_ok=True), model


@pytest.mark.parametrize("more", [[], ["--scratch", "scratch"]])
def test_a_network_and_its_copy_merge_into_shards_that_load(folders, more):
    folder, model = folders
    (folder / "scratch").mkdir()
    assert run(folder, "merge", "a", "b", "--out", "c", *more) == 0  # its configuration says what
    names = sorted(path.name for path in (folder / "a").iterdir())
    assert sorted(path.name for path in (folder / "c").iterdir()) == names
    assert len([name for name in names if name.endswith(".safetensors")]) > 3
    merged = transformers.LlamaForCausalLM.from_pretrained(folder / "c").eval()
    tokens = torch.randint(20, (2, 7), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(merged(tokens).logits, model(tokens).logits, atol=1e-4, rtol=1e-4)
    assert not list((folder / "scratch").iterdir())


@pytest.mark.parametrize("command", ["canonicalize a", "align b a", "compare b a", "merge a b"])
def test_weights_without_a_configuration_need_a_model(tmp_path, command, capsys):
    fill(tmp_path)
    name, *files = command.split()
    files = [f"{file}.safetensors" for file in files]
    assert run(tmp_path, name, *files, "--out", "d") == 2
    said = capsys.readouterr().err
    assert f"no config.json beside the weights of `{files[0]}`" in said and "--model" in said
    assert not (tmp_path / "d").exists()


def test_networks_of_one_base_are_told_first(tmp_path, capsys):
    torch.manual_seed(0)
    fill(tmp_path)
    params = td.load_params(tmp_path / "a.safetensors")
    large = {name: torch.randn(80, 80) for name in params}
    for name, noise in (("a", 0.0), ("b", 0.1)):
        td.save_params({n: x + noise for n, x in large.items()}, tmp_path / f"{name}.safetensors")
    for command in ("align", "merge"):
        run(tmp_path, *arguments(command, "out"))  # of other shapes than the model's
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("note: the networks are aligned as they lie: their matrices")
        run(tmp_path, *arguments(command, "out")[:2], "c.safetensors", *MODEL, "--out", "out")
        assert "aligned as they lie" not in capsys.readouterr().out


def test_what_cannot_be_kept_is_told_before_long_work(folders, capsys, monkeypatch):
    folder, _ = folders
    index = folder / "b" / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["head.weight"] = "extra.safetensors"
    index.write_text(json.dumps(content))
    td.save_params({"head.weight": torch.ones(3)}, folder / "b" / "extra.safetensors")
    for command, *files in (
        ("align", "b", "a"), ("canonicalize", "b"), ("merge", "b", "a"), ("merge", "a", "b"),
    ):  # fmt: skip
        monkeypatch.setattr("toroids.canonical.plan.Plan.__init__", None)  # which all long work has
        assert run(folder, command, *files, "--model", "a", "--out", "c") == 2
        assert "`head.weight`, for which the network has no place" in capsys.readouterr().err
    assert run(folder, "merge", "a", "b", "--model", "a", "--out", "c", "--scratch", ".",
               "--train", "digits") == 2  # fmt: skip
    assert "leave out the data" in capsys.readouterr().err
