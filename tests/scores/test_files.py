import zipfile

import numpy as np
import pytest

from vadjax.scores import files
from vadjax.scores.files import Examples, Pictures, Scores


def pictures(frames, size=(2, 3, 3), seen=np.uint8, other=None):
    """Random pictures of those frames; `other` is the shape of the predictions."""
    rng, shape = np.random.default_rng(0), (len(frames), *size)
    draw = [rng.integers(0, 256, s).astype(seen) for s in (shape, other or shape)]
    return Pictures(np.array(frames), *draw)


def examples(reasons, **fields):
    return Examples(*pictures(reasons, **fields))


def test_everything_comes_back(tmp_path):
    written = Scores(
        "v",
        np.arange(5.0),
        np.array([0, 1, 1, 0, 0], np.uint8),
        scored=np.array([False, True, True, True, True]),
        alternatives={"baseline": np.arange(5.0)},
        segment_scores=np.arange(3.0),
        boxes=np.zeros((2, 6)),
        map=np.ones((5, 2, 3)),
        pictures=pictures([4, 1]),
        reasons=({"frame": 1, "text": "too fast \u2028"}, {}),
        examples=examples([1, 0, 1], size=(3, 2, 3)),
    )
    read = files.read(files.write(tmp_path, written))
    assert read.video == "v" and read.reasons == written.reasons
    np.testing.assert_array_equal(read.alternatives["baseline"], np.arange(5.0))
    for field in ("frame_scores", "labels", "scored", "segment_scores", "boxes", "map"):
        np.testing.assert_array_equal(getattr(read, field), getattr(written, field))
    for part, expected in zip(read.pictures, written.pictures, strict=True):
        np.testing.assert_array_equal(part, expected)
    for part, expected in zip(read.examples, written.examples, strict=True):
        np.testing.assert_array_equal(part, expected)
    assert read.pictures.seen.dtype == read.examples.normal.dtype == np.uint8
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["v.npz", "v.reasons.jsonl"]


def test_reasons_are_replaced_or_removed_with_their_scores(tmp_path):
    with_reasons = Scores("v", np.zeros(3), reasons=({"text": "a"},), examples=examples([0]))
    files.write(tmp_path, with_reasons)
    files.write(tmp_path, Scores("v", np.zeros(3), reasons=({"text": "b"},)))
    read = files.read(tmp_path / "v.npz")
    assert read.reasons == ({"text": "b"},) and read.examples is None
    files.write(tmp_path, Scores("v", np.zeros(3)))
    assert [path.name for path in tmp_path.iterdir()] == ["v.npz"]
    assert files.read(tmp_path / "v.npz").reasons == ()


def test_scores_whose_reasons_json_cannot_hold_leave_the_earlier_file(tmp_path):
    files.write(tmp_path, Scores("v", np.zeros(3), reasons=({"text": "a"},)))
    with pytest.raises(TypeError, match="not JSON serializable"):
        files.write(tmp_path, Scores("v", np.ones(3), reasons=({"text": np.zeros(2)},)))
    read = files.read(tmp_path / "v.npz")
    assert read.reasons == ({"text": "a"},) and read.frame_scores.max() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.npz", "v.reasons.jsonl"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"text": "é"}\n\n{"text"', r"v\.reasons\.jsonl:3: not JSON .*: '\{\"text\"'"),
        ('"too fast"\n', r"v\.reasons\.jsonl:1: 'too fast'; expected a dict \{…\}: '\"too fast\"'"),
    ],
)
def test_reasons_that_are_no_dicts_are_refused(tmp_path, lines, message):
    path = files.write(tmp_path, Scores("v", np.zeros(3)))
    (tmp_path / "v.reasons.jsonl").write_text(lines, "utf-8")
    with pytest.raises(ValueError, match=message):
        files.read(path)


def test_segment_scores_of_another_program_are_spread(tmp_path):
    np.savez(tmp_path / "v.npz", segment_scores=np.arange(32.0), num_frames=1024)
    frames = files.read(tmp_path / "v.npz").frame_scores
    np.testing.assert_array_equal(frames, np.repeat(np.arange(32.0), 32))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros(3)}, r"holds \['other'\]; expected frame_scores"),
        ({"frame_scores": np.zeros((3, 2))}, r"float64 \(3, 2\); expected float \[frames\]"),
        ({"frame_scores": np.array([1.0, np.nan])}, "1 of 2 scores are NaN"),
        ({"frame_scores": np.zeros(3), "labels": np.zeros(4)}, "3 scores for 4 labels"),
        ({"frame_scores": np.zeros(2), "labels": np.array([0, 2])}, "other than 0 and 1"),
    ],
)
def test_unusable_arrays_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        files.read(tmp_path / "v.npz")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"boxes": np.zeros((2, 5))}, r"v: boxes \(2, 5\); expected \[n, 6\]"),
        ({"map": np.zeros((4, 2, 2))}, r"v: map float64 \(4, 2, 2\); expected float \[5, h, w\]"),
        ({"map": np.zeros((5, 2))}, r"v: map float64 \(5, 2\)"),
        ({"map": np.zeros((5, 0, 2))}, r"v: map float64 \(5, 0, 2\)"),
        ({"map": np.full((5, 1, 2), np.inf)}, "v: 10 of 10 values of the map are not finite"),
        ({"pictures": pictures([0, 5])}, "v: a picture of frame 5, but its frames are 0 to 4"),
        ({"pictures": pictures([-1])}, "v: a picture of frame -1"),
        ({"pictures": pictures([0.5])}, r"v: picture_frames float64 \(1,\); expected int"),
        (
            {"pictures": pictures([0, 1], seen=np.float32)},
            r"v: picture_seen float32 \(2, 2, 3, 3\); expected uint8 \[2, H, W, 3\]",
        ),
        ({"pictures": pictures([0], size=(2, 3))}, r"v: picture_seen uint8 \(1, 2, 3\)"),
        ({"pictures": pictures([0], other=(2, 2, 3, 3))}, r"v: picture_predicted uint8 \(2, 2"),
        (
            {"pictures": pictures([0], other=(1, 4, 3, 3))},
            r"v: picture_predicted \(1, 4, 3, 3\), but picture_seen \(1, 2, 3, 3\)",
        ),
        (
            {"examples": examples([0, 2])},
            r"v: an example of reason 2, but v\.reasons\.jsonl has 2 \(numbered from 0\)",
        ),
        ({"examples": examples([-1])}, "v: an example of reason -1"),
        ({"examples": examples([0.5])}, r"v: example_reason float64 \(1,\); expected int"),
        (
            {"examples": examples([0], other=(2, 2, 3, 3))},
            r"v: example_normal uint8 \(2, 2, 3, 3\); expected uint8 \[1, H, W, 3\]",
        ),
        (
            {"examples": examples([0], other=(1, 4, 3, 3))},
            r"v: example_normal \(1, 4, 3, 3\), but example_seen \(1, 2, 3, 3\)",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_at_both_ends(tmp_path, fields, message):
    bad = Scores("v", np.zeros(5), reasons=({"text": "a"}, {"text": "b"}), **fields)
    with pytest.raises(ValueError, match=message):
        files.write(tmp_path, bad)
    parts = dict(fields)
    for kind in ("picture", "example"):
        if found := parts.pop(f"{kind}s", None):
            parts = {f"{kind}_{name}": part for name, part in found._asdict().items()}
    (tmp_path / "v.reasons.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    np.savez(tmp_path / "v.npz", frame_scores=np.zeros(5), **parts)
    with pytest.raises(ValueError, match=message):
        files.read(tmp_path / "v.npz")


def test_a_part_of_the_pictures_is_refused(tmp_path):
    np.savez(tmp_path / "v.npz", frame_scores=np.zeros(5), picture_frames=np.array([1]))
    with pytest.raises(ValueError, match="v.npz: has picture_frames; expected picture_frames, pic"):
        files.read(tmp_path / "v.npz")


def test_a_part_of_the_examples_is_refused(tmp_path):
    np.savez(tmp_path / "v.npz", frame_scores=np.zeros(5), example_reason=np.array([1]))
    with pytest.raises(ValueError, match="has example_reason; expected example_reason, example_se"):
        files.read(tmp_path / "v.npz")


def test_what_goes_by_frame_numbers_is_left_out_of_the_counted_frames():
    scored = np.arange(5) > 1
    whole = Scores("v", np.arange(5.0), map=np.zeros((5, 1, 1)), pictures=pictures([4]))
    assert whole.counted() is whole
    some = Scores(
        "v",
        np.arange(5.0),
        np.array([0, 0, 1, 0, 1]),
        scored,
        {"b": -np.arange(5.0)},
        segment_scores=np.zeros(2),
        boxes=np.zeros((1, 6)),
        map=whole.map,
        pictures=whole.pictures,
        reasons=({},),
        examples=examples([0]),
    ).counted()
    assert some.frame_scores.tolist() == [2, 3, 4] and some.labels.tolist() == [1, 0, 1]
    assert some.alternatives["b"].tolist() == [-2, -3, -4]
    gone = (some.scored, some.segment_scores, some.boxes, some.map, some.pictures, some.examples)
    assert all(part is None for part in gone)
    files.check(some)


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", ".."])
def test_names_that_cannot_be_files_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        files.write(tmp_path, Scores(name, np.zeros(3)))


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    with files.replacing(tmp_path / "s", "scores") as folder:
        files.write(folder, Scores("old", np.zeros(3)))
    with pytest.raises(RuntimeError), files.replacing(tmp_path / "s", "scores") as folder:
        files.write(folder, Scores("half", np.zeros(3)))
        raise RuntimeError
    assert [v.video for v in files.read_folder(tmp_path / "s")] == ["old"]
    with files.replacing(tmp_path / "s", "scores") as folder:
        files.write(folder, Scores("new", np.zeros(3)))
    assert [v.video for v in files.read_folder(tmp_path / "s")] == ["new"]


def test_an_array_under_the_name_of_an_archive_is_refused(tmp_path):
    np.save(tmp_path / "v.npy", np.zeros(3))
    (tmp_path / "v.npy").rename(tmp_path / "v.npz")
    with pytest.raises(ValueError, match="not a readable .npz"):
        files.read(tmp_path / "v.npz")


def test_a_pickle_is_refused_and_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    np.savez(tmp_path / "v.npz", frame_scores=np.array([Bomb()], object))
    with pytest.raises(ValueError, match="not a readable .npz"):
        files.read(tmp_path / "v.npz")
    assert not (tmp_path / "ran").exists()


def test_a_truncated_file_is_refused(tmp_path):
    path = files.write(tmp_path, Scores("v", np.zeros(1000)))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="not a readable .npz"):
        files.read(path)
    with pytest.raises(FileNotFoundError, match="no score files"):
        files.read_folder(tmp_path / "none")


def segments_file(folder, name, count, frames):
    np.savez(folder / f"{name}.npz", segment_scores=np.arange(count) - 5.0, num_frames=frames)


def test_one_score_every_16_frames_is_taken_as_that(tmp_path):
    segments_file(tmp_path, "cut", 50, 815)  # the last snippet, of 15 frames, has no score
    segments_file(tmp_path, "whole", 41, 650)
    for found, frames in zip(files.read_folder(tmp_path), (815, 650), strict=True):
        expected = np.minimum(np.arange(frames) // 16, len(found.segment_scores) - 1) - 5.0
        np.testing.assert_array_equal(found.frame_scores, expected)


def test_all_files_of_a_folder_are_spread_by_one_rule(tmp_path):
    segments_file(tmp_path, "a", 32, 500)  # by itself one score every 16 frames as well
    segments_file(tmp_path, "b", 32, 900)
    with pytest.warns(UserWarning, match="1 of 2 videos are shorter .*: 1 scores are given to no"):
        found = files.read_folder(tmp_path)[0].frame_scores
    assert found[16 * 16] == 17 - 5  # of 31 clips for 32 segments, number 16 is lost
    with pytest.warns(UserWarning, match="as likely as 32 segments; assumed 'snippets'"):
        found = files.read(tmp_path / "a.npz").frame_scores
    assert found[16 * 16] == 16 - 5


def test_what_had_to_be_assumed_is_said_once_for_a_folder(tmp_path):
    for name in "abc":
        segments_file(tmp_path, name, 10, 333)
    with pytest.warns(UserWarning, match="no common rule; assumed: 3 by 'even'") as said:
        found = files.read_folder(tmp_path)
    assert len(said) == 1
    np.testing.assert_array_equal(found[0].frame_scores, np.arange(333) * 10 // 333 - 5.0)


def test_a_rule_that_was_asked_for_is_obeyed_and_doubts_are_said(tmp_path):
    segments_file(tmp_path, "v", 41, 650)
    with pytest.warns(UserWarning) as said:
        found = files.read_folder(tmp_path, "seed")[0].frame_scores
    assert (found[640:] == 0).all()
    texts = [str(one.message) for one in said]
    assert len(texts) == 3
    assert "41 for 650), but are spread as segments by 'seed', as asked" in texts[0]
    assert "scores are negative, down to -5, and the rule 'seed' gives 0" in texts[1]
    assert "to 10 frames that no segment covers" in texts[1]
    assert "1 scores are given to no frame" in texts[2]
    assert (files.read_folder(tmp_path, "repeat")[0].frame_scores[640:] == 35).all()
    with pytest.raises(ValueError, match=r"expansion 'none'; expected one of seed"):
        files.read_folder(tmp_path, "none")


def test_frame_scores_are_spread_anew_only_on_request(tmp_path):
    written = Scores("v", np.zeros(48), segment_scores=np.array([1.0, 2, 3]))
    files.write(tmp_path, written)
    assert files.read_folder(tmp_path)[0].frame_scores.max() == 0
    found = files.read_folder(tmp_path, "even")[0].frame_scores
    np.testing.assert_array_equal(found, np.repeat([1.0, 2, 3], 16))
    files.write(tmp_path, Scores("v", np.zeros(48)))
    with pytest.raises(ValueError, match=r"v\.npz: no segment_scores, so no expansion to choose"):
        files.read_folder(tmp_path, "even")


def test_a_number_of_frames_may_be_an_array_of_one(tmp_path):
    for number in (np.array([650]), np.array(650.0), np.array([[650]], np.uint16)):
        segments_file(tmp_path, "v", 41, number)
        assert len(files.read(tmp_path / "v.npz").frame_scores) == 650


SEGMENTS = {"segment_scores": np.zeros(32), "num_frames": 640}
FRAMES = {"frame_scores": np.zeros(640)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (FRAMES | {"labels": np.int64(0)}, r"v: labels int64 \(\); expected \[640\], 0 or 1"),
        (FRAMES | {"labels": np.zeros((640, 1))}, r"v: labels float64 \(640, 1\); expected \[640"),
        (FRAMES | {"labels": np.full(640, "0")}, r"v: labels <U1 \(640,\); expected \[640\]"),
        (FRAMES | {"labels": np.full(640, np.nan)}, "v: labels other than 0 and 1"),
        (FRAMES | {"scored": np.full(640, "yes")}, r"v: scored <U3 \(640,\); expected \(640,\)"),
        (FRAMES | {"scored": np.full(640, 2)}, "v: scored other than 0 and 1"),
        (FRAMES | {"times": np.float64(0)}, r"v: times float64 \(\); expected \(640,\)"),
        (FRAMES | {"times": np.arange(640) % 9}, "v: times fall after frame 8, from 8 to 0 sec"),
        (FRAMES | {"alternative_b": np.full(640, "x")}, r"v: alternative_b <U1 \(640,\)"),
        (FRAMES | {"boxes": np.full((1, 6), "x")}, r"v: boxes \(1, 6\); expected \[n, 6\] of nu"),
        (FRAMES | {"boxes": np.float64(0)}, r"v: boxes \(\); expected \[n, 6\]"),
        (FRAMES | {"segment_scores": np.zeros((10, 32))}, r"v: segment_scores float64 \(10, 32\)"),
        ({"frame_scores": np.zeros(640, "M8[s]")}, r"v: frame_scores datetime64\[s\] \(640,\)"),
        ({"frame_scores": np.zeros(640, complex)}, r"v: frame_scores complex128 \(640,\)"),
        ({"frame_scores": np.zeros(640, [("a", "f4")])}, r"v: frame_scores .*expected float"),
        ({"frame_scores": np.zeros(0)}, r"v: frame_scores float64 \(0,\)"),
        ({"frame_scores": np.zeros(41), "labels": np.zeros(650)}, "is called segment_scores, wi"),
        (SEGMENTS | {"segment_scores": np.zeros((10, 32))}, r"v: segment_scores float64 \(10, 3"),
        (SEGMENTS | {"segment_scores": np.zeros((32, 1))}, r"v: segment_scores float64 \(32, 1\)"),
        (SEGMENTS | {"segment_scores": np.float64(1)}, r"v: segment_scores float64 \(\)"),
        (SEGMENTS | {"segment_scores": np.zeros(0)}, r"v: segment_scores float64 \(0,\)"),
        (SEGMENTS | {"segment_scores": np.full(32, "a")}, r"v: segment_scores <U1 \(32,\)"),
        (SEGMENTS | {"segment_scores": np.full(32, np.inf)}, "v: 32 of 32 segment_scores are NaN"),
        (SEGMENTS | {"num_frames": 0}, r"num_frames int64 \(\) 0; expected one whole number"),
        (SEGMENTS | {"num_frames": -640}, r"num_frames int64 \(\) -640; expected one whole"),
        (SEGMENTS | {"num_frames": 10**12}, r"num_frames int64 \(\) 1000000000000; expected"),
        (SEGMENTS | {"num_frames": 640.5}, r"num_frames float64 \(\) 640.5; expected one whole"),
        (SEGMENTS | {"num_frames": np.nan}, r"num_frames float64 \(\) nan; expected one whole"),
        (SEGMENTS | {"num_frames": np.inf}, r"num_frames float64 \(\) inf; expected one whole"),
        (SEGMENTS | {"num_frames": "640"}, r"num_frames <U3 \(\) '640'; expected one whole num"),
        (SEGMENTS | {"num_frames": np.zeros(2)}, r"num_frames float64 \(2,\); expected one whol"),
        (SEGMENTS | {"num_frames": True}, r"num_frames bool \(\) True; expected one whole number"),
    ],
)
def test_odd_shapes_and_kinds_are_refused_with_the_file_and_the_shape(tmp_path, arrays, message):
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(ValueError, match=message) as refused:
        files.read(tmp_path / "v.npz")
    assert str(tmp_path / "v.npz") in str(refused.value)


def array_header(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "member",
    [
        array_header("(10**15,)"),
        array_header("(1000000000000000,)"),
        array_header("(-1,)"),
        array_header("(" * 500),
        b"\x93NUMPY\x09\x00",
        b"",
        b"text",
    ],
    ids=["expression", "petabytes", "negative", "deep", "version", "empty", "text"],
)
@pytest.mark.parametrize("name", ["frame_scores", "alternative_b"])
def test_a_damaged_array_is_refused(tmp_path, member, name):
    np.savez(tmp_path / "v.npz", **({} if name == "frame_scores" else FRAMES))
    with zipfile.ZipFile(tmp_path / "v.npz", "a") as archive:
        archive.writestr(f"{name}.npy", member)
    with pytest.raises(ValueError, match=r"v\.npz") as refused:
        files.read(tmp_path / "v.npz")
    assert str(tmp_path / "v.npz") in str(refused.value)


@pytest.mark.parametrize(("flag", "method"), [(1, 0), (0, 99)], ids=["encrypted", "unknown"])
def test_an_archive_that_cannot_be_unpacked_is_refused(tmp_path, flag, method):
    path = files.write(tmp_path, Scores("v", np.zeros(100)))
    changed = bytearray(path.read_bytes())
    for at in (changed.index(b"PK\x03\x04") + 6, changed.index(b"PK\x01\x02") + 8):
        changed[at : at + 4] = flag.to_bytes(2, "little") + method.to_bytes(2, "little")
    path.write_bytes(bytes(changed))
    with pytest.raises(ValueError, match=r"v\.npz: not a readable \.npz of arrays"):
        files.read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"text": "zu schnell für hier"}'.encode("latin-1"),
            r"reasons\.jsonl: not a text file in UTF-8 .*line 1",
        ),
        (b"[" * 100_000, r"v\.reasons\.jsonl:1: not JSON .*nested too deep"),
    ],
)
def test_reasons_that_cannot_be_read_are_refused(tmp_path, content, message):
    path = files.write(tmp_path, Scores("v", np.zeros(3)))
    (tmp_path / "v.reasons.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        files.read(path)


@pytest.mark.parametrize("name", ["<b>../x", "a/b", "x\n", "..", ""])
def test_names_of_alternatives(tmp_path, name):
    arrays = {"frame_scores": np.zeros(3), f"alternative_{name}": np.zeros(3)}
    with pytest.raises(ValueError, match="cannot be a name"):
        files.check(Scores("v", np.zeros(3), alternatives={name: np.zeros(3)}))
    if name != "..":  # NumPy would write that outside of its archive
        np.savez(tmp_path / "v.npz", **arrays)
        with pytest.raises(ValueError, match=r"v\.npz"):
            files.read(tmp_path / "v.npz")


def test_reasons_may_begin_with_a_byte_order_mark(tmp_path):
    path = files.write(tmp_path, Scores("v", np.zeros(3)))
    (tmp_path / "v.reasons.jsonl").write_text('{"text": "é"}\n', "utf-8-sig")
    assert files.read(path).reasons == ({"text": "é"},)


def claims(path, frames, save=np.savez_compressed, **arrays):
    """A small file that claims so many frames."""
    save(path, segment_scores=np.arange(32.0), num_frames=frames, **arrays)
    return path


def test_a_small_file_cannot_claim_days(tmp_path):
    """20 million frames from 20 kB of labels: their figures would take 1.2 GB."""
    path = claims(tmp_path / "v.npz", 20_000_000, labels=np.zeros(20_000_000, np.uint8))
    assert path.stat().st_size < 60_000
    with pytest.raises(ValueError, match=r"v\.npz: its 20,000,000 frames .*expected 200 times as"):
        files.read(path)
    claims(path, 2e7)
    with pytest.raises(ValueError, match=r"v\.npz: its 20,000,000 frames .*np\.savez"):
        files.read(path)


def test_many_small_files_cannot_claim_it_together(tmp_path):
    for name in "abcd":
        claims(tmp_path / f"{name}.npz", 4_000_000)
    with pytest.raises(ValueError, match=r"d\.npz: its 4,000,000 frames and arrays, with"):
        files.read_folder(tmp_path)


def test_long_videos_with_their_own_scores_are_read(tmp_path, monkeypatch):
    """A frame score each is what a file must hold beyond the bound."""
    monkeypatch.setattr(files, "LITTLE", 10_000)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "v.npz", frame_scores=rng.random(2000), labels=np.arange(2000) % 2)
    assert len(files.read(tmp_path / "v.npz").frame_scores) == 2000
    with pytest.raises(ValueError, match="its 9,000 frames"):
        files.read(claims(tmp_path / "w.npz", 9000, np.savez))
