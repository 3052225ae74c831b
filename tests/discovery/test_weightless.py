"""Networks without weights, and networks that are drawn one tensor at a time."""

import copy

import pytest
import torch
from torch import nn
from zoo.tiny import TINY

import toroids as td
from toroids.checkpoint.mapping import forget, repeated
from toroids.computed import Computed
from toroids.discovery.proof.proof import subject_of
from toroids.discovery.tracing import draws, weightless
from toroids.discovery.tracing.explore import explore


def without_weights(model):
    """A copy whose parameters are on the meta device, buffers as they are."""
    meta = {id(p): nn.Parameter(p.detach().to("meta")) for p in model.parameters()}
    return copy.deepcopy(model, meta)


@pytest.mark.parametrize("name", ["Llama", "GPT-2"])
def test_groups_need_no_weights(name, monkeypatch):
    model, inputs, *_ = TINY[name]()
    group = td.discover(model, inputs, output_key="logits")
    monkeypatch.setattr(weightless, "PAGES", 4096)
    monkeypatch.setattr(weightless, "SMALL", 4096)  # so that some of these show pages, too
    monkeypatch.setattr(draws, "STREAMED", 0)
    empty = without_weights(model)
    assert td.discover(empty, inputs, output_key="logits") == group
    assert all(p.is_meta for p in empty.parameters())
    assert not any(module._forward_hooks for module in empty.modules())


def test_large_networks_are_drawn_as_they_run(monkeypatch):
    model, inputs, *_ = TINY["Llama"]()
    explored = explore(model, inputs, "logits")
    monkeypatch.setattr(draws, "STREAMED", 0)
    subject = subject_of(explored, torch.Generator().manual_seed(0))
    drawn = subject.trials[0].params
    assert isinstance(drawn, Computed)
    assert all(torch.equal(drawn[name], drawn[name]) for name in drawn)
    group = td.discover(model, inputs, output_key="logits")
    moved = subject.trials[0].moved(group, group.random(torch.Generator().manual_seed(1)))
    at_once = group.apply(group.random(torch.Generator().manual_seed(1)), dict(drawn))
    assert all(torch.equal(moved[name], at_once[name]) for name in drawn)


@pytest.mark.parametrize("name", ["BERT", "Gemma3", "GPTNeoX", "OPT", "ViT"])
def test_one_tensor_at_a_time_gives_what_apply_gives(name):
    model, inputs, *_ = TINY[name]()
    group = td.discover(model.double(), inputs, verify=False)
    element = group.random(torch.Generator().manual_seed(0))
    at_once = group.apply(element, model.state_dict())
    one_by_one = group.moved(element, model.state_dict())
    assert list(one_by_one) == list(at_once)
    for name in (*at_once, *reversed(at_once)):  # a bias after its weight, and before
        torch.testing.assert_close(one_by_one[name], at_once[name], rtol=1e-12, atol=1e-12)


def test_a_wrong_symmetry_of_a_streamed_network_fails_its_proof(monkeypatch):
    monkeypatch.setattr(draws, "STREAMED", 0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    group = td.discover(model, torch.randn(2, 4))
    rebuilt = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    assert td.verify(group, model, torch.randn(2, 4)) < 1e-12
    assert td.verify(group, rebuilt, torch.randn(2, 4)) > 1e-3


def test_numbers_that_nothing_keeps_are_asked_for():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("index", torch.arange(4, device="meta"))
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return self.linear(x)[:, self.index]

    with pytest.raises(td.ToroidsError, match="the buffer `index` is on the meta device"):
        td.discover(Table(), torch.randn(2, 4))


def test_pages_are_shown_again_and_again(tmp_path):
    path = tmp_path / "pages"
    numbers = torch.arange(2048, dtype=torch.float32)
    path.write_bytes(numbers.numpy().tobytes())
    with open(path, "rb") as stream:
        shown = repeated(stream.fileno(), 8192, torch.float32, (5, 1024))
    assert torch.equal(shown[:4].reshape(2, 2048), numbers.expand(2, -1))
    assert torch.equal(shown[4], numbers[:1024])
    shown[0, 0] = 7.0
    assert shown[2, 0] == 0.0
    forget(shown)
    assert shown[0, 0] == 0.0


def test_whole_modules_are_built_on_the_meta_device():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    group = td.discover(model, torch.randn(5, 4))
    assert [space.size for space in group.spaces] == [8]
    assert td.verify(group, model, torch.randn(5, 4)) < 1e-12
    assert td.audit(model, torch.randn(40, 4)).unexplained == 0
    with pytest.raises(td.errors.ParamsError, match="is on meta"):
        group.apply(group.random(), model.state_dict())


def test_what_stands_in_for_pages_is_not_replaced_by_them(monkeypatch):
    monkeypatch.setattr(weightless, "SMALL", 0)
    twin = weightless.with_weights(without_weights(nn.Linear(40, 60)))
    state = {name: x.detach() for name, x in twin.state_dict().items()}
    assert torch.equal(weightless.anew(twin, state)["weight"], state["weight"])
    drawn = {name: torch.ones_like(x) for name, x in state.items()}
    assert torch.equal(weightless.anew(twin, drawn)["weight"], drawn["weight"])


def test_pages_begin_elsewhere_in_every_tensor(monkeypatch):
    monkeypatch.setattr(weightless, "SMALL", 0)
    pair = nn.Sequential(nn.Linear(40, 60), nn.Linear(40, 60))
    a, b = weightless.with_weights(without_weights(pair))
    assert not torch.equal(a.weight, b.weight)
    assert abs(float(a.weight.detach().std()) * 40**0.5 - 1) < 0.5
