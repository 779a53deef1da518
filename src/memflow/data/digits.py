"""scikit-learn's bundled digits: 1,797 real 8x8 images (UCI optical recognition of handwritten digits, test part)."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from memflow.data.prepared import Split

TEST_SHARE = 0.4  # a small training set keeps the default study short


def load() -> tuple[Split, Split, list[str]]:
    """The digits as a fixed, stratified 60/40 split.

    Returns
    -------
    train, test : Split
        1,078 and 719 images of 8x8x1; grey levels 0 to 16 become 0 to 240. ``index`` is the position in
        ``sklearn.datasets.load_digits()``, ascending within each split.
    class_names : list of str
    """
    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)[..., None]
    positions = np.arange(len(images), dtype=np.int32)
    train, test = train_test_split(positions, test_size=TEST_SHARE, stratify=digits.target, random_state=0)
    labels = digits.target.astype(np.int32)
    train_split, test_split = (Split(images[part], labels[part], part) for part in (np.sort(train), np.sort(test)))
    return train_split, test_split, [str(name) for name in digits.target_names]
