"""Nothing from outside is markup in the page, and a browser would run nothing in it."""

import ast
import base64
import hashlib
import html.parser
import json
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.helpers.places import ROOT
from tests.report.reason_example import told
from vadjax.report import __main__ as command
from vadjax.report import explain, markup, overlay, page
from vadjax.runtime import provenance
from vadjax.scores.files import Examples, Pictures, Scores

HOSTILE = [
    "<script>alert(1)<!--",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)' x='",
    "javascript:alert(1)",
    "<b></title></style></pre></td>]]>",
    "<svg onload=alert(1)><text>x",
    "}body{background:url(https:;x)}",
    "&lt;script&gt;&#x3c;",
    "{0.__class__} {named!r} %s ${x}",
    "\x1b[2J\x1b]0;owned\x07\u202eevil",
]


class Structure(html.parser.HTMLParser):
    """Tags with their attributes in order, and the text between them."""

    def __init__(self, page_text: str):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.alts = [], "", []
        self.feed(page_text)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Keeps a tag, with of its picture no more than that it is one."""
        values = dict(attrs)
        self.alts.append(values.pop("alt", ""))
        if "src" in values:
            values["src"] = values["src"].split(",")[0]
        self.tags.append((tag, "alt" in dict(attrs), values))

    def handle_endtag(self, tag):
        """Keeps its end."""
        self.tags.append(f"/{tag}")

    def handle_data(self, data):
        """Keeps the text between tags."""
        self.text += data


def report(folder, name: str) -> str:
    """A report with `name` in every place that something from outside can have in it."""
    rng, grey = np.random.default_rng(0), np.full((2, 24, 32, 3), 99, np.uint8)
    reason = told(**{"text": name, "dominant": name, "also": [name], "terms": {name: 1.0}})
    reason[name] = {name: [name]}
    reason["here"] = reason["here"] | {"probability": {name: 0.5}, "direction": name}
    reason["normal"] = reason["normal"] | {"sequence": name}
    shown = Examples(reason=np.array([0]), seen=grey[:1], normal=grey[:1])
    video = Scores(
        name.replace("/", "_"),
        rng.random(20).astype(np.float32),
        np.arange(20) % 2,
        alternatives={name: rng.random(20).astype(np.float32)},
        pictures=Pictures(np.array([1, 2]), grey, grey),
        reasons=(reason,),
        examples=shown,
    )
    summary = page.summarize(folder, [video], [name])
    summary |= {"title": name, "data": f"toy {name}", "untrained": {"auc": 0.5, f"auc:{name}": 0.1}}
    summary["metrics"] |= {"rbdc": 0.1, "tracks": name}
    made = {key: name for key in ("vadjax", "commit", "date", "command")}
    summary[provenance.KEY] = made | {"config": {name: name, "data": {"dir": f"/{name}"}}}
    built = page.build(folder / "report", [video], summary)
    return (built.parent / page.FIGURES).read_text("utf-8")


@pytest.mark.parametrize("name", HOSTILE)
def test_the_page_has_the_tags_of_a_harmless_one_whatever_names_say(tmp_path, name, monkeypatch):
    if name != HOSTILE[-1]:  # one is drawn
        monkeypatch.setattr(page.curves, "to_png", lambda figure: b"")
    harmless = Structure(report(tmp_path / "a", "harmless"))
    hostile = Structure(report(tmp_path / "b", name))
    assert hostile.tags == harmless.tags
    seen = markup.visible(name)
    assert hostile.text.count(seen) >= 10 and seen.replace("/", "_") in "\n".join(hostile.alts)


def test_score_files_of_a_stranger_cannot_script_the_page(tmp_path):
    """As a user does: the array's name is in the zip, and the page is made by the command."""
    name, rng = "alternative_<script>alert(1)<!--", np.random.default_rng(0)
    (tmp_path / "scores").mkdir()
    with open(tmp_path / "scores" / "v <img src=x>.npz", "wb") as file:
        arrays = {"frame_scores": rng.random(9), "labels": np.arange(9) % 2, name: rng.random(9)}
        np.savez(file, **arrays)
    command.main([str(tmp_path / "scores")])
    text = (tmp_path / "report" / page.FIGURES).read_text("utf-8")
    assert not re.search(r"<script|<img src=x", text)
    assert "auc:&lt;script&gt;alert(1)&lt;!--" in text


def test_the_policy_lets_a_browser_do_nothing_but_show_what_is_in_the_page(tmp_path):
    text = report(tmp_path, "x")
    before, rest = text.split("<title>")
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="(.*?)">', before)[1]
    style = re.search("<style>(.*?)</style>", rest, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert not re.search(r"<script|\bstyle=|\bhref=|\son\w+=", text)


def test_the_policy_of_a_page_with_scripts_names_each_of_them():
    text = markup.page("t", "p {}", [], ["first()", "second()"], {"name": "</script>&<!--"})
    digests = [
        base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        for part in ("first()", "second()", "p {}")
    ]
    said = "script-src 'sha256-{}' 'sha256-{}'; style-src 'sha256-{}'; ".format(*digests)
    assert f"img-src data:; {said}base-uri 'none'" in text
    assert text.count("</script>") == 3 and "<!--" not in text
    data = re.search('<script type="application/json" id="data">(.*?)</script>', text)[1]
    assert json.loads(data) == {"name": "</script>&<!--"}
    # Data are there before the scripts that read them.
    assert text.index('id="data"') < text.index("first()") < text.index("second()")


def calls(path, name: str) -> list[ast.Call]:
    """Calls of a function of `markup` in a file."""
    found = [node for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    found = [node for node in found if isinstance(node, ast.Call)]
    return [node for node in found if ast.unparse(node.func).split(".")[-1] == name]


def test_templates_are_written_in_the_program_and_their_fields_stand_in_safe_places():
    paths = sorted((ROOT / "vadjax").rglob("*.py"))
    templates = []
    for path in paths:
        if path.name != "markup.py":
            assert not calls(path, "Html"), f"{path}: only markup.py says what is markup"
        templates += [call.args[0] for call in calls(path, "html")]
    assert len(templates) > 20
    for template in templates:
        assert isinstance(template, ast.Constant), f"made from values: {ast.unparse(template)}"
        for tag in re.findall("<[^>]*>", template.value):
            inside = re.sub(r'(?:alt|content)="{\w*}"|src="data:image/png;base64,{\w*}"', "", tag)
            assert "{" not in inside, tag


def test_no_other_module_writes_html():
    tag = re.compile(r"</?(?:table|t[dhr]|h[1-6]|p|img|div|script|style|figure|pre|html|body)\b")
    for path in sorted((ROOT / "vadjax").rglob("*.py")):
        strings = [
            node.value
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        if any(tag.search(text) for text in strings):
            assert path.relative_to(ROOT).as_posix() in (
                "vadjax/report/page.py",
                "vadjax/report/compare.py",
                "vadjax/report/markup.py",
            )


def test_what_is_no_markup_is_escaped_with_any_format():
    row = markup.html("<td>{:>4}{}</td>{named!r}", "<a", markup.html("<i>{}</i>", "&"), named="<'")
    assert row == "<td>  &lt;a<i>&amp;</i></td>&quot;&lt;&#x27;&quot;"
    assert markup.join(["<", markup.html("<p>")]) == "&lt;<p>"
    assert markup.html("{}", json.dumps("\ud800", ensure_ascii=False)) == "&quot;\\ud800&quot;"


def test_names_are_drawn_as_they_are():
    """Control characters and halves of letters in figures; formulas that are none in labels."""
    name, grey = "\x1b[31m $\\frac$ \ud800", np.full((1, 24, 32, 3), 99, np.uint8)
    reason = told(terms={name: 1.0}, text=name)
    reason["here"] = reason["here"] | {"probability": {name: 0.5}}
    video = Scores(
        name,
        np.arange(9) / 9,
        np.arange(9) % 2,
        reasons=(reason,),
        examples=Examples(np.array([0]), grey, grey),
    )
    figure = explain.draw(explain.choose([video], 1)[0])
    FigureCanvasAgg(figure).draw()
    names = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert names.count("\\x1b[31m $\\frac$ \\ud800") == 2
    overlay.lay_out(video, (24, 32))
