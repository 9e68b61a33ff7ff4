import json
import re

import matplotlib.image
import numpy as np
import pytest

from vadjax.metrics import frame
from vadjax.report import __main__ as command
from vadjax.report import curves, page, table
from vadjax.scores import files as score_files
from vadjax.scores.files import Scores


def video(name, labels, frame_scores):
    return Scores(name, np.asarray(frame_scores, np.float32), np.asarray(labels, np.uint8))


@pytest.fixture
def videos():
    return [
        video("good", [0, 0, 1, 1], [0.1, 0.2, 0.9, 0.8]),
        video("bad <b>", [1, 1, 0, 0], [0.1, 0.2, 0.9, 0.8]),
        video("calm", [0, 0, 0, 0], [0.3, 0.1, 0.0, 0.2]),
        video("all", [1, 1, 1, 1], [0.6, 0.7, 0.8, 0.9]),
    ]


@pytest.fixture
def summary(videos):
    return {
        "title": "mil on toy bags (test), step 7",
        "data": "toy bags",
        "split": "test",
        "step": 7,
        "seed": 0,
        "selected_on_test": True,
        "metrics": frame.evaluate(videos),
        "untrained": {"auc": 0.5},
    }


def test_the_figures_hold_everything_and_need_no_other_file(tmp_path, videos, summary):
    page.build(tmp_path / "report", videos, summary, shown=2)
    text = (tmp_path / "report" / page.FIGURES).read_text()
    assert text.count('src="data:image/png;base64,') == 6  # two curves, two best, two worst
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "bad &lt;b&gt;" in text and "bad <b>" not in text
    assert f"{summary['metrics']['auc']:.4f}" in text and "0.5000" in text
    assert "selected on the test split" in text and "Built-in toy set" in text
    for name in ("roc", "precision_recall", "video_good"):
        assert matplotlib.image.imread(tmp_path / "report" / f"{name}.png").shape[2] == 4


def test_best_and_worst_come_first(videos):
    order = [(found.video, round(merit, 3)) for found, merit, _ in page.rank(videos)]
    assert order == [("good", 1.0), ("calm", 0.7), ("all", 0.6), ("bad <b>", 0.0)]


def test_an_earlier_report_is_replaced_whole(tmp_path, videos, summary):
    page.build(tmp_path / "report", videos, summary)
    (tmp_path / "report" / "old.png").touch()
    page.build(tmp_path / "report", videos, summary)
    assert not (tmp_path / "report" / "old.png").exists()


def test_other_folders_are_never_replaced(tmp_path, videos, summary):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="not a report folder that vadjax wrote"):
        page.build(tmp_path / "mine", videos, summary)
    with score_files.replacing(tmp_path / "scores", "scores") as folder:
        score_files.write(folder, videos[0])
    with pytest.raises(FileExistsError):
        page.build(tmp_path / "scores", videos, summary)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "scores" / "good.npz").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "scores"]


def test_a_name_with_dollars_is_no_formula(tmp_path, summary):
    odd = [video("cost_$\\x$", [0, 1], [0.1, 0.2])]
    assert page.build(tmp_path / "report", odd, summary).exists()


def test_truth_is_shaded_where_it_is(videos):
    figure = curves.draw_video(videos[0], "good", 1.0)
    spans = [patch.get_x() for patch in figure.axes[0].patches]
    assert spans == [2] and figure.axes[0].patches[0].get_width() == 2
    assert curves.intervals(np.array([1, 0, 1, 1])) == [(0, 1), (2, 4)]


def test_long_curves_keep_their_peaks():
    y = np.zeros(200_000)
    y[123_456] = 1
    x, thinned = curves._thin(np.arange(len(y)), y)
    assert len(x) <= curves.MAX_POINTS + 2 and x[thinned.argmax()] == 123_456
    assert (x[0], x[-1]) == (0, len(y) - 1)


def test_the_same_figure_gives_the_same_bytes(videos):
    assert curves.to_png(curves.draw_roc(videos)) == curves.to_png(curves.draw_roc(videos))


def test_command_reports_any_programs_scores(tmp_path, videos, capsys):
    for scores in videos:
        score_files.write(tmp_path / "scores", scores)
    command.main([str(tmp_path / "scores")])
    assert (tmp_path / "report" / "index.html").is_file()
    assert "score files" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no score files"):
        command.main([str(tmp_path / "none")])


def test_command_refuses_one_side_alone_and_the_page_says_what_is_left_out(tmp_path, videos):
    for scores in videos:
        score_files.write(tmp_path / "scores", scores)
    labels = {scores.video: scores.labels for scores in videos}
    np.savez(tmp_path / "labels.npz", **labels, **{"never scored": np.zeros(4)})
    options = [str(tmp_path / "scores"), "--labels", str(tmp_path / "labels.npz"), "--videos=1"]
    with pytest.raises(SystemExit, match="no scores for never scored, which have labels"):
        command.main(options)
    assert not (tmp_path / "report").exists()
    command.main([*options, "--allow_missing"])
    page_text = (tmp_path / "report" / page.FIGURES).read_text()
    assert "1 videos are left out, which lack scores or labels: never scored" in page_text


def figures(folder, videos, summary) -> str:
    """Text of the figures of a report."""
    return (page.build(folder / "report", videos, summary, 1).parent / page.FIGURES).read_text()


def test_the_page_says_folded_with_what_the_figures_were_made(tmp_path, videos, summary):
    made = {"vadjax": "0.1.0", "commit": "abc+changes", "date": "2026-01-02", "command": "a <b>"}
    text = figures(tmp_path, videos, summary | {"made_with": made})
    folded = text[text.index("<details><summary>Made with") :]
    assert "Made with vadjax 0.1.0 (abc+changes), 2026-01-02</summary>" in folded
    assert "a &lt;b&gt;" in folded and "a <b>" not in text
    assert "Made with" not in figures(tmp_path, videos, summary)


def test_table_of_runs_gives_mean_and_deviation(tmp_path, summary, capsys):
    for seed, auc in enumerate((0.7, 0.8)):
        (tmp_path / f"run_{seed}").mkdir()
        changed = {**summary, "seed": seed, "metrics": {**summary["metrics"], "auc": auc}}
        (tmp_path / f"run_{seed}" / "metrics.json").write_text(json.dumps(changed))
    table.main([str(tmp_path / "run_0"), str(tmp_path / "run_1")])
    line = next(line for line in capsys.readouterr().out.splitlines() if "│ auc " in line)
    assert re.findall(r"[\d.]+", line) == ["0.7000", "0.8000", "0.750", "0.050", "0.500", "0.000"]
    with pytest.raises(SystemExit, match="has this run finished"):
        table.main([str(tmp_path / "none")])
