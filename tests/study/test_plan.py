from toroids.study.plan import make_plan


def test_networks_and_pairs(config):
    plan = make_plan(config)
    assert [n.name for n in plan.networks] == [
        f"{s}-{i}" for s in ("sgd", "start") for i in range(3)
    ]
    assert len(plan.pairs) == 15
    within = [pair for pair in plan.pairs if pair.a.solver == pair.b.solver]
    across = [pair for pair in plan.pairs if pair.a.solver != pair.b.solver]
    assert all(pair.profiled for pair in within)
    assert sum(pair.profiled for pair in across) == 2
    assert make_plan(config) == plan


def test_no_two_networks_share_their_randomness(config):
    seeds = [network.random_seed for network in make_plan(config).networks]
    assert len(set(seeds)) == len(seeds)


def test_more_pairs_across_than_there_are(config):
    profiles = config.profiles.model_copy(update={"across": 100})
    plan = make_plan(config.model_copy(update={"profiles": profiles}))
    assert all(pair.profiled for pair in plan.pairs)
