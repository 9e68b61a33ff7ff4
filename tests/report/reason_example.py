"""A reason as the exemplar system writes them, and what tests of its figures share."""

from matplotlib.backends.backend_agg import FigureCanvasAgg

from vadjax.report.sheet import DPI


def _attributes(moving, speed, share, direction, probability):
    directions = [0.0] * 12
    directions[6:8] = [share, 0.3 if share else 0.0]
    return {
        "classes": sorted(probability, key=probability.get, reverse=True),
        "probability": probability,
        "direction": direction,
        "speed": speed,
        "moving": moving,
        "directions": directions,
    }


def told(**changed):
    """A reason, with some keys changed."""
    here = _attributes(34, 2.3, 0.7, "left", {"cyclist": 0.83, "person": 0.61})
    normal = _attributes(1, 0.0, 0.0, None, {"person": 0.93})
    origin = {"count": 41, "sequence": "03", "frames": [20, 30]}
    terms = {"appearance": 0.31, "angle": 0.42, "speed": 0.78, "background": 0.22}
    return {
        "text": "frame 3, score 1.73: unusual speed. Here: cyclist <fast>.",
        "frame": 3,
        "frames": [2, 5],
        "region": [1, 2],
        "box": [20, 10, 40, 25],
        "score": 1.73,
        "dominant": "speed",
        "also": ["angle"],
        "terms": terms,
        "never_moved": False,
        "here": here,
        "normal": normal | origin,
    } | changed


def places(figure):
    """Boxes `x0, y0, x1, y1` in pixels of all that is drawn: texts, and axes with their labels."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    painter = canvas.get_renderer()
    found = [text.get_window_extent(painter) for text in figure.texts if text.get_text()]
    found += [
        axes.get_window_extent(painter) if axes.images else axes.get_tightbbox(painter)
        for axes in figure.axes
    ]
    return [box.extents for box in found]


def check_layout(figure):
    """All that is drawn is inside the figure, and nothing lies over anything else."""
    found = places(figure)
    for i, one in enumerate(found):
        assert min(one[:2]) >= 0 and one[2] <= figure.bbox.x1 and one[3] <= figure.bbox.y1, one
        for other in found[i + 1 :]:
            width = min(one[2], other[2]) - max(one[0], other[0])
            height = min(one[3], other[3]) - max(one[1], other[1])
            assert min(width, height) < 2, (one, other)
