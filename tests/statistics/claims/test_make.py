"""Planted truths come out; whatever is missing, nothing crashes."""

import json
import random
from dataclasses import fields

import numpy as np
import pytest
from synthetic_rows import SOLVERS, Solver, Truth, derived, plain_rows, thresholds_of, typed

from toroids.statistics.claims.effect import Effect
from toroids.statistics.claims.evidence import gather
from toroids.statistics.claims.flatness import flatness

FIELDS = {field.name for field in fields(Effect)}
VERDICTS = {"holds", "does not hold", "undecided", "not tested"}


def claims_of(config=(), **settings):
    """The claims on a made-up study of one architecture, by number."""
    *rows, run = plain_rows(**settings)
    run["config"] |= dict(config)
    return {claim.claim: claim for claim in claims_on([*rows, run])}


def claims_on(rows):
    """The claims on plain rows."""
    return [row for row in derived(typed(rows)) if row.kind == "claim"]


def verdicts(claims):
    return {claim: row.verdict for claim, row in claims.items()}


def named(claim, text):
    (found,) = (effect for effect in claim.effects if text in effect.name)
    return found


@pytest.fixture(scope="module")
def claims():
    return claims_of()


@pytest.fixture(scope="module")
def binary():
    return claims_of(binary=True, truth=Truth(greedy=0.9))


def test_all_hold_where_all_are_planted(claims):
    expected = dict.fromkeys((f"R{i}" for i in range(1, 9)), "holds") | {"R6": "not tested"}
    assert verdicts(claims) == expected
    assert list(claims) == list(expected)


def test_the_same_picture_of_binary_networks(binary):
    assert set(verdicts(binary).values()) == {"holds"}
    required = [e for i in range(1, 6) for e in binary[f"R{i}"].effects if e.required]
    assert binary["R6"].effects == required
    assert binary["R6"].reason.endswith("; of R1 to R5 R1, R2, R3, R4, R5 hold.")


def test_rows_follow_the_schema(claims, binary):
    for row in [*claims.values(), *binary.values()]:
        assert row.kind == "claim"
        assert row.architecture == "mlp"
        assert row.verdict in VERDICTS
        assert row.reason.endswith(".")
        for effect in row.data["effects"]:
            assert effect.keys() == FIELDS
        for effect in row.effects:
            assert effect.low <= effect.estimate <= effect.high
    json.dumps([claim.data for claim in claims.values()], allow_nan=False)


def test_one_row_per_claim_and_architecture():
    rows = plain_rows(("mlp", "cnn"), seeds=3)
    found = claims_on(rows)
    assert [row.architecture for row in found] == ["mlp"] * 8 + ["cnn"] * 8


def test_effects_are_the_planted_ones(claims):
    assert named(claims["R1"], "sgd minus replicated").estimate == pytest.approx(0.05, abs=0.02)
    assert named(claims["R3"], "before, sgd").estimate == pytest.approx(0.6)
    assert named(claims["R4"], "within").estimate == pytest.approx(0.005, abs=0.001)
    assert named(claims["R7"], "raw minus that on normalised").estimate == pytest.approx(
        0.05, abs=0.001
    )
    assert named(claims["R8"], "reach, replicated_sgd minus").estimate == pytest.approx(2 / 3)


def test_reversed_truths_do_not_hold():
    swapped = {**SOLVERS, "sgd": Solver(0.02)}  # now flatter than the replicas
    truth = Truth(test_slope=-0.1, shrink=1.1, barrier_slope=2.0, bend=0.05, removed={"raw": -0.02})
    claims = claims_of(solvers=swapped, truth=truth, bends=True)
    for claim in ("R1", "R2", "R3", "R4", "R5", "R7"):
        assert claims[claim].verdict == "does not hold", claim
        assert "and should be" in claims[claim].reason


def test_flat_networks_that_are_no_stars():
    """Barriers fall with the increase: sharp networks reach each other, flat ones do not."""
    claims = claims_of(truth=Truth(barrier_slope=-0.1, removed={"geodesic": 0.025}))
    assert claims["R8"].verdict == "does not hold"
    assert claims["R4"].verdict == "does not hold"


def test_what_does_not_differ_is_undecided():
    alike = {name: Solver(0.1, solver.method) for name, solver in SOLVERS.items()}
    claims = claims_of(solvers=alike, truth=Truth(test_slope=0.0, closeness=0.0), seed=3)
    for claim in ("R1", "R2", "R3", "R4"):
        assert claims[claim].verdict == "undecided", claim
        assert "does not tell" in claims[claim].reason


def test_a_method_in_several_solvers_is_compared_at_equal_settings():
    """Large rates are flat, whatever the method: pooled, SGD would seem flatter than its replicas."""
    solvers = {
        "replicas": Solver(0.10, "replicated_sgd", lr=0.1),
        "sgd": Solver(0.15, "sgd", lr=0.1),
        "fast_sgd": Solver(0.02, "sgd", lr=1.0),
        "start": Solver(0.25, "adversarial_sgd", lr=0.1),
    }
    claim = claims_of(solvers=solvers, pairs=False)["R1"]
    assert claim.verdict == "holds"
    assert named(claim, "sgd minus replicated_sgd").networks == 12
    solvers["replicas"] = Solver(0.01, "replicated_sgd", lr=0.3)
    claim = claims_of(solvers=solvers, pairs=False)["R1"]
    assert "no learning rate and batch size in common" in claim.reason
    assert named(claim, "sgd minus replicated_sgd").networks == 18


def test_the_correlation_that_vanishes_within_solvers_says_so():
    truth = Truth(test_noise=0.0)
    rows = plain_rows(truth=truth, seeds=8, pairs=False)
    generator = np.random.default_rng(0)
    for row in rows:
        if row["kind"] == "network":  # hangs on the solver alone
            row["test_error"] = SOLVERS[row["solver"]].increase + 0.001 * generator.normal()
    claim = claims_on(rows)[1]
    assert claim.verdict == "holds"
    assert "within solvers together it vanishes or is unclear" in claim.reason
    assert "do not vary" in claim.reason


def test_the_correlation_that_comes_from_the_learning_rate_says_so():
    solvers = {f"s{i}": Solver(0.05 * 2**i, lr=0.1 * 2**i) for i in range(4)}
    rows = plain_rows(solvers=solvers, seeds=6, pairs=False)
    generator = np.random.default_rng(0)
    for row in rows:
        if row["kind"] == "network":
            row["test_error"] = 0.1 * row["config"]["lr"] + 0.001 * generator.normal()
    claim = claims_on(rows)[1]
    held = named(claim, "held fixed")
    assert claim.verdict == "holds"
    assert not held.required
    assert held.p > 0.05
    assert "held fixed it vanishes" in claim.reason


def test_tolerance_and_bound_are_the_studys():
    loose = claims_of({"claims": {"tolerance": 0.0001, "small": 0.001, "trained": 0.05}})
    assert loose["R4"].verdict == "does not hold"
    assert loose["R5"].verdict == "does not hold"
    assert named(loose["R4"], "within").bound == 0.001


def test_low_paths_go_by_greedy_orders_of_flips_and_comparisons_by_random_ones(binary):
    assert named(binary["R4"], "flips_greedy within").required
    assert not named(binary["R4"], "flips within").required
    assert named(binary["R4"], "flips, adversarial_sgd minus").required
    assert not named(binary["R4"], "flips_greedy, adversarial_sgd minus").required
    assert named(binary["R5"], "greedy order, sgd").required
    assert not named(binary["R5"], "over a bend, sgd").required
    assert not named(binary["R7"], "flips minus that on flips_greedy").required
    assert named(binary["R8"], "reach, replicated_sgd minus").required
    assert not named(binary["R8"], "reach on flips, replicated_sgd minus").required


def test_r6_says_what_does_not_hold():
    claims = claims_of(binary=True, truth=Truth(bend=0.05), bends=True)
    assert claims["R6"].verdict == "does not hold"
    assert claims["R6"].reason.startswith("Barrier over a bend in greedy order")
    assert claims["R6"].reason.endswith("; of R1 to R5 R1, R2, R3, R4 hold.")
    claims = claims_of(binary=True, bends=False)
    assert claims["R6"].verdict == "not tested"
    assert claims["R6"].reason == "Not tested: R5; of R1 to R5 R1, R2, R3, R4 hold."


def test_the_centre_reaches_most(claims):
    assert "the centre is mlp-replicated_sgd-" in claims["R8"].reason


def test_few_pairs_across_solvers_leave_the_star_untested_or_undecided():
    assert claims_of(across=1)["R8"].verdict in ("undecided", "not tested")
    none = claims_of(across=0)["R8"]
    assert none.verdict == "not tested"
    assert "No pairs are profiled between" in none.reason


def test_reach_counts_every_solver_alike_however_many_pairs_are_profiled(claims):
    few = named(claims_of(across=6)["R8"], "reach, replicated_sgd minus")
    assert few.estimate == pytest.approx(
        named(claims["R8"], "reach, replicated_sgd minus").estimate
    )


def test_pairs_that_all_agree_do_not_make_reach_certain():
    effect = named(claims_of(seeds=3)["R8"], "reach, replicated_sgd minus")
    assert effect.high - effect.low > 0.5


@pytest.mark.parametrize(
    "settings",
    [
        {"seeds": 1},
        {"seeds": 2},
        {"solvers": {"sgd": SOLVERS["sgd"]}},
        {"seeds": 1, "solvers": {"sgd": SOLVERS["sgd"]}},
        {"seeds": 3, "diverged": 2},
        {"seeds": 2, "diverged": 2},
        {"seeds": 3, "truth": Truth(spread=0, test_slope=0, test_noise=0, pair_noise=0)},
        {"across": 0, "bends": False},
        {"across": 0, "bends": False, "binary": True},
        {"seeds": 1, "binary": True},
    ],
)
def test_little_data_gives_reasons_and_no_crash(settings):
    claims = claims_of(**settings)
    assert len(claims) == 8
    for row in claims.values():
        assert row.verdict in VERDICTS
        assert len(row.reason) > 10
    json.dumps([claim.data for claim in claims.values()], allow_nan=False)


def test_one_seed_or_solver_decides_nothing():
    for settings in ({"seeds": 1}, {"solvers": {"sgd": SOLVERS["sgd"]}}):
        claims = claims_of(**settings)
        assert {claims[c].verdict for c in ("R1", "R3", "R4", "R8")} <= {
            "undecided",
            "not tested",
        }


def test_nothing_measured_yet_is_not_tested():
    assert {claim.verdict for claim in claims_on(plain_rows(seeds=1)[-1:])} == {"not tested"}


@pytest.mark.parametrize("binary", [False, True])
def test_any_part_of_a_study_can_be_missing_or_null(binary):
    whole = plain_rows(binary=binary, seeds=3)
    generator = random.Random(0)
    for _ in range(6):
        rows = json.loads(json.dumps([row for row in whole if generator.random() < 0.8]))
        for row in rows:
            _spoil(row, generator)
        found = derived(typed([*rows, whole[-1]]))
        json.dumps([row.data for row in found], allow_nan=False)


def _spoil(row, generator):
    """Makes some numbers null, as those are that were not finite."""
    if row["kind"] == "network" and generator.random() < 0.2:
        row["test_error"] = None
    if row["kind"] == "network" and generator.random() < 0.1:
        row["flatness"]["increase"] = [None] * len(row["flatness"]["increase"])
    for profile in row.get("profiles", {}).values():
        if generator.random() < 0.1:
            profile["barrier"] = None
            profile["error"][3] = None
    for measure in ("mean_angle", "hamming"):
        if measure in row and generator.random() < 0.1:
            row[measure]["after"] = None


def test_the_order_of_rows_does_not_matter_and_rows_are_the_same_every_time():
    rows = typed(plain_rows(seeds=3))
    assert derived(rows) == derived(rows)
    kinds = [row.kind for row in derived(rows)]
    assert len([kind for kind in kinds if kind != "summary"]) == 10
    assert kinds == sorted(kinds, key=["summary", "map", "claim"].index)


def test_bars_that_are_not_finite_are_counted():
    rows = plain_rows()
    pair = next(row for row in rows if row["kind"] == "pair")
    pair["profiles"]["geodesic"]["barrier"] = None
    claims = claims_on(rows)
    assert "1 of 153 barriers are not finite and left out" in claims[6].reason


def test_a_claim_without_its_truth_holds_rarely():
    """No solver differs: R1 needs two clear differences, each wrong in 2.5 % of studies at most."""
    alike = {name: Solver(0.1, solver.method) for name, solver in SOLVERS.items()}
    found = []
    for seed in range(100):
        rows = typed(plain_rows(solvers=alike, seeds=4, seed=seed, pairs=False))
        found.append(flatness(gather(rows, "mlp", thresholds_of(rows[-1].config))).verdict)
    assert found.count("holds") <= 3
    assert found.count("does not hold") <= 10  # two parts of 2.5 % each


def test_networks_that_were_not_trained_are_no_minima():
    """Flat because they are useless: they are left out, and it is said."""
    rows = plain_rows()
    networks = [row for row in rows if row["kind"] == "network"]
    solver = networks[0]["solver"]
    spoiled = [row for row in networks if row["solver"] == solver]
    for row in spoiled:
        row["train_error"] = 0.9
    number = len(spoiled)
    for claim in claims_on(rows):
        left_out = f"left out, with a train error above 5 %: {number} of {number} of {solver}."
        assert claim.reason.endswith(left_out)
        assert not any(solver in effect.name.split() for effect in claim.effects)
