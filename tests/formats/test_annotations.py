"""UCF-Crime's own annotations, its list of training videos, and numbers of frames."""

import pytest

from vadjax.formats import annotations
from vadjax.formats.entries import Entry

# Lines of the published file: two events, one, and none
LINES = (
    "Arson011_x264.mp4  Arson  150  420  680  1267  \n"
    "Abuse028_x264.mp4  Abuse  165  240  -1  -1  \n"
    "Normal_Videos_003_x264.mp4  Normal  -1  -1  -1  -1  \n"
)


@pytest.fixture
def annotation(tmp_path):
    path = tmp_path / "Temporal_Anomaly_Annotation.txt"
    path.write_text(LINES, encoding="utf-8-sig")
    return path


def test_frames_count_from_1_and_the_last_belongs_to_the_event(annotation):
    arson, abuse, normal = annotations.read_annotation(annotation)
    assert arson.intervals == ((149, 420), (679, 1267)) and arson.class_name == "Arson"
    assert (abuse.name, abuse.label, abuse.intervals) == ("Abuse028_x264", 1, ((164, 240),))
    assert (normal.label, normal.intervals, normal.num_frames) == (0, (), None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4 Abuse 9 5 -1 -1", "Annotation.txt:4: cannot read .*expected pairs start <= end"),
        ("a.mp4 Abuse 0 5", "counted from 1"),
        ("a.mp4 Abuse 5 -1", "expected pairs"),
        ("a.mp4 Abuse -1 -1 -1 -1", "class Abuse with 0 events"),
        ("a.mp4 Normal 1 5", "class Normal with 1 events"),
        ("a.mp4 Abuse 1 5 7", "expected pairs of start and end"),
        ("a.mp4 1 5", "expected: NAME.mp4 CLASS start end"),
        ("Arson011_x264.mp4 Arson 1 5", "annotated more than once: Arson011_x264"),
    ],
)
def test_lines_that_are_refused(annotation, line, message):
    annotation.write_text(LINES + line)
    with pytest.raises(ValueError, match=message):
        annotations.read_annotation(annotation)


def test_the_file_is_known_by_its_first_line_or_its_name(annotation, tmp_path):
    assert annotations.is_annotation(annotation) and not annotations.is_annotation(tmp_path)
    (tmp_path / "frames.txt").write_text("a 5\n")
    assert not annotations.is_annotation(tmp_path / "frames.txt")
    assert annotations.find_annotation(tmp_path) == annotation
    (tmp_path / "temporal_anomaly_annotation_for_testing_videos.txt").write_text(LINES)
    with pytest.raises(ValueError, match="keep one of them there"):
        annotations.find_annotation(tmp_path)


def test_training_videos_are_normal_by_their_names(annotation, tmp_path):
    with pytest.raises(
        FileNotFoundError, match="Anomaly_Train.txt, is not beside it.*--train_list"
    ):
        annotations.read_official(annotation, None)
    train = tmp_path / "Anomaly_Train.txt"
    normal = "Training_Normal_Videos_Anomaly/Normal_Videos001_x264.mp4"
    train.write_text(f"Abuse/Abuse001_x264.mp4\n{normal}\n")
    splits = annotations.read_official(annotation, None)
    assert splits["train"] == [Entry("Abuse/Abuse001_x264.mp4", 1), Entry(normal, 0)]
    assert len(splits["test"]) == 3
    other = tmp_path / "mine.txt"
    other.write_text(normal)
    assert annotations.read_official(annotation, other)["train"] == [Entry(normal, 0)]


def test_numbers_of_frames(tmp_path):
    path = tmp_path / "frames.txt"
    path.write_text("a.mp4 12\nAbuse/b_1.mp4,13\nNormal/c.mp4 14 -1\nAbuse\\d.mp4|15|[3, 4]\n")
    assert annotations.read_frames(path) == {"a": 12, "b_1": 13, "c": 14, "d": 15}
    for line, message in (
        ("a 0", "frames.txt:1: 'a 0'; expected NAME FRAMES"),
        ("a many", "expected NAME FRAMES"),
        ("a 5\na.mp4 6", "frames.txt:2: a has 5 frames on another line"),
    ):
        path.write_text(line)
        with pytest.raises(ValueError, match=message):
            annotations.read_frames(path)
    with pytest.raises(FileNotFoundError, match="--frames"):
        annotations.read_frames(tmp_path / "none")
