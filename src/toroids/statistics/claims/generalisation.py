"""R2: flatness goes with test error.

Spearman's correlation of increase and test error over all networks, which the verdict rests on. It
may come from what solvers or their settings do to both (Simpson's paradox), so it is also computed
within every solver, within solvers together (ranks minus their solver's mean), and with the
logarithms of learning rate and batch size held fixed. Its p-value deals the test errors anew over
the networks: over all, within solvers, or within equal settings.
"""

import itertools
from collections.abc import Hashable, Sequence

import numpy as np

from toroids.statistics.claims.effect import Effect, effect, number
from toroids.statistics.claims.evidence import Evidence
from toroids.statistics.claims.verdict import Claim, judge
from toroids.statistics.correlation import indicators, rank_correlation, rank_correlation_p
from toroids.statistics.measured import Network
from toroids.statistics.resampling import Floats

STATEMENT = "Flatter minima have the lower test error."


def generalisation(evidence: Evidence) -> Claim:
    """Tests R2; the correlation over all networks is required."""
    networks = [row for row in evidence.networks if row.test_error is not None]
    if len(networks) < 2:
        return judge(evidence, "R2", STATEMENT, missing="Fewer than two networks were measured.")
    overall = _correlation("over all networks", evidence, networks, required=True)
    stratified, controlled = _stratified(evidence, networks), _controlled(evidence, networks)
    if overall.estimate is None:
        missing = "Increase or test error is the same for all networks."
        return judge(evidence, "R2", STATEMENT, missing=missing)
    by_solver = [
        _correlation(f"within {solver}", evidence, members)
        for solver in evidence.solvers
        if len(members := [row for row in networks if row.solver == solver]) > 2
    ]
    checks = [check for check in (stratified, controlled) if check is not None]
    remarks = [_remark(check) for check in checks if overall.supports and not check.supports]
    if controlled is None:
        remarks.append(_uncontrolled(networks))
    return judge(
        evidence, "R2", STATEMENT, [overall, *checks, *by_solver], remark="; ".join(remarks)
    )


def _stratified(evidence: Evidence, networks: list[Network]) -> Effect | None:
    solvers = [row.solver for row in networks]
    if len(set(solvers)) < 2:
        return None
    found = _correlation(
        "within solvers together", evidence, networks, indicators(solvers), solvers
    )
    return None if found.estimate is None else found


def _controlled(evidence: Evidence, networks: list[Network]) -> Effect | None:
    settings = [_settings(row) for row in networks]
    if len(set(settings)) < 2 or None in itertools.chain(*settings):
        return None
    name = "with log learning rate and log batch size held fixed"
    found = _correlation(name, evidence, networks, np.log(np.array(settings, float)), settings)
    return None if found.estimate is None else found


def _correlation(
    name: str,
    evidence: Evidence,
    networks: list[Network],
    fixed: Floats | None = None,
    strata: Sequence[Hashable] | None = None,
    required: bool = False,
) -> Effect:
    increase = np.array([evidence.increase[row.name] for row in networks])
    test = np.array([row.test_error for row in networks], dtype=float)
    solvers = [row.solver for row in networks]
    return effect(
        f"rank correlation of increase and test error {name}",
        rank_correlation(increase, test, solvers, fixed),
        "correlation",
        "positive",
        required=required,
        p=rank_correlation_p(increase, test, strata, fixed),
    )


def _settings(row: Network) -> tuple[float | None, int | None]:
    return row.config.get("lr"), row.config.get("batch_size")


def _uncontrolled(networks: list[Network]) -> str:
    settings = {_settings(row) for row in networks}
    if len(settings) == 1:
        return "learning rate and batch size do not vary"
    if None in itertools.chain(*settings):
        return "some solvers have no learning rate or batch size to be held fixed"
    return "with learning rate and batch size held fixed nothing is left to correlate"


def _remark(check: Effect) -> str:
    where = check.name.removeprefix("rank correlation of increase and test error ")
    found = "is reversed" if check.contradicts else "vanishes or is unclear"
    value = number(check.estimate, check.unit)
    if check.low is not None and check.high is not None:
        value += f" [{number(check.low, check.unit)}, {number(check.high, check.unit)}]"
    return f"{where} it {found}: {value}"
