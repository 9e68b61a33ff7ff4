import numpy as np
import pytest
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from vadjax.data.store.records import decode, find_bytes


def serialize(**values) -> bytes:
    feature = {}
    for key, value in values.items():
        if isinstance(value, list):
            kind = {"int64_list": tf_feature_pb2.Int64List(value=value)}
        else:
            kind = {"bytes_list": tf_feature_pb2.BytesList(value=[value] if value else [])}
        feature[key] = tf_feature_pb2.Feature(**kind)
    features = tf_feature_pb2.Features(feature=feature)
    return tf_example_pb2.Example(features=features).SerializeToString()


@pytest.mark.parametrize("size", [1, 127, 128, 16_383, 16_384, 300_000])
def test_equals_the_parsed_value(size):
    image = np.random.default_rng(size).bytes(size)
    record = serialize(video=b"name", label=[1], image=image, mask=b"", frame=[-1, 2**40])
    for key in ("video", "image", "mask"):
        assert bytes(find_bytes(record, key)) == decode(record)[key]


def test_what_cannot_be_found():
    record = serialize(image=b"x" * 500, label=[1])
    with pytest.raises(ValueError, match="no feature 'mask'"):
        find_bytes(record, "mask")
    with pytest.raises(ValueError, match="a field ends past the record"):
        find_bytes(record[:-100], "image")
