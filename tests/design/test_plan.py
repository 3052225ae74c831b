import json

from small_study import SMALL

from toroids.design.config import StudyConfig
from toroids.design.plan import Network, make_plan


def changed(**values):
    return StudyConfig.model_validate({**SMALL, **values})


def ids(config, kind=None):
    return [task.id for task in make_plan(config).tasks if kind in (None, task.kind)]


def profiled(config):
    found = []
    for task in make_plan(config).of_kind("pair"):
        if json.loads(task.settings)["profiles"]:
            found.append(tuple(name.split("-")[1] for name in task.label.split(" ~ ")))
    return found


def test_tasks_by_kind(config):
    plan = make_plan(config)
    counts = {kind: len(plan.of_kind(kind)) for kind in ("symmetry", "train", "measure", "pair")}
    assert counts == {"symmetry": 1, "train": 6, "measure": 6, "pair": 15}
    assert len(plan.tasks) == 28
    labels = [task.label for task in plan.of_kind("train")]
    assert labels == [f"mlp-{solver}-{seed}" for solver in ("sgd", "start") for seed in range(3)]
    assert make_plan(config) == plan


def test_every_task_comes_after_its_inputs(config):
    seen = set()
    for task in make_plan(config).tasks:
        assert set(task.inputs) <= seen
        seen.add(task.id)
    assert len(seen) == 28  # all names differ


def test_profiles_within_and_across_solvers(config):
    found = profiled(config)
    assert sum(a == b for a, b in found) == 6
    assert sum(a != b for a, b in found) == 2
    assert len(profiled(changed(profiles={"points": 3, "across": "all"}))) == 15
    assert len(profiled(changed(profiles={"points": 3, "across": 0, "within": 1}))) == 2
    assert len(profiled(changed(profiles={"points": 3, "across": 100}))) == 15


def test_bends_and_sections_within_every_solver():
    plan = make_plan(changed(bends={"count": 2}, sections={"count": 1, "resolution": 5}))
    bends, sections = plan.of_kind("bend"), plan.of_kind("section")
    assert (len(bends), len(sections)) == (4, 2)
    for task in (*bends, *sections):
        solvers = {name.split("-")[1] for name in task.label.split(" ~ ")}
        assert len(solvers) == 1


def test_no_two_networks_share_their_randomness(config):
    seeds = [Network("mlp", solver, seed).random_seed for solver in "ab" for seed in range(50)]
    assert len(set(seeds)) == 100


def test_what_does_not_change_a_result_does_not_change_its_name(config):
    trained = ids(config, "train")
    assert ids(changed(flatness={"sigmas": [0.5], "samples": 9}), "train") == trained
    assert ids(changed(flatness={"sigmas": [0.5], "samples": 9}), "measure") != ids(
        config, "measure"
    )
    assert ids(changed(name="other")) == ids(config)
    assert ids(changed(claims={"tolerance": 0.5})) == ids(config)
    reference = {"sigmas": [0.0, 0.5], "samples": 3, "reference": 0.0}
    assert ids(changed(flatness=reference)) == ids(config)


def test_a_further_seed_or_solver_adds_tasks_and_changes_none(config):
    more = changed(seeds=[0, 1, 2, 7])
    assert set(ids(config, "train")) < set(ids(more, "train"))
    assert set(ids(config, "measure")) < set(ids(more, "measure"))
    solvers = {**SMALL["solvers"], "adam": {"method": "adam", "budget": 2}}
    assert set(ids(config)) < set(ids(changed(solvers=solvers)))


def test_another_architecture_or_data_set_changes_all(config):
    for other in (
        changed(networks={"mlp": {"model": "fully_connected", "hidden": [13]}}),
        changed(data={"name": "digits", "train": 101}),
        changed(data={"name": "digits", "train": 100, "seed": 1}),
    ):
        assert not set(ids(config)) & set(ids(other))


def test_architectures_do_not_depend_on_each_other(config):
    two = changed(networks={**SMALL["networks"], "wide": {"model": "fully_connected"}})
    assert set(ids(config)) < set(ids(two))
    assert len(ids(two)) == 2 * 28
    for task in make_plan(two).of_kind("pair"):
        assert len({name.split("-")[0] for name in task.label.split(" ~ ")}) == 1


def test_a_solver_for_one_of_two_architectures():
    networks = {**SMALL["networks"], "wide": {"model": "fully_connected"}}
    start = {**SMALL["solvers"]["start"], "architectures": ["mlp"]}
    some = changed(networks=networks, solvers={**SMALL["solvers"], "start": start})
    both = changed(networks=networks)
    assert set(ids(some)) < set(ids(both))
    labels = {task.label for task in make_plan(some).of_kind("train")}
    assert {label for label in labels if "start" in label} == {f"mlp-start-{n}" for n in range(3)}
