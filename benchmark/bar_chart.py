"""A horizontal bar chart as SVG text, which a README shows and `git diff` reads."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

WIDTH, LABELS, ROW = 760, 240, 26  # pixels: of all, left of the bars, of one row


def bar_chart(title: str, values: Mapping[str, float]) -> str:
    """One bar for each of `values` (non-negative, at least one above 0), with its value behind it."""
    longest = max(values.values())
    rows = []
    for number, (name, value) in enumerate(values.items()):
        top = 40 + number * ROW
        length = value / longest * (WIDTH - LABELS - 80)
        rows.append(
            f'<text x="{LABELS - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{LABELS}" y="{top}" width="{length:.1f}" height="18" fill="#3a7ca5"/>'
            f'<text x="{LABELS + length + 6:.1f}" y="{top + 14}">{value:.3g}</text>'
        )
    height = 50 + len(values) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="12" y="22" font-weight="bold">{escape(title)}</text>\n' + "\n".join(rows) + "\n</svg>\n"
    )
