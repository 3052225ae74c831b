"""The page in a real browser: what is chosen is measured and shown."""

import json

import pytest
from explore.browser import chromium

from toroids.explore.answers import Answers
from toroids.landscape.joined import WAYS
from toroids.study.opened import open_run

pytestmark = pytest.mark.xdist_group("explorer")  # whose runs are made once
TWO = ["mlp-sgd-0", "mlp-replicated_sgd-1"]
THREE = ["mlp-sgd-0", "mlp-sgd-2", "mlp-replicated_sgd-1"]
BUSY = "return document.getElementById('result').getAttribute('aria-busy')"
DRAWN = "return document.getElementById('chart').data.map((trace) => trace.type)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(browser, server):
    browser.window(1400)
    browser.open(server.url)
    yield browser
    assert browser.complaints() == []


@pytest.fixture
def phone(browser, server):
    browser.window(390, 844)
    browser.open(server.url)
    yield browser
    assert browser.complaints() == []


def cells(page, table):
    return page.run(
        "return [...document.querySelectorAll(arguments[0] + ' tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.innerText.replace(/\\u00a0/g, ' ')))",
        table,
    )


def test_page_shows_map_and_list(page):
    assert page.text("h1") == "Study small"
    assert page.message.startswith("Choose two networks")
    page.run("document.getElementById('architecture').value = 'mlp'")
    assert page.count("#list tbody tr") == 6
    assert page.shown("#map") and not page.shown("#outcome")
    points = page.run(
        "return document.getElementById('map').data.flatMap((trace) => trace.x).length"
    )
    assert points == 6


def test_map_before_and_after_alignment(page, real):
    maps = next(
        one["maps"]
        for one in Answers(open_run(real)).networks["architectures"]
        if one["name"] == page.run("return document.getElementById('architecture').value")
    )
    for moment in ("before", "after"):
        page.run(f"document.querySelector('#moments input[value={moment}]').click()")
        drawn = page.run("return document.getElementById('map').data.flatMap((trace) => trace.x)")
        assert sorted(drawn) == sorted(maps[moment]["x"])


def test_two_networks_show_their_profile(page, server):
    page.open(f"{server.url}#{TWO[0]}")
    assert page.message.startswith("sgd-0 is chosen")
    page.tick(TWO[1])
    page.settled()
    assert page.message.startswith("A and B measured in") and not page.wrong
    assert page.hash == f"#{','.join(TWO)}"
    found = server.answers.profile({"a": TWO[:1], "b": TWO[1:]})
    curves = page.run(
        "return document.getElementById('chart').data.filter((t) => t.mode === 'lines').map((t) => t.y)"
    )
    assert curves == [curve["error"] for curve in found["profiles"].values()]
    raw = found["profiles"]["raw"]
    assert cells(page, "#numbers")[0] == [
        "line, raw",
        f"{100 * raw['barrier']:.2f} ± {100 * raw['barrier_stderr']:.2f} %",
    ]
    assert len(cells(page, "#numbers")) == len(WAYS)
    assert cells(page, "#distances")[0][1:] == [
        f"{found['mean_angle'][moment]:.3g}" for moment in ("before", "after")
    ]


def test_three_networks_show_their_section(page, server):
    page.open(f"{server.url}#{','.join(THREE[:2])}")
    page.settled()
    page.tick(THREE[2])
    page.settled()
    assert page.message.startswith("A, B and C measured in")
    assert page.run(DRAWN) == ["contour", "scatter"]
    found = server.answers.section(dict(zip("abc", ([name] for name in THREE), strict=True)))
    assert page.run("return document.getElementById('chart').data[0].z") == found["error"]
    assert len(cells(page, "#numbers")) == len(cells(page, "#distances")) == 3


def test_points_of_the_map_can_be_clicked(page):
    place = page.run(
        """const map = document.getElementById("map"), trace = map.data[0], layout = map._fullLayout;
        const box = map.getBoundingClientRect();
        return [trace.customdata[0],
                box.x + layout.xaxis._offset + layout.xaxis.l2p(trace.x[0]),
                box.y + layout.yaxis._offset + layout.yaxis.l2p(trace.y[0])]"""
    )
    name, x, y = place
    from selenium.webdriver.common.action_chains import ActionChains

    chain = ActionChains(page.browser)
    chain.w3c_actions.pointer_action.move_to_location(int(x), int(y))
    chain.w3c_actions.pointer_action.click()
    chain.perform()
    page.wait(lambda: page.chosen)
    assert len(page.chosen) == 1 and name.startswith(page.chosen[0].split("-")[0])


def test_keyboard_alone(page):
    from selenium.webdriver.common.keys import Keys

    boxes = page.browser.find_elements("css selector", "#list input")
    boxes[0].send_keys(Keys.SPACE)
    boxes[1].send_keys(Keys.SPACE)
    page.settled()
    assert page.shown("#outcome") and len(page.chosen) == 2
    boxes[1].send_keys(Keys.ESCAPE)
    assert page.chosen == [] and page.hash == "" and not page.shown("#outcome")


def test_clear_and_a_fourth(page, server):
    page.open(f"{server.url}#{','.join(THREE)}")
    page.settled()
    page.tick("mlp-sgd-1")
    assert page.chosen == ["mlp-sgd-1"]  # begins a new choice
    page.run("document.getElementById('clear').click()")
    assert page.chosen == [] and page.message.startswith("Choose two networks")


def test_address_restores_the_choice(page, server):
    page.open(f"{server.url}#{','.join(THREE)}")
    page.settled()
    assert page.chosen == THREE
    assert page.shown("#outcome")
    page.choose(*TWO)
    assert page.message.startswith("A and B measured")


@pytest.mark.parametrize(
    ("hash", "chosen", "sentence"),
    [
        ("mlp-sgd-0,mlp-sgd-77", ["mlp-sgd-0"], "names mlp-sgd-77, which this run does not have"),
        ("<img src=x onerror=alert(1)>", [], "names <img src=x onerror=alert(1)>, which"),
        ("mlp-sgd-0,deep-sgd-0", ["mlp-sgd-0"], "or of two architectures"),
        ("mlp-sgd-0,mlp-sgd-1,mlp-sgd-2,mlp-replicated_sgd-0",
         ["mlp-sgd-0", "mlp-sgd-1", "mlp-sgd-2"], "too many networks"),
    ],
)  # fmt: skip
def test_address_is_checked(page, server, hash, chosen, sentence):
    page.open(f"{server.url}#{hash}")
    page.wait(lambda: page.wrong)
    assert sentence in page.message and page.chosen == chosen
    page.run("document.getElementById('clear').click()")


def test_broken_address(page, server):
    page.open(f"{server.url}#%E0%A4%A")
    assert page.chosen == [] and page.count("#list tbody tr") == 6


def test_other_architecture(page):
    before = page.run("return document.getElementById('architecture').value")
    other = {"mlp": "deep", "deep": "mlp"}[before]
    page.run(
        "const select = document.getElementById('architecture'); select.value = arguments[0];"
        "select.dispatchEvent(new Event('change'))",
        other,
    )
    assert page.run("return document.querySelector('#list input').value").startswith(f"{other}-")
    assert page.chosen == []


def test_finer_profile(page, server):
    page.open(f"{server.url}#{','.join(TWO)}")
    page.settled()
    page.run(
        "const select = document.getElementById('fineness'); select.value = '13';"
        "select.dispatchEvent(new Event('change'))"
    )
    page.settled()
    drawn = "return document.getElementById('chart').data[1].x.length"
    assert page.run(drawn) == 13
    assert "points=13" in page.run("return document.getElementById('json').href")


def test_numbers_can_be_downloaded(page, server):
    page.open(f"{server.url}#{','.join(TWO)}")
    page.settled()
    found = page.run(
        "const request = new XMLHttpRequest();"
        "request.open('GET', document.getElementById('json').href, false);"
        "request.send(); return request.responseText"
    )
    assert json.loads(found)["a"] == TWO[0]


def test_failure_is_shown_as_its_sentence(browser, server, monkeypatch):
    def fails(*_):
        raise ValueError("cannot <b>be</b>")

    browser.window(1400)
    monkeypatch.setattr(server.answers, "profile", fails)
    browser.open(f"{server.url}#{','.join(TWO)}")
    browser.wait(lambda: browser.wrong)
    assert "ValueError: cannot <b>be</b>" in browser.message
    assert not browser.shown("#outcome") and browser.run(BUSY) == "false"
    complaints = browser.complaints()  # the browser itself notes the status
    assert len(complaints) == 1 and "500" in complaints[0]


def test_no_script_but_our_own(page):
    page.run(
        "const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        "document.head.append(script)"
    )
    assert page.run("return window.ran === undefined")
    assert any("Content Security Policy" in text for text in page.complaints())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(phone, scheme):
    phone.window(390, 844, scheme)
    for names in (TWO, THREE):
        phone.choose(*names)
        assert phone.run("return document.documentElement.scrollWidth") == 390
        assert phone.shown("#go")
    background = phone.run("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[scheme]


COVERED = """
const bottom = (id) => {
  const shapes = document.querySelectorAll(`#${id}, #${id} .main-svg`);
  return Math.max(...[...shapes].map((one) => one.getBoundingClientRect().bottom));
};
const top = (id) => document.getElementById(id).getBoundingClientRect().top;
return bottom("map") > top("map-note") || bottom("chart") > top("chart-note")
"""


def test_charts_cover_nothing(browser, server, binary_server):
    bits = ["bits-sgd-0", "bits-sgd-1", "bits-replicated_sgd-0"]
    for own, chosen in ((server, (TWO, THREE)), (binary_server, (bits[:2], bits))):
        browser.open(own.url)
        for names in chosen:
            browser.choose(*names)
            for width in (390, 820, 1400):
                browser.window(width)
                assert not browser.run(COVERED), (names, width)
    assert browser.complaints() == []


def test_binary_networks(browser, binary_server):
    browser.window(1400)
    browser.open(f"{binary_server.url}#bits-sgd-0,bits-sgd-1")
    browser.settled()
    assert [row[0] for row in cells(browser, "#numbers")] == [
        "random flips, not aligned",
        "random flips, aligned",
        "greedy flips, aligned",
    ]
    browser.tick("bits-replicated_sgd-0")
    browser.settled()
    assert browser.run(DRAWN).count("heatmap") == 3
    assert cells(browser, "#numbers")[-1][0] == "median of the three"
    assert browser.complaints() == []
