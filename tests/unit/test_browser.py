"""What the browser's page is given: every value as the tables have it, and nothing from tables of something else."""

import base64
import hashlib
import json
import re
import shutil
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from memflow import provenance
from memflow.browser import sheets, stage
from memflow.browser.assets import Assets, pack, script, smallest
from memflow.browser.columns import FLAGS, NEIGHBOURS, SCOPES
from memflow.data import prepared
from memflow.files import write_parquet
from memflow.provenance import ProvenanceError

sys.path.append(str(Path(__file__).parents[1] / "browser"))  # the studies are those of the tests in a real browser
import browser_studies
from browser_studies import EVERY_FLAG, NO_SCORE, PAGE, STUDENT


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Results and spec of the small study."""
    folder = tmp_path_factory.mktemp("study")
    return folder / "results/small", browser_studies.small(folder)


@pytest.fixture
def copied(study, tmp_path):
    """A copy of them that a test may spoil."""
    results = tmp_path / "results/small"
    shutil.copytree(study[0], results, ignore=shutil.ignore_patterns("browser"))
    return results, study[1]


@pytest.fixture(scope="module")
def about(study):
    """What the page says of itself."""
    page = (study[0] / "browser/index.html").read_text()
    return json.loads(re.search(r'<script type="application/json" id="study">(.*?)</script>', page, re.DOTALL)[1])


def columns(path):
    """Arrays of a file of data, by name."""
    name, packed = re.fullmatch(r"memflow\.receive\((\"[^\"]+\"), (.*)\);\n", path.read_text()).groups()
    assert path.name.startswith(f"{json.loads(name)}.")
    return {key: unpacked(*column) for key, column in json.loads(packed).items()}


def unpacked(kind, text):
    return np.frombuffer(base64.b64decode(text), dtype=f"<{kind}")


def run(results, spec):
    stage.run(spec, results, PAGE, results / "browser/index.html")


@pytest.mark.parametrize("kind", ["bool", "u1", "u2", "i4", ">i4", "f4", "f8", ">f8"])
def test_arrays_come_back_bit_by_bit(kind):
    array = np.array([0, 1, 1, 0]).astype(kind)
    if array.dtype.kind == "f":
        array = np.array([0.1, -1 / 3, np.nan, np.inf], dtype=kind)
    np.testing.assert_array_equal(unpacked(*pack(array)), array)


@pytest.mark.parametrize(("largest", "kind"), [(0, "u1"), (255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4")])
def test_whole_numbers_take_as_few_bytes_as_they_need(largest, kind):
    found = smallest(np.array([0, largest]))
    assert found.dtype == kind
    assert found.tolist() == [0, largest]


def test_a_name_cannot_end_the_script():
    assert script('a"b', {}) == b'memflow.receive("a\\"b", {});\n'


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_sheets_hold_the_pixels(channels):
    images = np.random.default_rng(0).integers(0, 256, (19, 5, 3, channels), dtype=np.uint8)
    sheet = np.asarray(Image.open(BytesIO(sheets.png(sheets.sheet(images)))))
    assert sheet.shape[:2] == (2 * 5, 16 * 3)
    expected = images if channels != 2 else images.mean(axis=3).astype(np.uint8)
    for place, image in enumerate(expected):
        top, left = 5 * (place // 16), 3 * (place % 16)
        np.testing.assert_array_equal(sheet[top : top + 5, left : left + 3], image.squeeze())


@pytest.mark.parametrize(
    ("size", "shown"), [((64, 64), (64, 64)), ((8, 12), (8, 12)), ((128, 96), (64, 48)), ((1000, 2), (64, 1))]
)
def test_large_images_are_scaled_down(size, shown):
    assert sheets.size(*size) == shown
    images = np.full((2, *size, 3), 7, dtype=np.uint8)
    sheet = sheets.sheet(images)
    assert sheet.shape == (shown[0], 16 * shown[1], 3)
    assert (sheet[:, : 2 * shown[1]] == 7).all()


def test_many_images_go_to_several_sheets(tmp_path):
    paths = sheets.add(Assets(tmp_path), "some", np.zeros((257, 2, 2, 1), dtype=np.uint8))
    assert [Image.open(tmp_path / path).size for path in paths] == [(32, 32), (32, 2)]


@pytest.mark.parametrize("suffix", ["", ".epochs"])
def test_scores_follow_from_what_the_page_gets(study, about, suffix):
    results, folder = study[0], study[0] / "browser"
    for network in about["datasets"][0]["networks"]:
        name = f"scores/flagged/{network['architecture']}/{network['method']}"
        assert network["tables"]["epochs" if suffix else "last"] == {
            "table": f"{name}{suffix}.parquet",
            "sha256": hashlib.sha256((results / f"{name}{suffix}.parquet").read_bytes()).hexdigest(),
        }
        table, counts = pd.read_parquet(results / f"{name}{suffix}.parquet"), columns(folder / network["file"])
        right = [counts[key] for key in ("right_in", "right_out")]
        if suffix:
            parts = [columns(folder / file) for file in network["chunks"]]
            right = [
                np.concatenate([part[key] for part in parts]).reshape(300, -1) for key in ("right_in", "right_out")
            ]
            right = [part.T.ravel() for part in right]
            counts = {key: np.tile(counts[key], len(network["epochs"])) for key in ("n_in", "n_out")}
        with np.errstate(invalid="ignore"):
            score = right[0] / counts["n_in"] - right[1] / counts["n_out"]
        np.testing.assert_array_equal(score, table["memorisation"])


def test_of_each_network_the_page_knows_its_runs(about):
    networks = {(of["architecture"], of["method"]): of for of in about["datasets"][0]["networks"]}
    assert networks["medium", "one-hot"]["runs_not_converged"] == browser_studies.NOT_CONVERGED
    assert networks["neighbour", "one-hot"]["parameters"] == 0
    assert networks["small", STUDENT]["ratio"] == "7/10"
    assert about["datasets"][0]["networks"][about["datasets"][0]["first"]]["architecture"] == "large"


@pytest.mark.parametrize(
    ("families", "scored", "first"),
    [
        ({"a": ["x", "y"], "b": ["v", "w"]}, "v w x y", "w"),
        ({}, "v w", "w"),
    ],
)
def test_the_first_network_is_the_largest_of_the_family_that_the_config_names_first(families, scored, first):
    entry = {"scored": [[name, "one-hot"] for name in scored.split()] + [["v", STUDENT]]}
    entry["families"] = {key: {"architectures": names} for key, names in families.items()}
    assert entry["scored"][stage._first(entry)] == [first, "one-hot"]


def test_examples_have_their_flags_and_types(study, about):
    dataset, entry = prepared.load(study[0] / "data/flagged.npz"), about["datasets"][0]
    found = columns(study[0] / "browser" / entry["examples"])
    np.testing.assert_array_equal(found["index"], dataset.train.index)
    np.testing.assert_array_equal(found["original_label"], dataset.original_label)
    flags = {flag: (found["flags"] >> bit & 1).astype(bool) for bit, flag in enumerate(FLAGS)}
    for flag in ("label_noise", "input_noise", "conflicting_label", "in_test"):
        np.testing.assert_array_equal(flags[flag], getattr(dataset, flag))
    assert np.flatnonzero(flags["exact_duplicate"]).tolist() == [0, 1]
    assert np.flatnonzero(flags["near_duplicate"]).tolist() == [0, 1, 2]
    assert all(of[EVERY_FLAG] for of in flags.values())
    assert [found[f"copy_{key}"].tolist() for key in ("train", "test", "exact")] == [[0, 2], [3, 3], [1, 0]]
    types = pd.read_parquet(study[0] / "trajectories/flagged/width/one-hot.parquet")["type"]
    names = [None, *entry["families"][0]["types"]]
    assert [names[code] for code in found["type:width"]] == types.astype(object).where(types.notna(), None).tolist()
    assert types.isna()[NO_SCORE]


def test_proxies_and_neighbours_are_the_tables(study, about):
    results, entry = study[0], about["datasets"][0]
    table = pd.read_parquet(results / "proxies/flagged/large.parquet")
    found = columns(results / "browser" / entry["proxies"]["large"]["file"])
    for name, rows in table.groupby("proxy"):
        np.testing.assert_array_equal(found[name], rows["original"].astype(found[name].dtype))
    assert {of["key"]: of["rising"] for of in entry["proxies"]["large"]["names"]} == {
        "forgetting": True,
        "aum": False,
        "c_score": False,
    }
    influence = pd.read_parquet(results / "influence/flagged/large/one-hot.by_train.parquet")
    (file,) = entry["influence"][0]["chunks"]
    neighbours, dataset = columns(results / "browser" / file), prepared.load(results / "data/flagged.npz")
    for scope in SCOPES:
        test = neighbours[f"{scope}:test"].reshape(-1, NEIGHBOURS)
        assert not test[1].any()
        train, rank = np.nonzero(test)
        expected = influence[influence["scope"] == scope].sort_values(["train_index", "rank"])
        np.testing.assert_array_equal(dataset.train.index[train], expected["train_index"])
        np.testing.assert_array_equal(rank + 1, expected["rank"])
        np.testing.assert_array_equal(dataset.test.index[test[train, rank] - 1], expected["test_index"])
        values = neighbours[f"{scope}:influence"].reshape(-1, NEIGHBOURS)[train, rank]
        np.testing.assert_array_equal(values, expected["influence"])


def test_the_same_tables_give_the_same_bytes(study, tmp_path):
    results, spec = study
    stage.run(spec, results, PAGE, tmp_path / "again/index.html")

    def content(folder):
        files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".prov.json"))
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    assert content(tmp_path / "again") == content(results / "browser")


def test_names_tell_the_content_and_the_sidecar_lists_them(study):
    results, _ = study
    record = provenance.read(results / "browser/index.html")
    page = (results / "browser/index.html").read_text()
    found = {str(path.relative_to(results / "browser")) for path in (results / "browser").glob("*/*") if path.is_file()}
    assert record["assets"].keys() == found
    for name, digest in record["assets"].items():
        assert hashlib.sha256((results / "browser" / name).read_bytes()).hexdigest() == digest
        assert f".{digest[:12]}." in name
        assert name in page
    read = {Path(path) for path in record["inputs"]}
    made = set(results.rglob("*.parquet")) | {path for path in PAGE.rglob("*") if path.is_file()}
    assert made <= read
    assert {results / f"data/{name}" for name in ("flagged.npz", "flagged.hazards.csv")} <= read


def test_assets_of_an_earlier_build_are_removed_and_nothing_else(study, tmp_path):
    results, spec = study
    output = tmp_path / "index.html"
    stale, foreign = tmp_path / "data/old.0123456789ab.js", tmp_path / "data/notes.txt"
    for path in (stale, foreign):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    stage.run(spec, results, PAGE, output)
    assert not stale.exists()
    assert foreign.exists()


def test_stale_assets_outlive_a_build_that_fails(copied, tmp_path):
    results, spec = copied
    stale = results / "browser/data/old.0123456789ab.js"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    (results / "influence/flagged/large/one-hot.by_train.parquet").write_bytes(b"damaged")
    with pytest.raises(ProvenanceError):
        run(results, spec)
    assert stale.exists()
    assert not (results / "browser/index.html").exists()


@pytest.mark.parametrize(
    "name",
    [
        "data/plain.npz",
        "data/flagged.hazards.csv",
        "scores/flagged/small/one-hot.parquet",
        "scores/flagged/small/one-hot.epochs.parquet",
        "scores/flagged/small/one-hot.summary.csv",
        "trajectories/flagged/width/one-hot.parquet",
        "proxies/flagged/large.parquet",
        "influence/flagged/large/one-hot.by_train.parquet",
    ],
)
def test_a_changed_file_is_refused_by_name(copied, name):
    results, spec = copied
    content = (results / name).read_bytes()
    (results / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ProvenanceError, match=re.escape(name)):
        run(results, spec)


def spoil(results, name, change):
    """Rewrite a table with a sidecar that agrees with it, so that only its content can tell."""
    path = results / name
    record = provenance.read(path)
    write_parquet(path, change(pd.read_parquet(path)))
    record["outputs"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    provenance.sidecar(path).write_text(json.dumps(record))


def swapped(table):
    return table.iloc[[1, 0, *range(2, len(table))]].reset_index(drop=True)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("scores/flagged/small/one-hot.parquet", swapped, "column 'index'"),
        ("scores/flagged/small/one-hot.epochs.parquet", swapped, "column 'index'"),
        ("trajectories/flagged/width/one-hot.parquet", swapped, "column 'index'"),
        ("proxies/flagged/large.parquet", swapped, "column 'index'"),
        ("scores/flagged/small/one-hot.parquet", lambda t: t.assign(label=1 - t["label"]), "column 'label'"),
        ("scores/flagged/small/one-hot.parquet", lambda t: t.iloc[:-1], "column 'index'"),
        (
            "scores/flagged/small/one-hot.parquet",
            lambda t: t.assign(memorisation=t["memorisation"] + 1e-6),
            "column 'memorisation' does not follow",
        ),
        (
            "scores/flagged/small/one-hot.parquet",
            lambda t: t.assign(ci_low=t["ci_low"] - 1e-6),
            "column 'ci_low' does not follow",
        ),
        (
            "scores/flagged/small/one-hot.parquet",
            lambda t: t.assign(acc_in=t["acc_in"] * 0.999),
            "column 'acc_in' is no share",
        ),
        (
            "influence/flagged/large/one-hot.by_train.parquet",
            lambda t: t.assign(test_index=t["test_index"] + 1),
            "names test examples",
        ),
        (
            "influence/flagged/large/one-hot.by_train.parquet",
            lambda t: t.assign(train_label=3 - t["train_label"]),
            "names train examples",
        ),
    ],
)
def test_a_table_of_something_else_is_refused(copied, name, change, says):
    results, spec = copied
    spoil(results, name, change)
    with pytest.raises(ProvenanceError, match=f"{re.escape(name)}.*{says}"):
        run(results, spec)


@pytest.mark.parametrize("name", ["proxies/flagged/large.parquet", "trajectories/flagged/width/one-hot.parquet"])
def test_a_table_of_another_version_of_the_dataset_is_refused(copied, name):
    results, spec = copied
    record = provenance.read(results / name)
    record["definition"]["fingerprint"] = "0" * 64
    provenance.sidecar(results / name).write_text(json.dumps(record))
    with pytest.raises(ProvenanceError, match=f"{re.escape(name)} was made from another version of dataset flagged"):
        run(results, spec)


def test_another_confidence_than_that_of_the_tables_is_refused(copied):
    results, spec = copied
    with pytest.raises(ProvenanceError, match=r"does not follow from the counts and the confidence of 0\.9"):
        run(results, spec | {"confidence": 0.9})


def test_the_page_asks_for_nothing_from_elsewhere(study):
    page = (study[0] / "browser/index.html").read_text()
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'" in page
    assert "<!-- " not in page


def test_names_are_text_on_the_page(copied):
    results, spec = copied
    run(results, spec | {"study": "<script>alert(1)</script>"})
    page = (results / "browser/index.html").read_text()
    assert "<script>alert" not in page
    assert "<b>cat</b>" not in page


def test_libraries_keep_their_licences(study):
    for name in ("d3", "plot"):
        (path,) = (study[0] / "browser/vendor").glob(f"{name}.*.js")
        content = path.read_text()
        assert "Permission to use, copy, modify, and/or distribute this software" in content
        assert content.endswith((PAGE / f"vendor/{name}.min.js").read_text())
