import itertools

from toroids.probe.parity import Span


def test_combinations_against_all_sums_of_three_rows():
    rows = list(itertools.product((0, 1), repeat=3))
    for chosen in itertools.product(rows, repeat=3):
        span = Span()
        grew = [span.add(row) for row in chosen]
        sums = {
            tuple(
                sum(u * row[i] for u, row in zip(used, chosen, strict=True)) % 2 for i in range(3)
            )
            for used in itertools.product((0, 1), repeat=3)
        }
        assert 2 ** sum(grew) == len(sums)
        for row in rows:
            used = span.combination(row)
            assert (used is not None) == (row in sums)
            if used is not None:
                made = zip(
                    *[[u * x for x in r] for u, r in zip(used, chosen, strict=True)], strict=True
                )
                assert tuple(sum(column) % 2 for column in made) == row
