"""Language models: what positions see, how pairs turn, and that all symmetries are found."""

import math

import pytest
import torch

import toroids as td
from toroids.models.decoder import turned

MODELS = {
    "gpt": lambda **options: td.models.gpt(7, 6, dim=4, depth=1, heads=1, hidden=3, **options),
    "decoder": lambda **options: td.models.decoder(7, dim=4, depth=1, heads=1, hidden=3, **options),
}


def disturbed(model):
    generator = torch.Generator().manual_seed(1)
    for tensor in model.double().state_dict().values():
        tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))
    return model


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_no_token_sees_those_to_come(make):
    model = disturbed(make())
    one = torch.randint(7, (3, 6), generator=torch.Generator().manual_seed(0))
    other = one.clone()
    other[:, 4] = (other[:, 4] + 1) % 7
    same, apart = model(one) == model(other), (model(one) - model(other)).abs()
    assert same[:, :4].all()
    assert (apart[:, 4:].amax(dim=2) > 1e-6).all()


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_symmetries_explain_all_directions(make):
    inputs = torch.randint(7, (20, 4), generator=torch.Generator().manual_seed(0))
    found = td.audit(disturbed(make()), inputs)
    assert found.unexplained == 0 and found.symmetry_dimension > 0


def test_products_of_turned_pairs_depend_on_how_far_apart_they_are():
    torch.manual_seed(0)
    query, key = (torch.randn(6, dtype=torch.float64) for _ in range(2))
    time = 9
    scores = turned(query.expand(1, 1, time, 6)) @ turned(key.expand(1, 1, time, 6)).mT
    for apart in range(time):
        diagonal = scores[0, 0].diagonal(-apart)
        pairs = torch.complex(query[:3], query[3:]).conj() * torch.complex(key[:3], key[3:])
        rates = 10_000.0 ** (-torch.arange(3) / 3)
        by_hand = (pairs * torch.exp(-1j * apart * rates)).real.sum()
        assert torch.allclose(diagonal, by_hand.expand_as(diagonal), atol=1e-5)


def test_heads_that_share_a_key_are_those_whose_keys_are_equal():
    one = td.models.decoder(7, dim=8, depth=1, heads=4, groups=2, hidden=3).double()
    other = td.models.decoder(7, dim=8, depth=1, heads=4, hidden=3).double()
    state = one.state_dict()
    for name in ("layers.0.attention.key.weight", "layers.0.attention.value.weight"):
        heads = state[name].view(2, 2, 8)
        state[name] = heads.repeat_interleave(2, 0).reshape(8, 8)
    other.load_state_dict(state)
    tokens = torch.randint(7, (3, 5))
    assert torch.allclose(one(tokens), other(tokens))


def test_a_tied_head_is_the_embedding():
    for make in MODELS.values():
        model = make(tied=True)
        assert model.head.weight is model.embedding.weight


def test_they_learn_a_text_by_any_solver():
    data = td.data.text(length=8, most=1200)
    for name, options in (
        ("adam", {"lr": 0.01}),
        ("sam", {"rho": 0.05}),
        ("replicated_sgd", {"replicas": 2}),
        ("sgd", {}),
    ):
        make = lambda seed: td.models.gpt(data.classes, 8, 8, 1, 2, 8, seed=seed)  # noqa: E731
        found = td.solvers.SOLVERS[name](budget=2, batch_size=8, **options).train(
            make, data.train, 0
        )
        guessing = math.log(data.classes)
        assert found.history[-1].loss < 0.95 * guessing, name
    evaluation = td.evaluate(make(0), found.params, data.test)
    assert evaluation.examples == len(data.test[0]) and evaluation.error < 1
