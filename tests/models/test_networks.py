"""What holds for every network: seeds, shapes, symmetries, that it learns; and bad arguments."""

import pytest
import torch
from models.networks import NETWORKS

import toroids as td
from toroids.binary.layers import clamped, latents
from toroids.errors import ToroidsError
from toroids.evaluation.metrics import mean_cross_entropy


def examples(network, count):
    generator = torch.Generator().manual_seed(3)
    if network.tokens:
        shape = (2, count, *network.shape)
        return torch.randint(0, network.outputs, shape, generator=generator).unbind()
    inputs = torch.randn(count, *network.shape, generator=generator)
    return inputs, torch.randint(0, network.outputs, (count,), generator=generator)


def unsettled(model):
    """No statistics at their initial values, no zero biases, no unit gains."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif tensor.is_floating_point():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator))
    return model.eval()


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]


def test_the_seed_alone_decides_and_the_global_random_state_stays(network):
    state = torch.random.get_rng_state()
    one = network.make(seed=5).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(9)
    again, other = (network.make(seed=seed).state_dict() for seed in (5, 6))
    assert one.keys() == again.keys()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_logits_have_a_row_per_example(network):
    model = network.make(seed=0)
    logits = model.eval()(examples(network, 4)[0])
    per_token = network.shape if network.tokens else ()
    assert logits.shape == (4, *per_token, network.outputs)
    assert logits.isfinite().all()
    assert logits.std() > 1e-3


def test_discovery_finds_what_is_written_down_by_hand(network):
    model, inputs = unsettled(network.make(seed=0)).double(), examples(network, 2)[0]
    inputs = inputs if network.tokens else inputs.double()
    group = td.discover(model, inputs, verify=False)
    found = [(s.size, s.copies, "".join(sorted(a[0] for a in s.actions))) for s in group.spaces]
    assert sorted(found) == sorted(network.spaces), str(group)
    assert td.verify(group, model, inputs, trials=1) < 1e-9


def test_the_loss_falls(network):
    model, (inputs, labels) = network.make(seed=0).train(), examples(network, 16)
    binary = bool(latents(model))  # only a change of sign shows
    lr, steps = (0.5, 30) if binary else (0.02, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    clamped(optimizer, model)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = mean_cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert (min(losses) if binary else losses[-1]) < losses[0]


@pytest.mark.parametrize(
    ("make", "count"),
    [
        # by hand: 156 + 2,416 + 48,120 + 10,164 + 850
        (td.models.lenet, 61_706),
        # published for 10 classes of 32 x 32 pixels (option A, without convolutions as shortcuts,
        # is 269,722; they and their norms add 16 32 + 32 64 + 2 32 + 2 64)
        (td.models.resnet20, 269_722 + 2_752),
        (td.models.resnet18, 11_173_962),
        (td.models.densenet40, 1_019_722),
    ],
)
def test_as_many_parameters_as_published(make, count):
    assert sum(parameter.numel() for parameter in make().parameters()) == count


def test_a_committee_adds_its_votes():
    torch.manual_seed(1)
    x = torch.randn(7, 6)
    model = td.models.committee(6, 3, "tanh", seed=1)
    total = torch.tanh(x @ model.hidden.weight.T + model.hidden.bias).sum(1) + model.vote.bias
    assert torch.allclose(model(x), torch.stack([-total, total], 1))
    tree = td.models.committee(6, 3, "tanh", tree=True, bias=False)
    blocks = tree.hidden.weight[:, 0]
    total = sum(torch.tanh(x[:, 2 * k : 2 * k + 2] @ blocks[k]) for k in range(3))
    assert torch.allclose(tree(x), torch.stack([-total, total], 1), atol=1e-6)


def test_layer_norm_is_over_the_channels_of_each_pixel():
    norm = td.models.resnet20(width=1 / 4, norm="layer").stem[1]
    x = torch.randn(2, 4, 3, 3)
    centred = x - x.mean(1, keepdim=True)
    expected = centred / (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
    assert torch.allclose(norm(x), expected, atol=1e-5)


def test_attention_is_that_of_torch():
    attention = td.models.vit(dim=6, depth=1, heads=2).encoders[0].attention
    reference = torch.nn.MultiheadAttention(6, 2, batch_first=True)
    reference.in_proj_weight, reference.in_proj_bias = attention.qkv.weight, attention.qkv.bias
    reference.out_proj = attention.out
    x = torch.randn(2, 5, 6)
    assert torch.allclose(attention(x), reference(x, x, x)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: m.fully_connected([3, 2], activation="rleu"), "'rleu'; pass one of 'elu', "),
        (lambda m: m.committee(6, 0), "`hidden` is 0; pass a whole number"),
        (lambda m: m.committee(6, 3, "step"), "pass one of"),
        (lambda m: m.committee(7, 3, tree=True), "7 inputs do not divide among the 3 units"),
        (lambda m: m.lenet((8, 8)), "pass channels, height and width"),
        (lambda m: m.lenet((1, 8, 8)), "too small for kernels of 5"),
        (lambda m: m.lenet(widths=(6, 16, 0, 84)), "`widths` is .*pass whole numbers"),
        (lambda m: m.vgg(13), "`depth` is 13; pass one of 11, 16"),
        (lambda m: m.vgg(width=0), "`width` is 0; pass a positive factor"),
        (lambda m: m.resnet20(norm="group"), "pass one of 'batch', 'layer', 'none'"),
        (lambda m: m.resnet18(width=float("nan")), "pass a positive factor"),
        (lambda m: m.densenet40(growth=1.5), "`growth` is 1.5"),
        (lambda m: m.vit(patch=5), "patches of 5 pixels do not divide images of 32"),
        (lambda m: m.vit(dim=64), "3 heads do not divide `dim`, 64"),
        (lambda m: m.gpt(dim=10), "4 heads do not divide `dim`, 10"),
        (lambda m: m.decoder(dim=12), "has 3 of the 12 entries, which make no pairs"),
        (lambda m: m.decoder(groups=3), "3 groups do not share 4 heads evenly"),
        (lambda m: m.decoder(vocabulary=0), "`vocabulary` is 0"),
        (lambda m: m.mlp_mixer(size=30), "patches of 4 pixels do not divide images of 30"),
        (lambda m: m.mlp_mixer(classes=0), "`classes` is 0"),
    ],
)
def test_arguments_that_make_no_network_are_refused(make, message):
    with pytest.raises(ToroidsError, match=message):
        make(td.models)
