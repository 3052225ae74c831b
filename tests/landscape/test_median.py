"""The three faces around the median of three networks."""

import pytest
import torch

import toroids as td
from toroids.report.pictures import energy_picture, median_picture, profile_picture


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def row(params):
    return torch.cat([tensor.flatten() for tensor in params.values()])


@pytest.fixture(scope="module")
def setting(device):
    make = td.models.binary_fully_connected
    models = [make([9, 7, 3], seed=s).double().to(device) for s in range(4)]
    inputs = torch.randn(80, 9, generator=seeded(0), dtype=torch.float64).to(device)
    cube = td.geometry.Hypercube(td.discover(models[0], inputs[:4]))
    networks = [td.canonicalize(cube.group, model.state_dict()) for model in models[:3]]
    return models[0], cube, networks, (inputs, models[3](inputs).argmax(dim=1))


def recorded(model, cube, networks, data, resolution=5, generator=None, **settings):
    """The section, and every network that it evaluated."""
    seen = []

    def metric(outputs, targets):
        return torch.nn.functional.cross_entropy(outputs, targets, reduction="none")

    hook = model.register_forward_pre_hook(
        lambda m, _: seen.append({n: p.detach().clone() for n, p in m.named_parameters()})
    )
    try:
        landscape = td.Landscape(model, data, on=cube, metric=metric, **settings)
        found = td.median_section(landscape, networks, resolution, generator=generator)
    finally:
        hook.remove()
    return found, seen


def test_corners_are_the_networks_and_their_median(setting):
    model, cube, networks, data = setting
    found = td.median_section(td.Landscape(model, data, on=cube), networks, 5)
    evaluations = [td.evaluate(model, network, data) for network in networks]
    assert found.errors.tolist() == [e.error for e in evaluations]
    median = cube.median(*networks)
    assert torch.equal(row(found.median), row(median))
    expected = td.evaluate(model, median, data)
    assert found.median_error == expected.error
    for (i, j), error, loss, stderr in zip(
        found.faces, found.error, found.loss, found.error_stderr, strict=True
    ):
        for place, e in (((0, 0), expected), ((4, 0), evaluations[i]), ((0, 4), evaluations[j])):
            assert (error[place], loss[place], stderr[place]) == (e.error, e.loss, e.error_stderr)
        both = row(networks[i]) + row(networks[j]) - row(median)  # the far corner: all their flips
        at = {n: x.view(median[n].shape) for n, x in zip(median, both.split([t.numel() for t in median.values()]), strict=True)}  # fmt: skip
        assert error[4, 4] == td.evaluate(model, at, data).error


def test_faces_agree_on_their_legs(setting):
    model, cube, networks, data = setting
    ab, ac, bc = td.median_section(td.Landscape(model, data, on=cube), networks, 6).loss
    assert torch.equal(ab[:, 0], ac[:, 0])
    assert torch.equal(ab[0], bc[:, 0])
    assert torch.equal(ac[0], bc[0])
    assert not torch.equal(ab, ac)


def test_distances_are_exact(setting):
    model, cube, networks, data = setting
    found, seen = recorded(model, cube, networks, data, 5)
    assert len(seen) == 3 * 16 + 3 * 4 + 1  # the legs are evaluated once
    for i, j in found.faces:
        apart = cube.distance(networks[i], networks[j])
        assert float(found.legs[i] + found.legs[j]) == pytest.approx(apart, abs=1e-14)
    torch.testing.assert_close(
        found.distances / found.legs[:, None], found.fractions.expand(3, -1), atol=0.05, rtol=0
    )
    ends = [*networks, found.median]
    for (i, j), losses in zip(found.faces, found.loss, strict=True):
        k = 3 - i - j
        for p, x in enumerate(found.distances[i].tolist()):
            for q, y in enumerate(found.distances[j].tolist()):
                expected = [0.0, 0.0, 0.0, x + y]
                expected[i] = float(found.legs[i]) - x + y
                expected[j] = float(found.legs[j]) - y + x
                expected[k] = float(found.legs[k]) + x + y
                there = [
                    n for n in seen
                    if [cube.distance(n, end) for end in ends] == pytest.approx(expected, abs=1e-12)
                ]  # fmt: skip
                values = [td.evaluate(model, n, data).loss for n in there]
                assert any(v == pytest.approx(losses[p, q].item()) for v in values)


def test_staircases_are_geodesics(setting):
    """From network a at (1, 0) to b at (0, 1), towards the median in the one, away in the other."""
    model, cube, networks, data = setting
    size = 4
    found, seen = recorded(model, cube, networks, data, size, generator=seeded(3))
    at = {(p, q): seen[p * size + q] for p in range(size) for q in range(size)}  # the first face
    whole = cube.distance(networks[0], networks[1])
    for stairs in ("ppp" + "qqq", "qqq" + "ppp", "pqpqpq", "qppqqp"):
        p, q, length = size - 1, 0, 0.0
        for step in stairs:
            here = at[p, q]
            p, q = (p - 1, q) if step == "p" else (p, q + 1)
            length += cube.distance(here, at[p, q])
        assert length == pytest.approx(whole, abs=1e-12)
    assert torch.equal(row(at[size - 1, 0]), row(networks[0]))
    assert torch.equal(row(at[0, size - 1]), row(networks[1]))


def test_orders_are_the_generators(setting):
    model, cube, networks, data = setting
    first, again, other = (
        td.median_section(td.Landscape(model, data, on=cube), networks, 5, generator=seeded(s)).loss
        for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first[:, 0, 0], other[:, 0, 0])


def test_a_network_between_the_others_is_the_median(setting):
    model, cube, (a, b, _), data = setting
    between = cube.geodesic(a, b)(0.4)
    found = td.median_section(td.Landscape(model, data, on=cube), [a, b, between], 3)
    assert found.legs[2] == 0
    assert found.notes == ("network c is the median of the three; its leg has no flips",)
    assert torch.equal(found.error[1], found.error[1][:, :1].expand(3, 3))


def test_real_parameters_move_on_the_toroid():
    make = td.models.binary_fully_connected
    models = [make([6, 5, 3], norm="batch_norm", seed=s).eval() for s in range(3)]
    for model in models:
        torch.nn.init.normal_(model.norm1.bias)
    data = torch.randn(40, 6), torch.randint(3, (40,))
    cube = td.geometry.Hypercube(td.discover(models[0], data[0][:4]))
    networks = [td.canonicalize(cube.group, model.state_dict()) for model in models]
    kept, seen = recorded(models[0], cube, networks, data, 3, statistics="keep")
    for network in networks:
        assert any(all(torch.equal(n[key], network[key]) for key in n) for n in seen)
    assert all(set(n["output.weight"].unique().tolist()) <= {-1.0, 1.0} for n in seen)
    for n in seen:
        cube.check({**kept.median, **n})
    mean = cube.toroid.mean(networks)
    torch.testing.assert_close(kept.median["norm1.bias"], mean["norm1.bias"])
    found = td.median_section(td.Landscape(models[0], data, on=cube), networks, 3)
    middle = td.recalibrate(models[0], found.median, data)
    assert found.median_error == pytest.approx(td.evaluate(models[0], middle, data).error)
    assert found.errors.tolist() == [td.evaluate(models[0], n, data).error for n in networks]


def test_bad_requests(setting):
    model, cube, (a, b, c), data = setting
    landscape = td.Landscape(model, data, on=cube)
    with pytest.raises(td.ToroidsError, match="the resolution is 1"):
        td.median_section(landscape, [a, b, c], 1)
    with pytest.raises(td.errors.ParamsError, match="in network c holds .* expected -1 or"):
        td.median_section(landscape, [a, b, {n: 0.3 * t for n, t in c.items()}])


def test_the_picture_has_every_value_in_its_place(setting):
    model, cube, networks, data = setting
    found = td.median_section(td.Landscape(model, data, on=cube), networks, 4)
    figure = median_picture(found, ("<a>", "b", "c"))
    maps, points = figure.data[::2], figure.data[1::2]
    assert len(maps) == len(points) == 3
    for face, (i, j), drawn in zip(found.error, found.faces, maps, strict=True):
        assert list(drawn.x) == found.distances[i].tolist()
        assert list(drawn.y) == found.distances[j].tolist()
        assert drawn.z[1][3] == face[3, 1]
        assert drawn.coloraxis == "coloraxis"
    assert list(points[0].text) == ["median", "&lt;a&gt;", "b"]


def test_other_pictures_take_flips(setting):
    model, cube, (a, b, _), data = setting
    landscape = td.Landscape(model, data, on=cube)
    flips = td.flip_profile(landscape, a, b, 3, 5)
    band, mean = profile_picture({"random": flips}).data
    assert list(mean.y) == flips.error.tolist()
    high = flips.error + flips.error_spread
    assert list(band.y)[:5] == pytest.approx(high.tolist())
    energy = td.local_energy(landscape, a, samples=2, kind="flips")
    assert "flipped" in energy_picture({"a": energy}).layout.xaxis.title.text
