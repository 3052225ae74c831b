"""All kinds of tasks, in the order in which a study does them."""

from toroids.study.perform import bend, measure, pair, section, symmetry, train, trajectory

KINDS = {
    module.KIND.name: module.KIND
    for module in (symmetry, train, measure, pair, bend, section, trajectory)
}
