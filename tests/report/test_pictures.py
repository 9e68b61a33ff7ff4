import re

import numpy as np
import pytest

from vadjax.report import __main__ as command
from vadjax.report import heat, page, pictures
from vadjax.scores import files as score_files
from vadjax.scores.files import Pictures, Scores

SIZE = (16, 24, 3)


def video(name, frame_scores, labels, shown, wrong=0, **fields):
    """A grey video with pictures of the frames `shown`, predicted `wrong` grey levels too dark."""
    seen = np.full((len(shown), *SIZE), 200, np.uint8)
    parts = Pictures(np.array(shown, int), seen, seen - np.uint8(wrong))
    return Scores(
        name,
        np.asarray(frame_scores, np.float32),
        np.asarray(labels, np.uint8),
        pictures=parts,
        **fields,
    )


@pytest.fixture
def videos():
    return [
        video("a", [0.9, 0.1, 0.5, 0.3], [1, 0, 0, 0], [0, 1, 2], wrong=10),
        video("b <i>", [0.8, 0.2, 0.95, 0.0], [1, 0, 1, 0], [1, 0], wrong=50),
        Scores("plain", np.array([1.0, 0.0]), np.array([1, 0])),
    ]


def names(windows):
    return [(window.video, window.frame) for window in windows]


def test_the_highest_and_lowest_pictures_of_all_videos_are_chosen(videos):
    high, low = pictures.choose(videos, 2)
    assert names(high) == [("a", 0), ("b <i>", 0)]
    assert names(low) == [("a", 1), ("b <i>", 1)]
    assert [round(window.score, 3) for window in high + low] == [0.9, 0.8, 0.1, 0.2]
    assert [window.anomalous for window in high + low] == [True, True, False, False]


def test_no_picture_is_shown_twice_and_none_of_zero(videos):
    high, low = pictures.choose(videos, 9)
    assert names(high) == [("a", 0), ("b <i>", 0), ("a", 2)]
    assert names(low) == [("a", 1), ("b <i>", 1)]
    assert pictures.choose(videos, 0) == ([], []) == pictures.choose(videos[2:], 4)


def test_each_window_has_its_own_pictures_and_map():
    maps = np.arange(4.0)[:, None, None] * np.ones((4, 2, 3))
    moving = video("v", [0, 1, 2, 3], [0, 0, 1, 1], [3, 0], map=maps)
    moving.pictures.seen[:] = np.array([3, 0])[:, None, None, None]
    (high,), (low,) = pictures.choose([moving], 1)
    assert (high.frame, high.seen.max(), high.map.max()) == (3, 3, 3)
    assert (low.frame, low.seen.max(), low.map.max()) == (0, 0, 0)


def test_frames_that_do_not_count_are_not_shown():
    start = video("v", [9, 1, 2], [0, 0, 1], [0, 1, 2], scored=np.array([False, True, True]))
    high, low = pictures.choose([start], 4)
    assert names(high + low) == [("v", 2), ("v", 1)]


def test_the_error_is_in_grey_levels_in_both_directions():
    seen = np.array([[[10, 20, 30]]], np.uint8)
    window = pictures.Window("v", 0, 0.0, False, seen, seen[..., ::-1], None)
    np.testing.assert_allclose(window.error, [[40 / 3]], rtol=1e-6)


def test_the_scales_are_those_of_all_rows(videos):
    high, low = pictures.choose(videos, 4)
    found = pictures.scales(high + low)
    assert found == ((0.0, 50.0), None)
    for window in high + low:
        axes = pictures.draw(window, found).axes
        np.testing.assert_array_equal(axes[2].images[0].get_array(), window.error)
        assert axes[2].images[0].get_clim() == axes[3].get_ylim() == (0, 50)
        assert axes[5].get_ylim() == (0, 50)  # the heat is the error: there is no map


def test_the_heat_is_the_map_where_there_is_one():
    maps = np.zeros((2, 2, 3))
    maps[1, 0, 0] = 4
    (window,), low = pictures.choose([video("v", [0, 1], [0, 1], [0, 1], map=maps)], 1)
    found = pictures.scales([window, *low])
    assert found.heat[0] == 0 and 3.5 < found.heat[1] <= 4
    drawn = pictures.draw(window, found).axes[4].images[0].get_array()
    assert (drawn[-1, -1] == 200).all() and np.abs(drawn[0, 0].astype(int) - 200).max() > 20
    assert "own map" in pictures.explain(found)


def test_heat_leaves_cold_places_and_flat_maps_alone():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    cells = np.zeros((4, 6))
    cells[1, 2] = 1
    drawn = heat.over(picture, cells, (0, 1))
    changed = (drawn != picture).any(-1)
    assert changed[15, 25] and not changed[:, 40:].any() and not changed[30:].any()
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - 14.5) < 0.5 and abs(columns.mean() - 24.5) < 0.5
    np.testing.assert_array_equal(heat.over(picture, cells, (1, 1)), picture)
    full = heat.over(picture, np.full((1, 1), 7.0), (0, 1))
    colour = np.array([252, 254, 164])  # the upper end of inferno
    np.testing.assert_allclose(full, colour + (1 - heat.COVER) * (picture - colour), atol=1)


def test_the_page_shows_the_windows_in_order_and_says_what_they_are(tmp_path, videos):
    summary = page.summarize(tmp_path, videos)
    built = page.build(tmp_path / "report", videos, summary, windows=2)
    text = (built.parent / page.FIGURES).read_text()
    section = text.split("Highest- and lowest-scoring windows")[1].split("All videos")[0]
    assert re.findall('alt="(.*?)"', section) == [
        "a · frame 0 · score 0.900 · labelled anomalous",
        "b &lt;i&gt; · frame 0 · score 0.800 · labelled anomalous",
        "a · frame 1 · score 0.100 · labelled normal",
        "b &lt;i&gt; · frame 1 · score 0.200 · labelled normal",
    ]
    assert "colour is full at 50.0" in section
    assert section.index("Highest scores") < section.index("Lowest scores")
    assert (tmp_path / "report" / "lowest_2.png").is_file()


@pytest.mark.parametrize(("windows", "drawn"), [("0", 0), ("1", 2)])
def test_the_command_draws_as_many_windows_as_asked(tmp_path, videos, windows, drawn):
    for found in videos:
        score_files.write(tmp_path / "scores", found)
    command.main([str(tmp_path / "scores"), "--windows", windows])
    text = (tmp_path / "report" / "figures.html").read_text()
    assert text.count("· frame ") == drawn
    assert ("Highest- and lowest" in text) == bool(drawn)
