"""R1: solvers sample minima of different flatness.

Flatness is the mean increase of the train error at the reference disturbance; a small increase is
flat. Solvers are compared by their method. Where a method occurs in several solvers of a study, the
solvers of both methods with equal learning rate and batch size are compared, and the differences
averaged over these settings; without common settings, all networks of the methods are compared.
"""

from collections.abc import Sequence

from toroids.statistics.claims.effect import Effect, effect
from toroids.statistics.claims.evidence import Evidence
from toroids.statistics.claims.exchange import difference_p
from toroids.statistics.claims.verdict import Claim, judge
from toroids.statistics.resampling import combination

STATEMENT = (
    "Solvers find minima of different flatness: replicated SGD flatter than SGD, and SGD flatter "
    "than SGD from an adversarial start."
)
ORDER = (("sgd", "replicated_sgd"), ("adversarial_sgd", "sgd"))  # the sharper one first
Block = tuple[list[str], list[str]]


def flatness(evidence: Evidence) -> Claim:
    """Tests R1; both differences are required."""
    effects, remarks = [], []
    found = {method for row in evidence.networks if (method := row.config["method"])}
    needed = ("replicated_sgd", "sgd", "adversarial_sgd")
    absent = [method for method in needed if method not in found]
    for sharper, flatter in ORDER:
        if {sharper, flatter} <= found:
            blocks, matched = _blocks(evidence, sharper, flatter)
            effects.append(_difference(evidence, sharper, flatter, blocks))
            if not matched:
                remarks.append(
                    f"{sharper} and {flatter} have no learning rate and batch size in common"
                )
    missing = f"The study has no networks of {' and '.join(absent)}." if absent else ""
    return judge(evidence, "R1", STATEMENT, effects, missing, "; ".join(remarks))


def _blocks(evidence: Evidence, sharper: str, flatter: str) -> tuple[list[Block], bool]:
    """The solvers of two methods by common settings, and whether there are any."""
    by_settings: dict[tuple[float | None, int | None], Block] = {}
    for solver in evidence.solvers:
        config = evidence.of(solver)[0].config
        if config["method"] in (sharper, flatter):
            settings = config.get("lr"), config.get("batch_size")
            block = by_settings.setdefault(settings, ([], []))
            block[config["method"] == flatter].append(solver)
    matched = [block for block in by_settings.values() if all(block)]
    if matched:
        return matched, True
    blocks = list(by_settings.values())
    return [(sum((a for a, _ in blocks), []), sum((b for _, b in blocks), []))], False


def _difference(evidence: Evidence, sharper: str, flatter: str, blocks: Sequence[Block]) -> Effect:
    samples = [(evidence.increases(*a), evidence.increases(*b)) for a, b in blocks]
    terms = [
        (sign / len(blocks), side)
        for block in samples
        for sign, side in zip((1.0, -1.0), block, strict=True)
    ]
    return effect(
        f"increase at {evidence.disturbance}, {sharper} minus {flatter}",
        combination(terms),
        "fraction",
        "positive",
        p=difference_p([(a.values, b.values) for a, b in samples]),
    )
