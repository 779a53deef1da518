"""The page in a real browser: what it shows is what the tables say, by mouse, by keyboard and by address."""

import re
import shutil
from pathlib import Path

import browser_studies
import numpy as np
import pandas as pd
import pytest
from browser_studies import NO_SCORE, STUDENT

from memflow.data import prepared

PAGE = 96  # tiles
AXE = Path(__file__).parent / "vendor/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="session")
def dataset(results):
    return prepared.load(results / "data/flagged.npz")


@pytest.fixture(scope="session")
def table(results):
    """Scores of a network of dataset flagged, by index."""
    return lambda name, method="one-hot", of="": pd.read_parquet(
        results / f"scores/flagged/{name}/{method}{of}.parquet"
    ).set_index("index")


def shown(page):
    """Indices of the examples on the page, in order."""
    names = page.locator(".tile .label .hidden").all_text_contents()
    return [int(re.search(r"Example (\d+)", name)[1]) for name in names]


def choose(visitor, **chosen):
    for name, value in chosen.items():
        visitor.page.select_option(f"select[name='{name}']", value)
        visitor.settled()
    return visitor.page


def count(page):
    return int(re.match(r"[\d,]+", page.inner_text("#count"))[0].replace(",", ""))


def test_the_first_view_is_of_the_largest_network_highest_scores_first(visitor, table):
    page = visitor.open()
    assert page.inner_text("#heading") == "flagged"
    assert page.inner_text("#count") == "300 of 300 examples match, 1 to 96 shown."
    expected = table("large").sort_values("memorisation", ascending=False, kind="stable").index[:PAGE]
    assert shown(page) == expected.tolist()
    assert "K = 100 runs" in page.inner_text("#about")
    assert "95 %" in page.inner_text("#about")


def test_tiles_say_the_tables_digits(visitor, table):
    page, scores = visitor.open(), table("large")
    for tile, index in zip(page.locator(".tile").all()[:20], shown(page), strict=False):
        row = scores.loc[index]
        text = tile.text_content()
        assert f"score {row.memorisation:.2f}".replace("-", "−") in text
        assert f"interval {row.ci_low:.3f} to {row.ci_high:.3f}".replace("-", "−") in text


def test_filters_narrow_together_and_are_cleared(visitor, table, dataset):
    page, scores = visitor.open(), table("large")
    choose(visitor, **{"flag:label_noise": "only"})
    assert count(page) == scores["label_noise"].sum()
    choose(visitor, **{"class": "2"})
    assert count(page) == (scores["label_noise"] & (scores["label"] == 2)).sum()
    choose(visitor, **{"flag:label_noise": "without", "flag:input_noise": "without"})
    assert count(page) == (~scores["label_noise"] & ~scores["input_noise"] & (scores["label"] == 2)).sum()
    page.fill("input[name=from]", "0.1")
    page.press("input[name=from]", "Tab")
    page.fill("input[name=to]", "0.4")
    page.press("input[name=to]", "Tab")
    visitor.settled()
    within = scores["memorisation"].between(0.1, 0.4)
    assert count(page) == (within & ~scores["label_noise"] & ~scores["input_noise"] & (scores["label"] == 2)).sum()
    page.click("#clear")
    assert count(visitor.settled()) == 300


@pytest.mark.parametrize("flag", ["exact_duplicate", "near_duplicate", "conflicting_label", "in_test"])
def test_flags_of_copies_find_the_copies(visitor, flag):
    page = visitor.open()
    choose(visitor, **{f"flag:{flag}": "only"})
    expected = {
        "exact_duplicate": [3, 5],
        "near_duplicate": [3, 5, 7],
        "conflicting_label": [3, 5, 7],
        "in_test": [3, 5, 7],
    }
    assert sorted(shown(page)) == expected[flag]


def test_trajectory_types(visitor, results):
    types = pd.read_parquet(results / "trajectories/flagged/width/one-hot.parquet").set_index("index")["type"]
    page = visitor.open()
    for kind in [*types.dropna().unique(), "none"]:
        choose(visitor, type=f"width:{kind}")
        expected = types.isna() if kind == "none" else types == kind
        assert count(page) == expected.sum()


def test_networks_methods_and_epochs(visitor, table):
    page = visitor.open()
    choose(visitor, architecture="medium")
    assert "3 of them did not converge" in page.inner_text("#network")
    best = table("medium").sort_values("memorisation", ascending=False, kind="stable").index
    assert shown(page) == best[:PAGE].tolist()
    choose(visitor, method=STUDENT)
    best = table("medium", STUDENT).sort_values("memorisation", ascending=False, kind="stable").index
    assert shown(page) == best[:PAGE].tolist()
    choose(visitor, epoch="2")
    epochs = table("medium", STUDENT, ".epochs")
    best = epochs[epochs["epoch"] == 2].sort_values("memorisation", ascending=False, kind="stable").index
    assert shown(page) == best[:PAGE].tolist()
    page.check("input[name=converged]")
    visitor.settled()
    assert "medium" not in page.inner_text("select[name=architecture]")
    assert page.input_value("select[name=architecture]") == "large"


def test_sorting_by_a_proxy_puts_what_looks_memorised_first(visitor, results):
    proxies = pd.read_parquet(results / "proxies/flagged/large.parquet")
    page = visitor.open()
    for name in ("forgetting", "aum", "c_score"):
        values = proxies[proxies["proxy"] == name].set_index("index")["value"]
        choose(visitor, sort=f"proxy:{name}")
        assert shown(page) == values.sort_values(ascending=False, kind="stable").index[:PAGE].tolist()
        choose(visitor, order="asc")
        assert shown(page) == values.sort_values(kind="stable").index[:PAGE].tolist()


def test_sorting_by_the_difference_of_two_networks(visitor, table):
    page, difference = visitor.open(), table("large")["memorisation"] - table("small", STUDENT)["memorisation"]
    choose(visitor, sort=f"minus:small:{STUDENT}")
    by_size = difference.abs().sort_values(ascending=False, kind="stable").index
    assert shown(page) == by_size[:PAGE].tolist()
    choose(visitor, order="asc")
    assert shown(page) == difference.sort_values(kind="stable").index[:PAGE].tolist()
    choose(visitor, order="desc")
    assert shown(page) == difference.sort_values(ascending=False, kind="stable").index[:PAGE].tolist()


def test_sorting_by_the_difference_of_ranks(visitor, table, results):
    proxies = pd.read_parquet(results / "proxies/flagged/large.parquet")
    values = proxies[proxies["proxy"] == "aum"].set_index("index")["value"]
    ranks = [((of.rank() - 0.5) / of.notna().sum()) for of in (table("large")["memorisation"], values)]
    page = visitor.open("#sort=ranks:aum&order=desc")
    expected = (ranks[0] - ranks[1]).sort_values(ascending=False, kind="stable")
    found = (ranks[0] - ranks[1])[shown(page)].to_numpy()
    np.testing.assert_allclose(found, expected.to_numpy()[:PAGE], atol=1e-12)


def test_sorting_by_the_change_with_size(visitor, results):
    delta = pd.read_parquet(results / "trajectories/flagged/width/one-hot.parquet").set_index("index")["delta"]
    page = visitor.open("#sort=change:width")
    assert shown(page) == delta.sort_values(ascending=False, kind="stable").index[:PAGE].tolist()


def test_an_example_without_score_comes_last_and_says_why(visitor, dataset):
    index = int(dataset.train.index[NO_SCORE])
    page = visitor.open("#page=4")
    assert shown(page)[-1] == index
    page.click(".tile >> nth=-1")
    visitor.settled()
    page.wait_for_selector("#parts .chart svg")
    assert "No run of large held this example out" in page.inner_text("dialog")


def test_the_detail_of_an_example_with_every_flag(visitor, table, dataset):
    page = visitor.open("#example=3")
    page.wait_for_selector("#parts .chart svg")
    text = page.inner_text("dialog")
    for part in (
        "flipped label: the original one is <b>cat</b>",
        "the image was replaced by noise",
        "training has exact duplicates of it",
        "training has near duplicates of it",
        "a duplicate in training has another label",
        "the test split has a copy of it",
        "Exact duplicates in training (1)",
        "Near duplicates in training (1)",
        "Copies in the test split",
        "Test examples it helps most",
    ):
        assert part in text
    row = table("large").loc[3]
    numbers = f"Score {row.memorisation:.3f} interval {row.ci_low:.3f} to {row.ci_high:.3f}"
    assert page.text_content(".score") == numbers.replace("-", "−")
    assert f"of 70 runs that were trained on this example, {round(70 * row.acc_in)} got it right" in text
    cited = page.input_value("#cite")
    assert dataset.fingerprint in cited
    assert "results/small/scores/flagged/large/one-hot.parquet, row with index 3" in cited
    page.click("dialog a:has-text('Example 5')")
    visitor.settled()
    assert "Example 5 of flagged" in page.inner_text("#detail-title")


def test_every_chart_has_a_table_with_its_numbers(visitor, table):
    page = visitor.open("#example=3&shown=medium")
    page.wait_for_selector("#parts .chart svg")
    assert page.locator(".chart svg[role=img][aria-label]").count() == 2
    for summary in page.locator("figure details summary").all():
        summary.click()
    by_size, by_epoch = (one.inner_text() for one in page.locator("figure details table").all())
    for name in ("small", "medium", "large", "neighbour"):
        row = table(name).loc[3]
        assert f"{row.memorisation:.3f}".replace("-", "−") in by_size
    assert "3 of 100" in by_size
    epochs = table("medium", "one-hot", ".epochs")
    for value in epochs[epochs.index == 3]["memorisation"]:
        assert f"{value:.3f}".replace("-", "−") in by_epoch


def test_the_address_holds_the_view(visitor):
    page = visitor.open()
    choose(visitor, architecture="small", **{"flag:label_noise": "only"}, sort="minus:large:one-hot", order="desc")
    page.click(".tile >> nth=2")
    visitor.settled()
    title, address = page.inner_text("#detail-title"), page.url
    before = shown(page)
    page.reload()
    visitor.settled()
    assert (page.inner_text("#detail-title"), shown(page), page.url) == (title, before, address)
    page.go_back()
    visitor.settled()
    assert not page.is_visible("dialog")
    page.go_back()
    visitor.settled()
    assert page.input_value("select[name=order]") == ""
    page.go_forward()
    page.go_forward()
    visitor.settled()
    assert page.inner_text("#detail-title") == title


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("#dataset=nowhere", "There is no dataset “nowhere”"),
        ("#architecture=huge", "huge has no scores here; this is large."),
        ("#architecture=large&method=odd", "large has no scores by odd; this is one-hot."),
        ("#epoch=3", "Epoch 3 was not evaluated"),
        ("#type=width:wavy", "There is no trajectory type"),
        ("#class=9", "There is no class 9"),
        ("#sort=proxy:el2n", "large cannot be sorted by proxy:el2n"),
        ("#example=4", "flagged has no training example 4"),
    ],
)
def test_an_address_that_names_what_there_is_not_says_so(visitor, state, message):
    page = visitor.open(state)
    assert message in page.inner_text("#notice")
    assert count(page) == 300


def test_nothing_matches(visitor):
    page = visitor.open("#from=0.99&to=0.995")
    assert page.inner_text("#count") == "0 of 300 examples match."
    assert "No example matches all of these filters." in page.inner_text("#gallery")
    page.click("#gallery button")
    assert count(visitor.settled()) == 300


def test_by_keyboard_alone(visitor):
    page = visitor.open()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link that skips to the examples
    page.keyboard.press("Tab")
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    first = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    visitor.settled()
    assert page.evaluate("document.activeElement.id") == "detail-title"
    assert "2 of 300 matches" in page.inner_text("#detail-title")
    page.keyboard.press("ArrowRight")
    visitor.settled()
    assert "3 of 300 matches" in page.inner_text("#detail-title")
    page.keyboard.press("ArrowLeft")
    visitor.settled()
    page.keyboard.press("Escape")
    visitor.settled()
    assert not page.is_visible("dialog")
    assert page.evaluate("document.activeElement.textContent") == first


def test_arrows_go_on_to_the_next_page(visitor):
    page = visitor.open(f"#example={shown(visitor.open())[-1]}")
    page.keyboard.press("ArrowRight")
    visitor.settled()
    assert "97 of 300 matches" in page.inner_text("#detail-title")
    page.keyboard.press("Escape")
    visitor.settled()
    assert "97 to 192 shown" in page.inner_text("#count")
    assert page.evaluate("document.activeElement.classList.contains('tile')")


def test_what_another_network_lacks_is_said(visitor):
    page = visitor.open("#sort=proxy:aum")
    choose(visitor, architecture="small")
    assert "small cannot be sorted by proxy:aum; this is by score." in page.inner_text("#notice")
    choose(visitor, architecture="large")
    assert not page.is_visible("#notice")


def test_pages(visitor):
    page = visitor.open()
    page.click("text=Next →")
    visitor.settled()
    assert "97 to 192 shown" in page.inner_text("#count")
    page.fill("#pages input", "4")
    page.press("#pages input", "Enter")
    visitor.settled()
    assert "289 to 300 shown" in page.inner_text("#count")


def test_another_dataset_starts_afresh(visitor):
    page = visitor.open("#from=0.5&sort=proxy:aum")
    choose(visitor, dataset="plain")
    assert count(page) == 20
    assert "None here: flipped labels" in page.inner_text("#no-flags")
    page.click(".tile >> nth=0")
    page.wait_for_selector("#parts .chart svg")
    text = page.inner_text("dialog")
    assert "96 × 48 pixels, shown scaled down to 64 × 32" in text
    assert "evaluated after its last epoch only" in text


def test_pictures_show_the_datasets_pixels(visitor, dataset):
    page = visitor.open("#sort=index")
    visitor.until("document.querySelector('.tile .picture').style.backgroundImage")
    box = page.locator(".tile .picture").nth(17).bounding_box()
    content = page.screenshot(clip=box)
    from io import BytesIO

    from PIL import Image

    pixels = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
    cell = box["width"] / 12
    seen = pixels[int(cell / 2) :: int(cell), int(cell / 2) :: int(cell)][:8, :12]
    np.testing.assert_allclose(seen.astype(int), dataset.train.images[17].astype(int), atol=2)


def test_copying_the_citation(visitor):
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.open("#example=9")
    page.wait_for_selector("#parts .chart svg")
    page.click("button:text-is('Copy')")
    visitor.until("document.querySelector('.copy [role=status]').textContent === 'Copied.'")
    assert page.evaluate("navigator.clipboard.readText()") == page.input_value("#cite")


def test_libraries_come_with_the_first_detail_only(visitor):
    visitor.open()
    assert not [url for url in visitor.requests if "/vendor/" in url]
    visitor.page.click(".tile >> nth=0")
    visitor.page.wait_for_selector("#parts .chart svg")
    assert len([url for url in visitor.requests if "/vendor/" in url]) == 2


def test_missing_files_are_named(open_as, results, tmp_path):
    copy = tmp_path / "browser"
    shutil.copytree(results / "browser", copy)
    for pattern in ("images/flagged.train-0.*", "data/flagged.medium.one-hot.????????????.js", "vendor/d3.*"):
        next(copy.glob(pattern)).unlink()
    visitor = open_as(copy / "index.html")
    page = visitor.open()
    visitor.until("document.getElementById('notice').textContent.includes('image sheet images/flagged.train-0')")
    notice = "document.getElementById('notice').textContent"
    page = visitor.open("#architecture=medium")
    visitor.until(f"{notice}.includes('data/flagged.medium.one-hot')")
    assert "copy them as a whole" in page.inner_text("#notice")
    page = visitor.open("#dataset=plain&example=3")
    visitor.until("document.querySelector('dialog [role=alert]')?.textContent.includes('vendor/d3')")


@pytest.mark.parametrize("state", ["", "#example=3", "#only=in_test&example=13", "#from=0.99&to=0.995"])
def test_nothing_is_wider_than_a_phone(open_as, results, state):
    visitor = open_as(results / "browser/index.html", color_scheme="dark")
    visitor.page.set_viewport_size({"width": 360, "height": 740})
    page = visitor.open(state)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert not page.is_visible("form select")
    if "example" in state:
        page.wait_for_selector("#parts .chart svg")
        assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 360
    else:
        page.click("summary:has-text('Filters and order')")
        assert page.is_visible("select[name=sort]")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["", "#architecture=medium&sort=minus:large:one-hot", "#example=3", "#from=0.99"])
def test_no_known_barrier(open_as, results, scheme, state):
    visitor = open_as(results / "browser/index.html", color_scheme=scheme)
    page = visitor.open(state)
    if "example" in state:
        page.wait_for_selector("#parts .chart svg")
    page.evaluate("document.querySelectorAll('#help, figure details').forEach((one) => { one.open = true; })")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("(rules) => axe.run({runOnly: rules})", RULES)["violations"]
    assert not [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]


def test_dark_follows_the_system(open_as, results):
    for scheme in ("light", "dark"):
        page = open_as(results / "browser/index.html", color_scheme=scheme).open()
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        brightness = int(re.search(r"\d+", colour)[0])
        assert (brightness > 128) == (scheme == "light")


def test_the_stamp_is_shown_where_code_was_not_committed(open_as, results, tmp_path, monkeypatch):
    for changed in (["src/memflow/scores.py"], []):
        monkeypatch.setattr("memflow.provenance.uncommitted", lambda changed=changed: changed)
        folder = tmp_path / str(len(changed))
        browser_studies.small(folder)
        page = open_as(folder / "results/small/browser/index.html").open()
        assert page.is_visible("#stamp") == bool(changed)
