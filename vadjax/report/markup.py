"""HTML in which every value is escaped unless this module made it.

    html("<td>{}</td>", name)

Names of videos and arrays, reasons and settings come from strangers, and the page is opened in a
browser. So a value counts as text unless it is `Html` of this module; escaping cannot be forgotten.
"""

import base64
import hashlib
import json
import string
from collections.abc import Iterable, Sequence
from html import escape
from typing import LiteralString

from vadjax.runtime.terminal import visible


class Html(str):
    """Markup, which is written as it is. Only this module makes it."""

    __slots__ = ()


class _Escaping(string.Formatter):
    """`str.format`, with every value escaped that is not `Html`."""

    def format_field(self, value: object, spec: str) -> str:
        return value if isinstance(value, Html) else text(format(value, spec))


def html(template: LiteralString, *values: object, **named: object) -> Html:
    """The template with its fields filled in, as by `str.format`.

    Args:
      template: markup, written in the program and never made from values. Fields stand between
        tags, or in an attribute between double quotes that holds neither an address nor a style.
      *values: text, which is escaped, or `Html`, which is not.
      **named: as `values`.
    """
    return Html(_Escaping().vformat(template, values, named))


def text(value: object) -> Html:
    r"""Any value as text, for between tags or between quotes; control characters as `\x1b`."""
    return Html(escape(visible(str(value))))


def join(parts: Iterable[object]) -> Html:
    """All parts, one after the other; parts that are not `Html` are escaped."""
    return Html("".join(part if isinstance(part, Html) else text(part) for part in parts))


def picture(png: bytes, said: str) -> Html:
    """A PNG file as a figure inside the page, with `said` for readers who cannot see it."""
    data = Html(base64.b64encode(png).decode())
    return html('<figure><img alt="{}" src="data:image/png;base64,{}"></figure>', said, data)


def page(
    title: str,
    style: LiteralString,
    body: Iterable[object],
    scripts: Sequence[LiteralString] = (),
    data: object = None,
) -> Html:
    """A whole page, in which a browser runs no other script and fetches nothing.

    Args:
      title: title of the window.
      style: CSS, written in the program.
      body: parts of the page.
      scripts: JavaScript, written in the program, in the order in which it is run.
      data: what JSON can hold, for the scripts: the text of the element `data`.
    """
    # The policy allows pictures inside the page, this one style and these scripts, by digest.
    allowed = f"script-src {' '.join(map(_source, scripts))}; " if scripts else ""
    policy = (
        f"default-src 'none'; img-src data:; {allowed}style-src {_source(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    last = [html("<script>{}</script>", Html(script)) for script in scripts]
    if data is not None:
        # Without "<" no value can end the element.
        json_text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
        element = html('<script type="application/json" id="data">{}</script>', Html(json_text))
        last.insert(0, element)
    return html(
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="{}">'
        "<title>{}</title><style>{}</style><body>{}</body></html>\n",
        Html(policy),
        title,
        Html(style),
        join([*body, *last]),
    )


def _source(text: str) -> str:
    """How a policy names a style or a script inside the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
