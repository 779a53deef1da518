"""A dataset for ``datasets.load_dataset("parquet", data_files=...)``: images, labels and all columns of the scores."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from memflow.errors import InputError
from memflow.export.source import Source
from memflow.files import write_atomically
from memflow.progress import steadily

ROWS = 1000  # in a row group, which is all that is in memory at once
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
DTYPES = {"double": "float64", "float": "float32"}  # names of Arrow that differ from those of Hugging Face


def write(source: Source, path: Path) -> str:
    """Write a row per training example, with Hugging Face's features in the metadata; return what, in words.

    ``image`` holds the PNG's bytes, ``label`` is a class by name, and the other columns are those of
    :func:`memflow.scores.score_table`; a score that is not defined is null.
    """
    scores = source.study.scores(source.name, source.architecture, source.method)
    train = source.dataset.train
    if (channels := train.images.shape[3]) not in MODES:
        raise InputError(f"images of {source.name} have {channels} channels; PNG holds 1, 3 or 4")
    schema = _schema(scores, source)
    write_atomically(path, lambda file: _write_groups(file, schema, scores, train.images))
    return f"images, labels and scores of {len(scores):,} training examples; {source.runs}"


def _schema(scores: pd.DataFrame, source: Source) -> pa.Schema:
    columns = pa.Schema.from_pandas(scores, preserve_index=False).remove_metadata()
    columns = columns.set(columns.get_field_index("label"), pa.field("label", pa.int64()))
    schema = columns.insert(0, pa.field("image", IMAGE))
    features = {field.name: _feature(field, source.dataset.class_names) for field in schema}
    about = {
        "huggingface": {"info": {"features": features}},
        "memflow": {
            "study": source.study.name,
            "dataset": source.name,
            "fingerprint": source.dataset.fingerprint,
            "architecture": source.architecture,
            "method": source.method,
            "runs": source.definition["seeds"],
            "ratio": source.ratio,
        },
    }
    return schema.with_metadata({key: json.dumps(value) for key, value in about.items()})


def _feature(field: pa.Field, class_names: list[str]) -> dict[str, Any]:
    if field.name == "image":
        return {"_type": "Image"}
    if field.name == "label":
        return {"names": class_names, "_type": "ClassLabel"}
    return {"dtype": DTYPES.get(str(field.type), str(field.type)), "_type": "Value"}


def _write_groups(file: IO[bytes], schema: pa.Schema, scores: pd.DataFrame, images: np.ndarray) -> None:
    with pq.ParquetWriter(file, schema) as writer:
        for start in steadily(range(0, len(scores), ROWS), "thousands of images"):
            part = scores.iloc[start : start + ROWS]
            pictures = list(_pictures(part["index"], images[start : start + ROWS]))
            group = pa.Table.from_pandas(part, schema.remove(0), preserve_index=False)
            writer.write_table(group.add_column(0, schema.field(0), pa.array(pictures, IMAGE)).cast(schema))


def _pictures(index: pd.Series, images: np.ndarray) -> Iterator[dict[str, Any]]:
    for number, image in zip(index, images, strict=True):
        png = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(png, format="PNG")
        yield {"bytes": png.getvalue(), "path": f"{number}.png"}
