"""A horizontal bar chart as SVG text, which a README shows and `git diff` reads."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

WIDTH, LABELS, ROW = 760, 240, 26  # pixels: of all, left of the bars, of one row


def bar_chart(title: str, bars: Mapping[str, tuple[float, float]]) -> str:
    """One bar for each of `bars`: its value, written behind it, and where a thin line from its end goes to.

    All are non-negative, and at least one is above 0.
    """
    scale = (WIDTH - LABELS - 80) / max(end for pair in bars.values() for end in pair)
    rows = []
    for number, (name, (value, line_end)) in enumerate(bars.items()):
        top = 40 + number * ROW
        length, reach = value * scale, max(value, line_end) * scale
        rows.append(
            f'<text x="{LABELS - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{LABELS}" y="{top}" width="{length:.1f}" height="18" fill="#3a7ca5"/>'
            f'<line x1="{LABELS}" y1="{top + 9}" x2="{LABELS + reach:.1f}" y2="{top + 9}" stroke="#16425b"/>'
            f'<text x="{LABELS + reach + 6:.1f}" y="{top + 14}">{value:.3g}</text>'
        )
    height = 50 + len(bars) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="12" y="22" font-weight="bold">{escape(title)}</text>\n' + "\n".join(rows) + "\n</svg>\n"
    )
