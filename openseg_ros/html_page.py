"""Reports for people as one HTML page, which loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
body { font: 15px/1.45 sans-serif; max-width: 1500px; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 0.5em 0 1.5em; }
th, td { border-bottom: 1px solid #ddd; padding: 3px 14px 3px 0; text-align: left; vertical-align: top; }
.numbers th + th, .numbers td + td { text-align: right; font-variant-numeric: tabular-nums; }
img, svg { max-width: 100%; display: block; }
figure { margin: 0 0 1.5em; }
.bad { color: #b00020; font-weight: bold; } .good { color: #1b7f3b; font-weight: bold; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The whole page: the title and, below it, `parts` of HTML, of which empty ones are left out."""
    head = (
        f"<!DOCTYPE html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title>",
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>",
    )
    return "\n".join(filter(None, (*head, *parts, "</html>\n")))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    """A table of text; with `numbers` all columns but the first are aligned at the right."""

    def row(cells: Sequence[str], kind: str) -> str:
        return "<tr>" + "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells) + "</tr>"

    lines = [row(header, "th"), *(row(cells, "td") for cells in rows)]
    return "\n".join(["<table class='numbers'>" if numbers else "<table>", *lines, "</table>"])
