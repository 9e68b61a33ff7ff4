import cv2
import numpy as np
import pytest

from data_prep import labelled_images
from data_prep.labelled_images import fit, is_test, prepare
from vadjax.data import images
from vadjax.data.store.records import Dataset

CLASSES = ("dog", "tree")


@pytest.fixture
def folder(tmp_path):
    """Forty images, and their list: dog, tree, both, none in turn."""
    root = tmp_path / "pictures"
    (root / "sub").mkdir(parents=True)
    rng, lines = np.random.default_rng(0), ["file,class"]
    for i in range(40):
        name = f"sub/{i}.png" if i % 2 else f"{i}.jpg"
        cv2.imwrite(str(root / name), rng.integers(0, 256, (20 + i, 30, 3), np.uint8))
        lines.append(f"{name},{('dog', 'tree', 'dog;tree', '')[i % 4]}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def run(folder, out, **options):
    return prepare(str(folder), str(out), classes=CLASSES, **{"test_share": 0.3, **options})


def test_a_folder_becomes_a_dataset(folder, tmp_path, capsys):
    out = tmp_path / "set"
    labelled_images.main(
        [
            "--data",
            str(folder),
            "--out",
            str(out),
            "--classes",
            *CLASSES,
            "--size",
            "16x12",
            "--test_share",
            "0.3",
        ]
    )
    assert "configs/exemplar_appearance_network.py:cpu" in capsys.readouterr().out
    data = Dataset(out)
    train, test = (images.open_split(data, split, CLASSES) for split in ("train", "test"))
    assert len(train) + len(test) == 40 and 4 < len(test) < 22
    names = [f"sub/{i}.png" if i % 2 else f"{i}.jpg" for i in range(40)]
    expected = [i for i in range(40) if is_test(names[i], 0.3)]
    for item, i in zip(test, expected, strict=True):
        assert item["image"].shape == (16, 12, 3)
        assert item["labels"].tolist() == [[1, 0], [0, 1], [1, 1], [0, 0]][i % 4]
    i = next(i for i in expected if i % 2)  # a PNG comes back exactly
    pixels = cv2.imread(str(folder / names[i]))[..., ::-1]
    np.testing.assert_array_equal(test[expected.index(i)]["image"], fit(pixels, (16, 12)))


def test_small_images_are_averaged_down():
    checks = np.zeros((32, 32, 3), np.uint8)
    checks[::2, ::2] = 255
    assert (fit(checks, (16, 16)) == 64).all()


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("0.jpg,cat", ValueError, "line 42: class 'cat'; the classes are dog, tree"),
        ("0.jpg", ValueError, "line 42: 1 fields; expected file,class"),
        ("no.jpg,dog", FileNotFoundError, "line 42: .*no.jpg is not there"),
        ("0.jpg,dog", ValueError, "line 42: 0.jpg has a line already"),
    ],
)
def test_bad_lines_are_named(folder, tmp_path, line, error, message):
    with (folder / "labels.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(error, match=message):
        run(folder, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_other_bad_input(folder, tmp_path):
    with pytest.raises(ValueError, match="labels.csv: no training image shows 'cat'"):
        prepare(str(folder), str(tmp_path / "set"), classes=(*CLASSES, "cat"))
    with pytest.raises(ValueError, match="a class stands there twice"):
        prepare(str(folder), str(tmp_path / "set"), classes=("dog", "dog"))
    with pytest.raises(ValueError, match="--test_share 1.5"):
        run(folder, tmp_path / "set", test_share=1.5)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        run(folder / "nothing", tmp_path / "set")
    (folder / "0.jpg").write_bytes(b"text")
    with pytest.raises(ValueError, match="0.jpg: not a readable image"):
        run(folder, tmp_path / "set")
    (folder / "labels.csv").write_text("file,class\n")
    with pytest.raises(ValueError, match="names no image"):
        run(folder, tmp_path / "set")
    (folder / "labels.csv").unlink()
    with pytest.raises(FileNotFoundError, match="no such list"):
        run(folder, tmp_path / "set")


def test_images_of_16_bits_need_levels(folder, tmp_path):
    for path in [*folder.glob("*.jpg"), *folder.glob("sub/*.png")]:
        pixels = cv2.imread(str(path)).astype(np.uint16)
        cv2.imwrite(str(path.with_suffix(".png")), 1000 + 2 * pixels)
    lines = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(lines.replace(".jpg", ".png"))
    with pytest.raises(ValueError, match="uint16 with values .*--levels LOW,HIGH"):
        run(folder, tmp_path / "none")
    flags = ["--classes", *CLASSES, "--size", "16x12", "--levels", "1000,1510"]
    labelled_images.main(["--data", str(folder), "--out", str(tmp_path / "set"), *flags])
    data = Dataset(tmp_path / "set")
    assert data.manifest["levels"] == [1000, 1510]
    means = [one["image"].mean() for one in images.open_split(data, "train", CLASSES)]
    assert 110 < np.mean(means) < 145  # of random pixels, 0 to 255


@pytest.mark.parametrize("name", ["../secret.png", "/etc/x.png", "a\x1bb.png"])
def test_lists_that_name_pictures_elsewhere(folder, tmp_path, name):
    (folder / "labels.csv").write_text(f"file,class\n{name},dog\n")
    with pytest.raises(ValueError, match="labels.csv, line 2: image name .* cannot be the name"):
        run(folder, tmp_path / "set")
    (folder / "labels.csv").write_text('"' + "x" * 200_000 + '",dog\n')
    with pytest.raises(ValueError, match="labels.csv: cannot be read as CSV .*field larger"):
        run(folder, tmp_path / "set")
