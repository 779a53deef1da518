import pytest
from helpers import noise_images, tiny_config

from memflow import disk, sizes
from memflow.config import Study
from memflow.data import prepare, prepared
from memflow.errors import InputError
from memflow.sizes import Sizes


def test_the_size_of_a_prepared_file_is_known_beforehand(tmp_path):
    data = noise_images(n=500, n_test=100, shape=(6, 5, 3))
    prepared.save(data, tmp_path / "data.npz")
    real = (tmp_path / "data.npz").stat().st_size
    assert disk.data_bytes(500, 100, 6 * 5 * 3) == pytest.approx(real, rel=0.02)
    assert Sizes(500, 100, (3, 6, 5), 3).bytes == disk.data_bytes(500, 100, 6 * 5 * 3)


def test_a_prepared_file_says_its_sizes(tmp_path):
    prepared.save(noise_images(n=70, n_test=20, shape=(6, 5, 3)), tmp_path / "data.npz")
    read = sizes.read(tmp_path / "data.npz")
    assert read == Sizes(70, 20, (3, 6, 5), 3, tmp_path / "data.npz")
    assert read.bytes == (tmp_path / "data.npz").stat().st_size


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "data.npz").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"data\.npz is not a readable prepared dataset"):
        sizes.read(tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"source": "cifar10"}, (50_000, 10_000, 10)),
        ({"source": "cifar100"}, (50_000, 10_000, 100)),
        ({"source": "cifar100", "labels": "coarse"}, (50_000, 10_000, 20)),
        ({"source": "svhn"}, (73_257, 26_032, 10)),
        ({"source": "cifar100", "subset": {"classes": ["a", "b"]}}, (1_000, 200, 2)),
        ({"source": "cifar100", "labels": "coarse", "subset": {"classes": ["a", "b"]}}, (5_000, 1_000, 2)),
        ({"source": "cifar10", "subset": {"per_class": 100}}, (1_000, 10_000, 10)),
        ({"source": "tiny-imagenet", "subset": {"per_class": 10, "test_per_class": 5}}, (2_000, 1_000, 200)),
        ({"source": "mnist", "subset": {"per_class": 10}}, (100, 10_000, 10)),
        ({"source": "mnist", "subset": {"classes": [0, 1], "per_class": 7, "test_per_class": 3}}, (14, 6, 2)),
    ],
)
def test_published_sizes_of_the_part_that_a_dataset_takes(entry, expected):
    known = sizes.published(entry)
    assert (known.n_train, known.n_test, known.n_classes) == expected
    assert known.path is None


@pytest.mark.parametrize(
    "entry",
    [{"source": "digits"}, {"source": "image-folder"}, {"source": "mnist", "subset": {"classes": [0, 1]}}],
)
def test_what_depends_on_the_images_is_not_published(entry):
    assert sizes.published(entry) is None


def test_sizes_come_from_the_prepared_file_or_else_are_published_or_else_prepared(tmp_path, monkeypatch):
    study = Study(tiny_config())
    results, folder = tmp_path / "results", tmp_path / "folder"
    digits = sizes.of(study, "digits", results, folder)
    assert (digits.n_train + digits.n_test, digits.image_shape) == (1797, (1, 8, 8))
    assert digits.path == folder / "digits.npz"
    monkeypatch.setitem(sizes.PUBLISHED, "digits", Sizes(3, 2, (1, 8, 8), 10))
    assert sizes.of(study, "digits", results, folder) == sizes.PUBLISHED["digits"]
    made = results / "data" / "digits.npz"
    prepare.run(study.prepare_spec("digits"), made)
    assert sizes.of(study, "digits", results, folder).path == made
    other = Study(tiny_config(datasets={"digits": {"source": "digits", "label_noise": {"fraction": 0.5}}}))
    assert sizes.of(other, "digits", results, folder) == sizes.PUBLISHED["digits"]
