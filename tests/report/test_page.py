import html
import json
import re
import shutil
from dataclasses import replace

import pytest
from synthetic_rows import renamed, synthetic_rows

from toroids.errors import ToroidsError
from toroids.report.page import render, write_report
from toroids.study.sealed import read_sealed, write_sealed

SCRIPT = re.compile(r"<script[^>]*>(.*?)</script>", re.S)
EVIL = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def page(finished):
    return render(finished)


def told(page):
    """The page's text, without scripts and markup."""
    body = SCRIPT.sub("", page[page.index("<body>") :])
    return html.unescape(re.sub(r"<[^>]*>", " ", body)).replace("\u00a0", " ")


def data(page):
    """What the page holds for its figures and tables."""
    return [json.loads(text) for text in SCRIPT.findall(page) if text.startswith("{")]


def test_nothing_is_loaded_from_elsewhere(page):
    own = SCRIPT.sub("", page)
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?https?:|url\(|@import""", own)
    assert "default-src 'none'" in own


def test_claims_come_first_then_plotly_last(page, finished):
    assert page.index('class="claims"') < page.index("<figure")
    assert page.rindex("<figure") < page.index('id="plotly"')
    text = told(page)
    for row in finished:
        if row.kind == "claim":
            assert row.verdict in text
            assert row.reason.replace("_", " ").replace("sgd", "SGD") in text
            for effect in row.effects:
                assert effect.name.replace("_", " ").replace("sgd", "SGD") in text


def test_the_page_shows_every_network_and_its_numbers(page, finished):
    text = told(page)
    for row in finished:
        if row.kind == "network":
            assert row.name.removeprefix("mlp-").replace("_", " ").replace("sgd", "SGD") in text
            error = f"{100 * row.test_error:.2f} ± {100 * row.test_error_stderr:.2f} %"
            assert error in text
    assert "12 networks (mlp), trained by 3 solvers on 600 examples of digits; 66 pairs" in text


def test_every_figure_has_caption_data_and_source(page):
    figures = [held for held in data(page) if "figure" in held]
    assert len(figures) == page.count("<figcaption") == page.count('role="img"') > 12
    for number, held in enumerate(figures, start=1):
        assert f"<strong>Figure {number}." in page
        assert held["csv"].count("\r\n") > 1
    assert page.count("Rows: kind") == len(figures)
    assert len({held["name"] for held in data(page)}) == len(data(page))


def test_the_settings_and_versions_are_told(page, finished):
    text = told(page)
    assert "toroids study made-up.toml" in text
    assert "torch 2.13.0" in text
    assert 'method = "replicated_sgd"' in text


@pytest.mark.parametrize("place", ["solver", "architecture", "study", "layer"])
def test_names_from_the_rows_cannot_inject(finished, place):
    old = {"solver": "replicated_sgd", "architecture": "mlp", "study": "made-up"}.get(
        place, "hidden1"
    )
    page = render(renamed(finished, old, EVIL))
    assert EVIL not in page
    scripts = SCRIPT.findall(page)
    assert len(scripts) == page.count("</script>")  # none was closed early
    for held in data(page):
        assert "<script" not in json.dumps(held.get("figure", ""))  # plotly shows text, no markup


def test_several_architectures_have_a_section_each(interrupted):
    page = render(interrupted)
    text = told(page)
    for name in ("mlp", "lenet"):
        assert f'<section id="architecture-{name}">' in page
        assert f"Measurements: {name}" in text
    anchors = re.findall(r'href="#([^"]*)"', page)
    assert all(page.count(f'id="{anchor}"') == 1 for anchor in anchors)
    assert "permutations and sign flips" in text


def test_what_is_missing_is_told_first(interrupted):
    page = render(interrupted)
    text = told(page[: page.index("The claims</h2>")])
    run = interrupted[-1]
    assert f"{run.done} of {run.done + 70} tasks are done" in text
    assert "This study is not finished." in text
    assert re.search(
        r"2 tasks have failed\s*:\s*bend of pair 0 \(bend\): the worker was lost", text
    )
    assert "6 networks diverged" in text


def test_a_finished_study_warns_of_nothing(page):
    assert 'role="status"' not in page


def test_a_study_that_has_only_begun_is_rendered(finished):
    run = replace(finished[-1], finished=False, done=0, task_seconds={})
    text = told(render([run]))
    assert "0 of 100 tasks are done".replace("100", str(sum(run.tasks.values()))) in text
    assert "too little has been measured" in text
    assert "No network has been trained and measured." in text


def test_one_network_per_solver_has_no_pairs_within():
    text = told(render(synthetic_rows(seeds=1)))
    assert "No pair within a solver has been measured." in text
    assert "No section has been measured in this study." in text


def test_binary_studies_speak_of_flips(signs):
    text = told(render(signs))
    assert "2 % of the weights flipped" in text
    assert "fraction of the weights that differ" in text
    assert "radians" not in text


def test_writing_replaces_the_report(run):
    path = write_report(run)
    assert path == run / "report.html"
    first = path.read_text()
    path.write_text("edited")
    with pytest.raises(ToroidsError, match="move it away, or pass force=True"):
        write_report(run)
    assert path.read_text() == "edited"
    assert write_report(run, force=True).read_text() == first


def test_what_is_no_run_is_refused(finished, tmp_path):
    with pytest.raises(ToroidsError, match='none of kind "run"'):
        render(finished[:-1])
    with pytest.raises(ToroidsError, match="holds no run"):
        write_report(tmp_path)


def test_a_run_with_a_row_that_lacks_something_still_has_its_report(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    path = next(iter((folder / "results").glob("train-*.json")))
    content = read_sealed(path)
    content["row"]["ended"] = None
    write_sealed(path, content)
    (folder / "derived.json").unlink()
    text = write_report(folder).read_text()
    assert "27 of 28 tasks are done" in text
