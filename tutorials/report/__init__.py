"""One self-contained HTML file out of text, code, tables, pictures and SVG.

Every block is a function that returns HTML, and `Report.section` strings blocks together:

    report = Report("Title", "What it is about.")
    report.section("Data", text("Some `words`."), columns(code(source), figure(plot, "What it shows.")))
    report.write("build/report.html")

Nothing in the file points outside it: pictures are embedded, and the style is in the head.
"""

from __future__ import annotations

import base64
import io
import keyword
import re
import tokenize
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")

# Colours and fonts of the plots, to go with the page: `plt.style.use(PLOT_STYLE)`.
INK, QUIET, BLUE, ORANGE = "#1c2430", "#6a7483", "#3b6ea8", "#d9822b"
PLOT_STYLE: dict[str, Any] = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b6bec9",
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.cmap": "gray_r",
    "image.interpolation": "nearest",
}


def output_folder() -> Path:
    """`build/` of the checkout that the working directory is in, or of the working directory itself."""
    here = Path.cwd()
    root = next((p for p in (here, *here.parents) if (p / "pyproject.toml").exists()), here)
    return root / "build"


# --- blocks ---------------------------------------------------------------------------------------------------------


def text(*paragraphs: str) -> str:
    """Paragraphs; `code` and **bold** are understood, everything else is taken literally."""
    return "".join(f"<p>{_inline(p)}</p>" for p in paragraphs)


def _inline(words: str) -> str:
    words = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(words, quote=False))
    return re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", words)


def code(source: str, title: str = "", *, python: bool = True) -> str:
    """A listing with a title bar; Python is coloured."""
    head = f'<div class="bar">{_inline(title)}</div>' if title else ""
    body = _coloured(source.strip("\n")) if python else escape(source.strip("\n"))
    return f'<div class="code">{head}<pre>{body}</pre></div>'


def _coloured(source: str) -> str:
    """Python as HTML, with keywords, strings, numbers and comments marked; unfinished Python stays plain."""
    lines = source.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    out, done = [], 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            kind = _kind(token)
            if kind:
                begin, end = (starts[row - 1] + column for row, column in (token.start, token.end))
                out += [escape(source[done:begin]), f'<span class="{kind}">{escape(source[begin:end])}</span>']
                done = end
    except (tokenize.TokenError, SyntaxError):
        return escape(source)
    return "".join([*out, escape(source[done:])])


def _kind(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME and keyword.iskeyword(token.string):
        return "kw"
    if token.type == tokenize.OP and token.string == "@":
        return "kw"
    return {tokenize.STRING: "str", tokenize.NUMBER: "num", tokenize.COMMENT: "com"}.get(token.type, "")


def table(frame: Any, caption: str = "") -> str:
    """A pandas DataFrame, its index as row heads."""
    return _captioned(f'<div class="scroll">{frame.to_html(border=0)}</div>', caption)


def figure(plot: Any, caption: str = "") -> str:
    """A matplotlib figure, embedded as PNG at twice the resolution of the screen."""
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png", dpi=200, bbox_inches="tight", metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    width = plot.get_figwidth() * 100
    words = escape(re.sub(r"[`*]", "", caption))
    return _captioned(f'<img style="width:{width:.0f}px" alt="{words}" src="data:image/png;base64,{data}">', caption)


def svg(drawing: str, caption: str = "") -> str:
    """SVG text as it is."""
    return _captioned(drawing, caption)


def columns(*blocks: str) -> str:
    """Blocks side by side; below each other where the window is narrow."""
    return '<div class="columns">' + "".join(f"<div>{b}</div>" for b in blocks) + "</div>"


def cards(facts: Mapping[str, str]) -> str:
    """Short facts, each in a box with its name below."""
    boxes = "".join(f"<div><b>{escape(fact)}</b><span>{escape(name)}</span></div>" for name, fact in facts.items())
    return f'<div class="cards">{boxes}</div>'


def _captioned(inside: str, caption: str) -> str:
    below = f"<figcaption>{_inline(caption)}</figcaption>" if caption else ""
    return f"<figure>{inside}{below}</figure>"


# --- the page -------------------------------------------------------------------------------------------------------


class Report:
    """A page with a title, a list of contents, and sections in the order in which they were added."""

    def __init__(self, title: str, subtitle: str, *lead: str) -> None:
        """`lead` are blocks that stand above the first section."""
        self.title = title
        self.subtitle = subtitle
        self.lead = lead
        self.sections: list[tuple[str, str]] = []

    def section(self, title: str, *blocks: str) -> None:
        """Add a section."""
        self.sections.append((title, "".join(blocks)))

    def html(self, footer: str = "") -> str:
        """The whole page."""
        numbered = [(f"s{i}", title, body) for i, (title, body) in enumerate(self.sections, 1)]
        contents = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in numbered)
        parts = [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(self.title)}</title>\n<style>\n{STYLE}</style></head>\n<body>",
            f"<header><div><h1>{escape(self.title)}</h1><p>{_inline(self.subtitle)}</p></div></header>",
            f"<nav>{contents}</nav>\n<main>{''.join(self.lead)}",
            *(f'\n<section id="{k}"><h2>{escape(t)}</h2>{b}</section>' for k, t, b in numbered),
            f"</main>\n<footer>{_inline(footer)}</footer></body></html>\n",
        ]
        return "".join(parts)

    def write(self, path: str | Path, footer: str = "") -> Path:
        """Write the page, and the folder around it if need be."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html(footer), encoding="utf-8")
        return path
