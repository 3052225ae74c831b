import json

import pytest
import torch

from toroids.errors import ConfigError
from toroids.models.load import example, load_model, usual_inputs


def test_a_callable_and_a_module_are_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(
        "import torch\n\ndef build():\n    return torch.nn.Linear(3, 2)\n\nready = build()\nnumber = int\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(load_model("my_networks:build"), torch.nn.Linear)
    assert isinstance(load_model("my_networks:ready"), torch.nn.Linear)
    with pytest.raises(ConfigError, match=r"gives a int; expected a torch\.nn\.Module"):
        load_model("my_networks:number")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "names no model"),
        ("no_such_module:build", "cannot be imported"),
        ("torch:no_such_name", "cannot be imported"),
        ("torch.nn:Linear", "cannot be called without arguments"),
    ],
)
def test_a_wrong_name_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        load_model(name)


def test_a_model_that_fails_says_where(tmp_path, monkeypatch):
    (tmp_path / "broken_networks.py").write_text("def build():\n    return 1 + 'one'\n")
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"failed in line 2 of `.*broken_networks.py`: TypeError"):
        load_model("broken_networks:build")
    with pytest.raises(ConfigError, match=r"failed in line 1 of `.*`: ZeroDivisionError"):
        load_model("broken_module:build")


def test_a_hugging_face_folder_is_read_without_executing_it(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=8, bos_token_id=1, eos_token_id=2
    )
    model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path))
    assert all(torch.equal(loaded.state_dict()[n], t) for n, t in model.state_dict().items())
    (tmp_path / "config.json").write_text('{"architectures": ["Nothing"]}')
    with pytest.raises(ConfigError, match="expected an architecture"):
        load_model(str(tmp_path))
    layers = {"architectures": ["GPT2LMHeadModel"], "sub": {"n_layer": 10**9}}
    (tmp_path / "config.json").write_text(json.dumps(layers))
    with pytest.raises(ConfigError, match="n_layer is 1000000000, more than 10,000"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"no readable config\.json"):
        load_model(str(tmp_path))


def test_example_inputs():
    assert example("2,3").shape == (2, 3)
    assert example("2,3", 7).dtype == torch.long
    assert example("2,3", 7).max() < 7
    for wrong in ("", "a,b", "2,0", "1_0,2", "１,2", "1," * 500 + "12"):
        with pytest.raises(ConfigError, match="write sizes as"):
            example(wrong)
    with pytest.raises(ConfigError, match=r"shape 9{60}\.\.\. has more than"):
        example("9" * 400)
    with pytest.raises(ConfigError, match="tokens are drawn below 0"):
        example("2,3", 0)


def test_a_configuration_and_an_index_are_enough_without_weights(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=8)
    config.architectures = ["GPT2LMHeadModel"]
    config.save_pretrained(tmp_path)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert all(x.is_meta for x in load_model(str(tmp_path), weights=False).parameters())
    with pytest.raises(ConfigError, match="00001-of-00002"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("name", ["set_seed", "AutoModel", "GPT2Config", "Evil"])
def test_only_modules_of_transformers_are_built(name, tmp_path):
    pytest.importorskip("transformers")
    code = f"open({str(tmp_path / 'executed')!r}, 'w')\nEvil = Config = None\n"
    (tmp_path / "evil.py").write_text(code)
    settings = {
        "architectures": [name],
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Evil"},
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="expected an architecture of transformers"):
        load_model(str(tmp_path), weights=False)
    settings["architectures"] = ["GPT2LMHeadModel"]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="trust_remote_code"):
        load_model(str(tmp_path), weights=False)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_labels": 10**9}, "num_labels is 1000000000, more than 1,000,000"),
        ({"attn_implementation": "owner/code"}, "'owner/code', code that is elsewhere"),
        ({"text_config": {"_attn_implementation": {"": "owner/code"}}}, "code that is elsewhere"),
    ],
)
def test_a_configuration_that_asks_for_too_much(settings, message, tmp_path):
    pytest.importorskip("transformers")
    content = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", **settings}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message):
        load_model(str(tmp_path), weights=False)


def test_a_model_of_a_folder_without_weights_takes_no_memory(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, vocab_size=20, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    empty = load_model(str(tmp_path), weights=False)
    assert all(p.is_meta for p in empty.parameters())
    assert not any(b.is_meta for b in empty.buffers())
    assert not torch.nn.Linear(2, 2).weight.is_meta
    whole = load_model(str(tmp_path))
    assert {n: p.shape for n, p in empty.named_parameters()} == {
        n: p.shape for n, p in whole.named_parameters()
    }


def test_inputs_are_told_by_the_configuration():
    transformers = pytest.importorskip("transformers")
    text = transformers.T5Config(
        d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=11
    )
    found = usual_inputs(transformers.T5ForConditionalGeneration(text))
    assert {name: x.shape for name, x in found.items()} == {
        "input_ids": (1, 12), "decoder_input_ids": (1, 11)
    }  # fmt: skip
    assert max(int(x.max()) for x in found.values()) < 11
    image = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        image_size=8, patch_size=4,
    )  # fmt: skip
    assert usual_inputs(transformers.ViTModel(image))["pixel_values"].shape == (1, 3, 8, 8)
    with pytest.raises(ConfigError, match="pass an example's shape"):
        usual_inputs(torch.nn.Linear(2, 2))
