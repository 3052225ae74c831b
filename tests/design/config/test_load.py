import math
import re
import sys
from pathlib import Path

import pytest
import torch

from toroids.design.config import StudyConfig, load_config
from toroids.errors import ConfigError

STUDIES = Path(__file__).parents[3] / "studies"


def write_idx(folder):
    """Writes a set of images as MNIST's files hold them, small and all black."""
    folder.mkdir()
    for part, count in (("train", 60), ("t10k", 10)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
            content = header + bytes(math.prod(shape))
            (folder / f"{part}-{kind}-ubyte").write_bytes(content)


def load(tmp_path, text, overrides=()):
    path = tmp_path / "study.toml"
    path.write_bytes(text.encode())
    return load_config(path, overrides)


def fault(tmp_path, text, overrides=()):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, overrides)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".") and not str(caught.value).endswith("..")
    return str(caught.value)


GOOD = 'name = "s"\nseeds = [0, 1]\n[solvers.sgd]\nmethod = "sgd"\n'  # four lines
MLP = '[networks.mlp]\nmodel = "fully_connected"\n'
BINARY = '[networks.mlp]\nmodel = "binary_fully_connected"\n'
IMAGE = '[data]\nname = "digits"\nimage = true\n'


def test_the_default_study_is_what_was_asked_for():
    config = load_config(STUDIES / "digits.toml")
    assert {solver.method for solver in config.solvers.values()} == {
        "sgd",
        "replicated_sgd",
        "adversarial_sgd",
    }
    assert len(config.seeds) >= 6
    assert config.networks["mlp"].hidden == (128, 128)
    assert config.data.train == 600
    shared = {(s.budget, s.hold, s.batch_size, s.lr, s.momentum) for s in config.solvers.values()}
    assert len(shared) == 1


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_studies_are_right_and_survive_being_written_out(path, tmp_path, monkeypatch):
    monkeypatch.setenv("TOROIDS_DATA", str(tmp_path))
    write_idx(tmp_path / "fashion-mnist")
    config = load_config(path, ["device=cpu"])  # a machine without a GPU refuses another
    assert StudyConfig.model_validate(config.model_dump(mode="json")) == config
    assert StudyConfig.model_validate_json(config.model_dump_json(), strict=True) == config


def test_defaults_fill_what_is_not_said(tmp_path):
    config = load(tmp_path, GOOD)
    assert config.profiles.points == 25
    assert config.profiles.within == "all" and config.profiles.across == 6
    assert config.solvers["sgd"].lr == 0.1
    assert config.device == "cpu" and not config.binary
    assert config.bends.count == config.sections.count == 0
    assert (config.claims.tolerance, config.claims.small) == (0.01, 0.02)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "learning_rate = 1\n", "line 5: `solvers.sgd.learning_rate` is not a known key"),
        ("colour = 1\n" + GOOD, "line 1: `colour` is not a known key"),
        (
            GOOD + 'lr = "fast"\n',
            "line 5: `solvers.sgd.lr`: input should be a valid number.*'fast'",
        ),
        (GOOD + "lr = -1\n", "line 5: `solvers.sgd.lr`: input should be greater than 0, got -1"),
        (GOOD + BINARY + "bias = true\n", "line 7: `networks.mlp.bias` is not a known key"),
        (GOOD + MLP + "threshold = 0.5\n", "line 7: `networks.mlp.threshold` is not a known key"),
        (
            GOOD + BINARY + "[flatness]\nsigmas = [0.5, 1.5]\nreference = 0.5\n",
            "line 8: `flatness.sigmas`: they are fractions of binary weights; pass at most 1",
        ),
        (GOOD + "[profiles]\norders = 2\n", "line 6: `profiles.orders`: it is of binary networks"),
        (GOOD + "[profiles]\nblocks = 2\n", "line 6: `profiles.blocks`: it is of binary networks"),
        (GOOD + "lr = inf\n", "`solvers.sgd.lr`: input should be a finite number"),
        (
            GOOD.replace('"sgd"', '"sdg"'),
            "line 4: `solvers.sgd.method` is 'sdg'; choose from sgd, adam",
        ),
        (
            GOOD.replace('method = "sgd"', ""),
            "line 3: `solvers.sgd.method` is missing; choose from",
        ),
        (GOOD.replace("seeds = [0, 1]", ""), "line 1: `seeds` is missing"),
        (GOOD.replace("[0, 1]", "[0, 0]"), "line 2: `seeds`: a seed occurs twice"),
        (GOOD.replace("[0, 1]", "[]"), "line 2: `seeds`: tuple should have at least 1 item"),
        (
            GOOD.replace('name = "s"', 'name = "../s"'),
            "line 1: `name`: string should match pattern",
        ),
        (
            GOOD.replace("solvers.sgd", 'solvers."../x"'),
            r"line 3: `solvers\.\"\.\./x\"`: string should match",
        ),
        (GOOD + '"\\u001b[31m" = 1\n', r'line 5: `solvers\.sgd\."\\u001b\[31m"` is not a known'),
        (GOOD + "[flatness]\nsigmas = [0.1]\n", "line 5: .*reference 0.5 is not one of the sigmas"),
        (GOOD + "[flatness]\nsigmas = [-0.1]\nreference = -0.1\n", "greater than or equal to 0"),
        (GOOD + "[profiles]\npoints = 1\n", "`profiles.points`: .* greater than or equal to 2"),
        (
            GOOD + "[data]\nname = 'imagenet'\n",
            "line 6: `data.name` is 'imagenet'; choose from digits, gly",
        ),
        (GOOD + "[data]\ntrain = 3\n", "line 5: `data.name` is missing; choose from digits, gly"),
        (GOOD + 'lr = "0.1"\n', "`solvers.sgd.lr`: input should be a valid number"),
        (GOOD + "lr = true\n", "`solvers.sgd.lr`: input should be a valid number"),
        (GOOD + "budget = true\n", "`solvers.sgd.budget`: input should be a valid integer"),
        (GOOD + "budget = 2.0\n", "`solvers.sgd.budget`: input should be a valid integer"),
        (GOOD.replace("[0, 1]", '["0"]'), "line 2: `seeds.0`: input should be a valid integer"),
        (GOOD.replace("[0, 1]", "[true]"), "`seeds.0`: input should be a valid integer"),
        (GOOD.replace("[0, 1]", f"[1{'0' * 300}]"), r"`seeds.0`: [^;]*000\[\.\.\.\]\.$"),
        (GOOD.replace("[0, 1]", f"[1{'0' * 6000}]"), "is not TOML"),
        (GOOD.replace("[0, 1]", "[" * 5000 + "]" * 5000), "is not TOML"),
        (GOOD + "\n" + ".".join(["a"] * 100_000) + " = 1", "a key has more than 50 parts"),
        (GOOD + "\n[" + ".".join(["a"] * 5000) + "]\nx = 1", "a key has more than 50 parts"),
        (GOOD + '"x,y"' + ".a" * 40_000 + " = 1", "a key has more than 50 parts"),
        (GOOD + "'='" + " . a" * 40_000 + " = 1", "a key has more than 50 parts"),
        (GOOD + "x = {a" + ".a" * 40_000 + " = 1}", "a key has more than 50 parts"),
        (GOOD + "['='" + ".a" * 40_000 + "]", "a key has more than 50 parts"),
        (GOOD + f"x = {'{a.a.a=' * 200}1{'}' * 200}", "lie more than 500 deep within each other"),
        (GOOD + f"budget = 0x{'f' * 100_000}", "not TOML: a number has more than 4,000 digits"),
        (GOOD + f"budget = {'9' * 5000}", "not TOML: a number has more than 4,000 digits"),
        (
            GOOD + "".join(f"k{n} = 1\n" for n in range(99)),
            r"`solvers.sgd.k9` [^;]*;[^;]*; and 89 more\.$",
        ),
        (
            GOOD + MLP + 'bias = "no"\n',
            "line 7: `networks.mlp.bias`: input should be a valid boolean",
        ),
        (GOOD + MLP + "hidden = []\n", "`networks.mlp.hidden`"),
        (GOOD + MLP + "hidden = [\n1000000000000\n]\n", "line 7: `networks.mlp.hidden.0`"),
        (
            GOOD + MLP + "activation = 'rely'\n",
            "`networks.mlp.activation`: choose from elu.*relu.*'rely'",
        ),
        (
            GOOD + BINARY + "norm = 'batch'\n",
            "line 7: .*norm`: choose from none, real, batch_norm, got",
        ),
        (
            GOOD + "[networks.a]\nmodel = 'rnn'\n",
            "line 6: `networks.a.model` is 'rnn'; choose from fully_c",
        ),
        (
            GOOD + "[networks.a]\n",
            "line 5: `networks.a.model` is missing; choose from fully_connected",
        ),
        (
            GOOD + "[networks]\n",
            r"line 5: `networks`: expected at least one table \[networks.NAME\]",
        ),
        ("networks = 3\n" + GOOD, "line 1: `networks`: expected a table, got 3"),
        ("networks.a = 3\n" + GOOD, "line 1: `networks.a`: expected a table, got 3"),
        ("data = 3\n" + GOOD, "line 1: `data`: expected a table, got 3"),
        ("flatness = 3\n" + GOOD, "line 1: `flatness`: expected a table, got 3"),
        (
            GOOD + '[solvers.SGD]\nmethod = "sgd"\n',
            "line 3: `solvers`: two solvers differ in upper and",
        ),
        (
            "networks.a.model = 'vgg'\nnetworks.A.model = 'vgg'\n" + GOOD,
            "two networks differ in upper",
        ),
        (GOOD + "budget = 2020-01-01\n", "`solvers.sgd.budget`: input should be a valid integer"),
        (
            GOOD + "[alignment]\nmethod = 'gredy'\n",
            "line 6: `alignment.method`: choose from desc",
        ),
        (
            GOOD + "[alignment]\nmethod = 'loss'\n",
            "line 6: `alignment.method`: choose from desc",
        ),
        (
            GOOD + "[profiles]\nwithin = 'some'\n",
            'line 6: .*within`: pass a whole number, 0 or more, or "all"',
        ),
        (GOOD + "[profiles]\nacross = true\n", "`profiles.across`: pass a whole number.*got True"),
        (GOOD + "[profiles]\nwithin = -1\n", "`profiles.within`: pass a whole number.*got -1"),
        (
            "device = 'gpu'\n" + GOOD,
            'line 1: `device`: write "cpu", "cuda" or "cuda:1", got \'gpu\'',
        ),
        (
            GOOD + f"x = {'[' * 250}{']' * 250}\n",
            "is not a study: Invalid JSON: recursion limit [^,]*$",
        ),
        ("name = \n", "is not TOML"),
        ("name = 'a'\rseeds = [0]\n", "is not TOML"),
    ],
)
def test_wrong_studies_get_one_sentence(tmp_path, text, message):
    assert re.search(message, fault(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            GOOD + "[network]\nhidden = [12]\n",
            r"line 5: `network` is how older studies say it; write \[networks.NAME\] with model =",
        ),
        (
            GOOD + "[profiles]\nbends = 2\n",
            r"line 6: `profiles.bends` .* write \[bends\] with count",
        ),
        (
            GOOD + "[profiles]\nbend_steps = 2\n",
            r"`profiles.bend_steps` .* write \[bends\] with steps",
        ),
    ],
)
def test_older_studies_are_told_what_to_write(tmp_path, text, message):
    assert re.search(message, fault(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + MLP + BINARY.replace("mlp", "b"), "line 5: `networks`: .* make two studies"),
        (
            GOOD + "[networks.a]\nmodel = 'lenet'\n",
            r"line 5: `networks.a`: it takes images .* \(64,\); .*image = true",
        ),
        (
            GOOD + IMAGE + "[networks.a]\nmodel = 'lenet'\n",
            "line 8: `networks.a`: an image of 8 pixels per side is too small for kernels of 5",
        ),
        (
            GOOD + IMAGE + "[networks.a]\nmodel = 'vgg'\n",
            "line 8: .* 32 x 32 pixels or more .* 8 x 8",
        ),
        (
            GOOD + IMAGE + "[networks.a]\nmodel = 'vit'\npatch = 3\n",
            "line 8: .*patches of 3 pixels do not",
        ),
        (
            GOOD + "[networks.a]\nmodel = 'gpt'\n",
            "line 5: .*takes tokens but the data are numbers",
        ),
        (
            GOOD + "[networks.a]\nmodel = 'committee'\nhidden = 3\n",
            "line 5: .* 2 classes .* have 10",
        ),
        (GOOD + "[bends]\ncount = 1\n", None),
        (
            GOOD.replace("[0, 1]", "[0]") + "[bends]\ncount = 1\n",
            "line 6: .*needs 2 seeds or more, got 1",
        ),
        (
            GOOD + "[sections]\ncount = 1\n",
            "line 6: `sections.count`: it needs 3 seeds or more, got 2",
        ),
        (
            GOOD + BINARY + "[sections]\ntrajectories = 2\n",
            "`sections.trajectories`: binary networks have no principal axes; pass 0, got 2",
        ),
        (
            GOOD + MLP + MLP.replace("mlp", "mlp-sgd") + '[solvers.sgd-sgd]\nmethod = "sgd"\n',
            "line 9: `solvers.sgd-sgd`: .* would be called like .*; name them apart|line 3: .*apart",
        ),
        (GOOD + IMAGE + "subset = 601\n", "line 8: `data.subset`: there are 600 training examples"),
    ],
)
def test_parts_that_do_not_fit_each_other(tmp_path, text, message):
    if message is None:
        load(tmp_path, text)
    else:
        assert re.search(message, fault(tmp_path, text))


def test_all_faults_are_named_at_once_in_the_order_of_their_lines(tmp_path):
    text = (
        "colour = 1\ndevice = 'cuda:99'\n"
        + GOOD
        + "lr = -1\n"
        + IMAGE
        + "[networks.a]\nmodel = 'lenet'\n"
        + "[networks.b]\nmodel = 'lenet'\nactivation = 'rely'\n"
        + "[networks.c]\nmodel = 'custom'\ncallable = 'nowhere.at_all:f'\n"
        + "[sections]\ncount = 1\n[profiles]\norders = 3\nacross = -1\n"
        + "[flatness]\nreference = 0.55\nsamples = 1\n"
    )
    message = fault(tmp_path, text)
    lines = [int(line) for line in re.findall(r"line (\d+): ", message)]
    # of profiles only what is wrong in itself; that orders do not fit is asked when it is not
    assert lines == [1, 2, 7, 11, 15, 18, 20, 23, 25, 26]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_those_of_an_editor(tmp_path, end):
    text = '\n# one\nname = """\na\\\n"""\nseeds = [\n  0, # zero\n]\n[solvers.sgd]\nmethod = "sgd"\nlr = -1\n'
    assert "line 11: `solvers.sgd.lr`" in fault(tmp_path, text.replace("\n", end))


def test_a_mark_of_the_byte_order_is_skipped(tmp_path):
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_config(tmp_path / "bom.toml").name == "s"


def test_missing_files_folders_and_binary_files(tmp_path):
    with pytest.raises(ConfigError, match="no study file"):
        load_config(tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(tmp_path / "binary.toml")


def test_what_is_not_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert load(tmp_path, "device = 'cuda:1'\n" + GOOD).device == "cuda:1"
    message = fault(tmp_path, "device = 'cuda:2'\n" + GOOD)
    assert "choose from cpu, cuda:0, cuda:1, got 'cuda:2'" in message
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "choose from cpu, got 'cuda'" in fault(tmp_path, "device = 'cuda'\n" + GOOD)
    folder = f"[data]\nname = 'folder'\npath = '{tmp_path / 'gone'}'\n"
    assert "line 7: `data.path`: there is no such folder" in fault(tmp_path, GOOD + folder)


def test_a_study_that_another_machine_has_run_can_be_read(tmp_path):
    elsewhere = {
        "name": "s",
        "seeds": [0],
        "device": "cuda:7",
        "data": {"name": "folder", "path": str(tmp_path / "gone")},
        "networks": {"a": {"model": "custom", "callable": "nowhere.at_all:f"}},
        "solvers": {"sgd": {"method": "sgd"}},
    }
    assert StudyConfig.model_validate(elsewhere).device == "cuda:7"


def test_custom_networks_are_not_imported_by_reading_their_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package_of_mine").mkdir()
    for name in ("__init__", "networks"):
        (tmp_path / "package_of_mine" / f"{name}.py").write_text("raise SystemExit('imported')\n")
    table = "[networks.a]\nmodel = 'custom'\ncallable = 'package_of_mine.networks:make'\n"
    load(tmp_path, GOOD + table)
    assert "package_of_mine" not in sys.modules
    message = fault(tmp_path, GOOD + table.replace("networks:", "others:"))
    assert "line 7: `networks.a.callable`: there is no module `package_of_mine.others`" in message
    assert "write package.module:function" in fault(tmp_path, GOOD + table.replace(":make", ""))


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("solvers.sgd.lr=0.5", lambda config: config.solvers["sgd"].lr == 0.5),
        ("seeds=[3, 4, 5]", lambda config: config.seeds == (3, 4, 5)),
        ("seeds = [3]", lambda config: config.seeds == (3,)),
        ("name=other", lambda config: config.name == "other"),
        ('name="other"', lambda config: config.name == "other"),
        ("profiles.across=all", lambda config: config.profiles.across == "all"),
        ("solvers.adam.method=adam", lambda config: list(config.solvers) == ["sgd", "adam"]),
        ("solvers={a={method='sam'}}", lambda config: list(config.solvers) == ["a"]),
        ("data={name='digits', train=7}", lambda config: config.data.train == 7),
    ],
)
def test_overrides(tmp_path, override, found):
    assert found(load(tmp_path, GOOD, [override]))


def test_the_last_override_counts(tmp_path):
    overrides = ["solvers.sgd.lr=1.0", "solvers.sgd.lr=2"]
    assert load(tmp_path, GOOD, overrides).solvers["sgd"].lr == 2.0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "solvers.sgd.lr=fast",
            "--set solvers.sgd.lr=fast: `solvers.sgd.lr`: input should be a valid",
        ),
        ("solvers.sgd.rl=1", "--set solvers.sgd.rl=1: `solvers.sgd.rl` is not a known key"),
        ("solvers.new.lr=1", "--set solvers.new.lr=1: `solvers.new.method` is missing"),
        ("solvers={a={}}", "--set solvers={a={}}: `solvers.a.method` is missing"),
        ("seeds=[0,'a']", "--set seeds=[0,'a']: `seeds.1`: input should be a valid integer"),
        ("name.first=a", "--set name.first=a: `name` is no table and has no keys"),
        ("seeds=[0,", "--set seeds=[0,: the value '[0,' is neither TOML nor a word"),
        ("seeds", "--set seeds: write KEY=VALUE"),
        ("=3", "--set =3: write KEY=VALUE"),
    ],
)
def test_faults_of_overrides_name_them(tmp_path, override, message):
    said = fault(tmp_path, GOOD, [override])
    assert message in said and "line " not in said


def test_faults_of_the_file_and_of_all_overrides_are_told_together(tmp_path):
    message = fault(tmp_path, GOOD + "lr = -1\n", ["seeds=[", "device=gpu", "colour", "name.a=1"])
    order = [
        "line 5: ",
        "--set device=gpu: ",
        "--set seeds=[: ",
        "--set colour: ",
        "--set name.a=1: ",
    ]
    places = [message.index(text) for text in order]
    assert places == sorted(places)


def test_an_override_mends_the_file(tmp_path):
    assert load(tmp_path, GOOD + "lr = -1\n", ["solvers.sgd.lr=1"]).solvers["sgd"].lr == 1.0
