import json
import tracemalloc
from collections import Counter
from math import comb

import pytest
from small_study import SMALL

from toroids.design.config import StudyConfig
from toroids.errors import ConfigError
from toroids.study.perform.architecture import Network
from toroids.study.plan import count_tasks, make_plan


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


def test_parts_within_every_solver(config):
    pairs = make_plan(changed(profiles={"points": 3, "across": 0, "within": 0, "parts": 2}))
    asked = [json.loads(task.settings)["profiles"] for task in pairs.of_kind("pair")]
    assert sorted(map(str, filter(None, asked))) == ["{'parts': True, 'points': 3}"] * 4
    assert ids(changed(profiles={**SMALL["profiles"], "parts": 0})) == ids(config)


def test_bends_and_sections_within_every_solver():
    plan = make_plan(changed(bends={"count": 2}, sections={"count": 1, "resolution": 5}))
    bends, sections = plan.of_kind("bend"), plan.of_kind("section")
    assert (len(bends), len(sections)) == (4, 2)
    for task in (*bends, *sections):
        solvers = {name.split("-")[1] for name in task.label.split(" ~ ")}
        assert len(solvers) == 1


def test_trajectories_of_the_first_seeds_of_every_solver(config):
    study = changed(sections={"trajectories": 2, "checkpoints": 5})
    plan = make_plan(study)
    labels = [task.label for task in plan.of_kind("trajectory")]
    assert labels == ["mlp-sgd-0", "mlp-sgd-1", "mlp-start-0", "mlp-start-1"]
    assert count_tasks(study)["mlp", "trajectory"] == len(labels)
    for kind in ("train", "measure", "pair"):
        assert ids(study, kind) == ids(config, kind)
    other = changed(sections={"trajectories": 2, "checkpoints": 6})
    assert not set(ids(other, "trajectory")) & set(ids(study, "trajectory"))


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


def test_more_tasks_than_can_be_done_are_counted_and_refused():
    for seeds, total in ((1000, "2,003,003"), (1_000_000, "2,000,003,000,003")):
        many = changed(seeds=list(range(seeds)), sections={"count": 1}, bends={"count": 0})
        message = f"has {total} tasks, .* of the kind pair, for {seeds:,} seeds.*list fewer seeds"
        with pytest.raises(ConfigError, match=message):
            make_plan(many)


def test_a_plan_of_100_000_tasks_holds_none_of_them():
    solvers = {"sgd": {"method": "sgd"}}
    many = changed(seeds=list(range(446)), solvers=solvers, sections={"count": 7})
    tracemalloc.start()
    plan = make_plan(many)
    kinds = Counter(task.kind for task in plan.tasks)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kinds.total() == len(plan.tasks) == 1 + 2 * 446 + comb(446, 2) + 7
    assert most < 10 * 2**20


def test_the_number_of_tasks_is_known_beforehand():
    networks = {**SMALL["networks"], "wide": {"model": "fully_connected"}}
    start = {**SMALL["solvers"]["start"], "architectures": ["mlp"]}
    config = changed(
        networks=networks,
        solvers={**SMALL["solvers"], "start": start},
        bends={"count": 2},
        sections={"count": 99},
    )
    plan = make_plan(config)
    found = Counter((json.loads(t.settings)["architecture"], t.kind) for t in plan.tasks)
    assert found == +count_tasks(config)
    assert [part.count for part in plan.parts] == [len(tuple(part.make())) for part in plan.parts]


def test_tasks_are_a_sequence(config):
    plan = make_plan(config)
    tasks = tuple(plan.tasks)
    assert (plan.tasks[0], plan.tasks[27], plan.tasks[-1]) == (tasks[0], tasks[27], tasks[-1])
    assert plan.tasks[3:9:2] == tasks[3:9:2]
    assert plan != make_plan(changed(seeds=[0, 1]))
    with pytest.raises(IndexError):
        plan.tasks[28]
