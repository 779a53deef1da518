import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_helpers import image_bytes, random_pixels

from memflow.data import parquet
from memflow.data.prepared import DatasetError

NAMES = ["cat", "dog", "frog"]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def features(names):
    """The metadata that Hugging Face's datasets writes."""
    info = {"features": {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}}
    return {"huggingface": json.dumps({"info": info})}


def write(path, labels, seed=0, names=NAMES, cells=None, label="label", label_type=None, **options):
    """A parquet file of random images; its rows are in groups of two."""
    pixels = random_pixels(len(labels), 4, 4, 3, seed=seed)
    cells = cells or [{"bytes": image_bytes(image), "path": f"{i}.png"} for i, image in enumerate(pixels)]
    image_type = IMAGE if isinstance(cells[0], dict) else pa.binary()
    table = pa.table(
        {"image": pa.array(cells, image_type), label: pa.array(labels, label_type or pa.int64()), "id": labels}
    )
    pq.write_table(table.replace_schema_metadata(features(names) if names else None), path, row_group_size=2, **options)
    return pixels


@pytest.fixture
def files(tmp_path):
    write(tmp_path / "train.parquet", [0, 2, 1, 1, 0])
    write(tmp_path / "test.parquet", [1, 0], seed=1)
    return {name: str(tmp_path / f"{name}.parquet") for name in ("train", "test")}


def refused(options, message):
    with pytest.raises(DatasetError, match=message):
        parquet.load(**options)


def test_rows_come_back_in_their_order(files):
    train, test, names = parquet.load(**files)
    assert np.array_equal(train.images, random_pixels(5, 4, 4, 3))
    assert np.array_equal(test.images, random_pixels(2, 4, 4, 3, seed=1))
    assert train.labels.tolist() == [0, 2, 1, 1, 0]
    assert train.index.tolist() == [0, 1, 2, 3, 4]
    assert (train.images.dtype, train.labels.dtype, train.index.dtype) == (np.uint8, np.int32, np.int32)
    assert names == NAMES


def test_batches_do_not_matter(files, monkeypatch):
    expected = parquet.load(**files)[0].images
    monkeypatch.setattr(parquet, "BATCH", 2)
    assert np.array_equal(parquet.load(**files)[0].images, expected)


def test_shards_are_read_in_the_given_order_and_patterns_sorted(files, tmp_path):
    parts = [write(tmp_path / f"part-{i}.parquet", labels, seed=i) for i, labels in enumerate(([0, 1], [2, 0], [1]))]
    by_pattern = parquet.load(train=str(tmp_path / "part-*.parquet"), test=files["test"])[0]
    assert np.array_equal(by_pattern.images, np.concatenate(parts))
    assert by_pattern.labels.tolist() == [0, 1, 2, 0, 1]
    listed = parquet.load(train=[str(tmp_path / f"part-{i}.parquet") for i in (2, 0, 1)], test=files["test"])[0]
    assert np.array_equal(listed.images, np.concatenate([parts[i] for i in (2, 0, 1)]))


@pytest.mark.parametrize("metadata", [None, {}, {"huggingface": "no json"}, {"huggingface": "[]"}])
def test_without_names_the_classes_are_numbers(files, metadata):
    table = pq.read_table(files["train"])
    pq.write_table(table.replace_schema_metadata(metadata), files["train"])
    pq.write_table(pq.read_table(files["test"]).replace_schema_metadata(metadata), files["test"])
    assert parquet.load(**files)[2] == ["0", "1", "2"]


def test_other_columns_can_be_named(files, tmp_path):
    write(tmp_path / "train.parquet", [0, 2, 1], label="fine_label", names=None)
    write(tmp_path / "test.parquet", [0], label="fine_label", names=None)
    assert parquet.load(**files, label="fine_label")[0].labels.tolist() == [0, 2, 1]
    assert parquet.load(**files, label="id")[0].labels.tolist() == [0, 2, 1]


def test_plain_bytes_are_images_too(files, tmp_path):
    pixels = random_pixels(3, 4, 4)
    write(tmp_path / "train.parquet", [0, 2, 1], cells=[image_bytes(image) for image in pixels])
    write(tmp_path / "test.parquet", [0], cells=[image_bytes(pixels[0])])
    assert np.array_equal(parquet.load(**files)[0].images[..., 0], pixels)


def test_without_bytes_the_path_is_read_relative_to_the_file(files, tmp_path):
    pixels = random_pixels(3, 4, 4, 3)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(pixels):
        (tmp_path / "images" / f"{number}.png").write_bytes(image_bytes(image))
    write(tmp_path / "train.parquet", [0, 2, 1], cells=[{"bytes": None, "path": f"images/{i}.png"} for i in range(3)])
    assert np.array_equal(parquet.load(**files)[0].images, pixels)
    (tmp_path / "images/1.png").unlink()
    refused(files, r"train\.parquet: the image of row 1: .*images/1\.png cannot be read \(No such file")


def test_a_missing_column_is_refused_with_those_that_there_are(files):
    refused(files | {"image": "img"}, r"train\.parquet has no column 'img' \(.*allowed: image, label, id")
    refused(files | {"label": "labels"}, r"no column 'labels' \(did you mean 'label'\? allowed: image, label, id")


def test_columns_of_another_type_are_refused(files):
    refused(files | {"image": "label"}, "column 'label' is int64; expected a struct of bytes and path, or bytes")
    refused(
        files | {"label": "image"}, "column 'image' is struct<.*expected integers from 0 .columns: image, label, id"
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 3], "train: 1 of 3 labels are outside 0 to 2, the first is 3 at position 2"),
        ([0, 1, -1], "the first is -1 at position 2; -1 often means unlabelled"),
        ([0, 2, 2], "train has no image with label 1"),
        ([0, 1, None], r"train\.parquet: the label of row 2 is null"),
    ],
)
def test_wrong_labels_are_refused(files, labels, message):
    write(files["train"], labels)
    refused(files, message)


def test_a_file_without_rows_is_refused(files):
    pq.write_table(pq.read_table(files["train"]).slice(0, 0), files["train"])
    refused(files, "train has no images")


def test_class_names_must_agree(files, tmp_path):
    write(tmp_path / "test.parquet", [0, 1], names=["dog", "cat", "frog"])
    refused(files, r"train\.parquet and .*test\.parquet have different class names: \['cat', 'dog'")


def test_broken_and_null_images_are_named(files, tmp_path):
    good = image_bytes(random_pixels(4, 4, 3))
    for bad, message in ((good[:30], "cannot be read as an image"), (None, "is null")):
        cells = [{"bytes": good, "path": None}, {"bytes": good, "path": None}, {"bytes": bad, "path": None}]
        write(tmp_path / "train.parquet", [0, 1, 2], cells=cells)
        refused(files, rf"train\.parquet: the image of row 2 {message}")


def test_missing_broken_and_repeated_files_are_named(files, tmp_path):
    refused(files | {"train": str(tmp_path / "none-*.parquet")}, r"there is no parquet file .*none-\*\.parquet")
    refused(files | {"train": []}, "the list of parquet files is empty")
    refused(files | {"train": [files["train"], str(tmp_path / "tr*.parquet")]}, r"more than once: .*train\.parquet")
    whole = (tmp_path / "test.parquet").read_bytes()
    (tmp_path / "test.parquet").write_bytes(whole[:-20])
    refused(files, r"test\.parquet cannot be read as a parquet file")
    (tmp_path / "test.parquet").write_bytes(whole[:4] + bytes(200) + whole[204:])
    refused(files, r"test\.parquet(: the image of row 0| is damaged)")


def test_images_of_several_sizes_need_a_size(files, tmp_path):
    cells = [{"bytes": image_bytes(random_pixels(side, 6, 3)), "path": None} for side in (5, 6, 7)]
    write(tmp_path / "train.parquet", [0, 1, 2], cells=cells)
    refused(files, "row 1 has 6x6 pixels, but .* row 0 has 6x5: give `size`")
    train, test, _ = parquet.load(**files, size=4)
    assert train.images.shape[1:] == test.images.shape[1:] == (4, 4, 3)


def test_one_file_for_both_splits_is_refused(files):
    refused(files | {"test": files["train"]}, r"train\.parquet is named for the training and for the test split")
