"""Only regular files are read: nothing hangs or grows, and one line says what was there."""

import numpy as np
import pytest

from tests.helpers import special_files
from vadjax.convert import arrays
from vadjax.data.store.records import sha256
from vadjax.data.video import mask_pictures, reader
from vadjax.formats import coco, labels, lists, mat, npy, text
from vadjax.formats.regular import read_bytes
from vadjax.scores import files

READERS = {
    "a.txt": text.read_text,
    "list.txt": lists.read_list,
    "a.json": coco.read_coco,
    "videos.json": lists.read_videos_json,
    "a.npy": npy.read_npy,
    "a.npz": npy.read_npz,
    "score.npz": files.read,
    "a.mat": mat.read_mat,
    "a.png": reader.read_picture,
    "a.jpg": reader.decode_file,
    "mask.png": mask_pictures.read_mask,
    "a.mp4": reader.VideoFile,
    "w.pkl": arrays.read,
    "w.pth": arrays.read,
    "shard": sha256,
    "gt.npy": labels.read_labels,
    "gt.json": labels.read_labels,
}


@pytest.mark.parametrize("kind", special_files.KINDS)
@pytest.mark.parametrize("name", READERS)
def test_other_than_regular_files(tmp_path, name, kind):
    if READERS[name] is labels.read_labels and kind == "folder":
        pytest.skip("a folder of labels is read")
    path = special_files.make(tmp_path, kind, name)
    with special_files.within(20), pytest.raises(ValueError) as caught:
        READERS[name](path)
    assert f"{path}: a {kind}, expected a regular file" in str(caught.value)


def test_a_link_to_a_file_is_one_and_sizes_are_bounded(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_bytes(tmp_path / "b", 5) == b"12345"
    with pytest.raises(ValueError, match="b: more than 4 bytes"):
        read_bytes(tmp_path / "b", 4)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "none")
    with pytest.raises(ValueError, match="not a path of a file"):
        read_bytes("a\0b")


def test_a_picture_of_more_pixels_than_memory(tmp_path):
    """Its header alone: OpenCV would make 3 GB for it before it finds that they are missing."""
    import cv2

    for name in ("a.png", "a.jpg", "a.bmp", "a.tif"):
        content = bytearray(cv2.imencode(name[1:], np.zeros((8, 16, 3), np.uint8))[1].tobytes())
        side = (30_000).to_bytes(2, "big")
        if name == "a.png":
            content[16:24] = b"\0\0" + side + b"\0\0" + side
        elif name == "a.jpg":
            at = content.index(b"\xff\xc0")
            content[at + 5 : at + 9] = side + side
        elif name == "a.bmp":
            content[18:26] = 2 * (30_000).to_bytes(4, "little")
        else:
            content = bytearray(_tiff(30_000))
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: not a readable image: a picture of"):
            reader.decode_file(tmp_path / name)


def _tiff(side: int) -> bytes:
    """A grey TIFF of that many rows and columns, with a strip of one byte."""
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1)]
    tags += [(278, side), (279, 1)]
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\4\0" + (1).to_bytes(4, "little") + v.to_bytes(4, "little")
        for tag, v in tags
    )
    return b"II*\0\x0c\0\0\0" + b"\1\0\0\0" + len(tags).to_bytes(2, "little") + entries + bytes(4)
