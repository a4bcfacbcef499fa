"""Every tutorial runs from top to bottom, and the reports they write need nothing but themselves."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = sorted((ROOT / "tutorials").glob("*.py"))
# Attributes through which a page loads something.
LOADS = {"src", "srcset", "href", "xlink:href", "data", "poster", "action", "background"}


class Page(HTMLParser):
    """What a page loads from elsewhere, and how many pictures it holds itself.

    Attributes:
        outside: each reference that leaves the file.
        pictures: embedded images and drawings.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.pictures = 0
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        self.pictures += tag == "svg"
        for name, value in attrs:
            if name in LOADS and value is not None:
                self.pictures += tag == "img" and value.startswith("data:image/")
                if not value.startswith(("#", "data:")):
                    self.outside.append(f"<{tag} {name}={value[:80]}>")
            if name == "style" and value is not None:
                self._check_style(value)

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if self._style:
            self._check_style(data)

    def _check_style(self, text: str) -> None:
        self.outside += re.findall(r"@import[^;]*|url\((?!\s*['\"]?(?:data:|#))[^)]*\)", text)


def test_there_are_tutorials() -> None:
    names = {
        "quickstart",
        "coming_from_pyro",
        "coming_from_numpyro",
        "time_series_and_missing_data",
        "mixtures_and_discrete_latents",
        "your_own_network",
        "reading_a_posterior",
    }
    assert names <= {t.stem for t in TUTORIALS}


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_tutorial_runs(tutorial: Path, tmp_path: Path) -> None:
    settings = {
        "CREDO_QUICK": "1",
        # In such a short run compiling takes most of the time.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::UserWarning",
    }
    done = subprocess.run(
        [sys.executable, str(tutorial)],
        cwd=tmp_path,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    if tutorial.stem == "quickstart":
        assert (tmp_path / "build" / "quickstart.html").exists()
    for report in tmp_path.rglob("*.html"):
        text = report.read_text(encoding="utf-8")
        page = Page(text)
        assert not page.outside
        assert page.pictures
        assert "<script" not in text


@pytest.mark.parametrize(
    "fragment",
    [
        '<img src="plot.png">',
        '<link rel="stylesheet" href="https://example.org/a.css">',
        '<script src="//example.org/a.js"></script>',
        "<style>@import 'https://example.org/a.css';</style>",
        "<style>p { background: url(https://example.org/a.png) }</style>",
        '<p style="background: url(a.png)">words</p>',
    ],
)
def test_outside_references_are_found(fragment: str) -> None:
    assert Page(f"<html>{fragment}</html>").outside


def test_embedded_pictures_are_no_outside_references() -> None:
    page = Page(
        '<a href="#top">up</a><img src="data:image/png;base64,AA"><svg xmlns="http://www.w3.org/2000/svg"></svg>'
    )
    assert not page.outside
    assert page.pictures == 2
