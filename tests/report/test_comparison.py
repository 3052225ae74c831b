"""The pages of `toroids compare`: whole, offline, and safe whatever networks are called."""

import re

import pytest
from laws.networks import build

import toroids as td
from toroids.report.comparison import comparison_page, facts, family_page

BAD = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def networks():
    case = build("two-hidden")
    child = {n: x * 1.01 if n == "output.weight" else x + 0.001 for n, x in case.params.items()}
    return case.group, [case.params, child, case.other(1)]


def test_the_page_of_a_pair_says_the_verdict_the_evidence_and_every_layer(networks):
    group, (a, child, _) = networks
    found = td.compare(group, a, child)
    page = comparison_page(found, [BAD, "b"], ["more <text>"])
    assert BAD not in page and "more &lt;text&gt;" in page
    assert '<span class="verdict holds">Related.</span>' in page
    for name, value in facts(found):
        assert name in page and value in page
    body = page.partition("<script>")[0]
    for layer in found.layers:
        assert f">{layer.name}<" in body
    assert len(re.findall("<figure ", body)) == 1
    assert not re.search(r'(src|href)="http', body)


def test_the_page_of_a_family_draws_the_tree_and_the_matrix(networks):
    group, params = networks
    family = td.compare_many(group, params, ["a", BAD, "c"])
    page = family_page(family)
    assert BAD not in page
    body = page.partition("<script>window")[0]
    for title in ("Family tree", "All pairs", "Likeness along the depth"):
        assert title in body
    assert len(re.findall('<figure id="figure-', page)) == 3
    verdicts = [c.verdict for c in family.comparisons.values()]
    assert f"{verdicts.count('related')} related" in body


def test_equal_networks_have_a_page_too(networks):
    group, (a, _, _) = networks
    page = comparison_page(td.compare(group, a, dict(a)), ["a", "b"])
    assert "Same function." in page and "What was moved" not in page
