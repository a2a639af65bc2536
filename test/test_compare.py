"""Several evaluations in one table: `python -m training.compare`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from training import compare

FIGURES = {"images": 3, "miou": 0.25, "phrase_top1": None, "R50": 0.5, "R70": 0.4, "R90": 0.125}


def write(folder: Path, grounding: dict[str, float | None], data: str = "a", **config: str) -> Path:
    folder.mkdir(parents=True)
    known = [value for value in grounding.values() if value is not None]
    result = {
        "config": {"names": "plain", "scale": "original", **config},
        "data_sha256": data,
        "data_folder": f"data_{data}",
        "figures": {**FIGURES, "grounding_miou": sum(known) / len(known)},
        "per_class": [{"name": name, "grounding_iou": value} for name, value in grounding.items()],
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def run(*arguments: str | Path, code: int = 0) -> str:
    app = Typer()
    app.command()(compare.main)
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("sources: [{folder: few, without: [donut, spoon]}]\n")
    return path


def test_unseen_words_have_a_column_of_their_own(tmp_path: Path, config: Path) -> None:
    ours = write(tmp_path / "full" / "evaluation", {"cup": 0.9, "table": 0.7, "donut": 0.2, "spoon": None})
    other = write(tmp_path / "lseg", {"cup": 0.5, "table": 0.5, "donut": 0.0, "spoon": 0.1})
    printed = run(ours, other, "--trained-with", config, "--markdown", tmp_path / "table.md")
    assert "full" in printed and "lseg" in printed
    rows = [line.strip("| ").split(" | ") for line in (tmp_path / "table.md").read_text().splitlines()[2:]]
    assert rows[0] == ["full", "0.250", "0.600", "0.800", "0.200", rows[0][5], "0.500", "0.400", "0.125"]
    assert rows[1][:5] == ["lseg", "0.250", "0.275", "0.500", "0.050"]
    assert not any(digit in rows[0][5] for digit in "0123456789")  # not measured


def test_what_cannot_be_compared_is_refused(tmp_path: Path, config: Path) -> None:
    ours = write(tmp_path / "a", {"cup": 0.9})
    other = write(tmp_path / "b", {"cup": 0.9}, data="b")
    assert "are not the same data" in " ".join(run(ours, other, code=2).split())
    for option, value in (("names", "engineered"), ("scale", "letterbox")):
        other = write(tmp_path / option, {"cup": 0.9}, **{option: value})
        assert f"another of --{option} {value}: evaluate all systems with one" in " ".join(
            run(ours, other, code=2).split()
        )
    assert "no class 'donut', 'spoon'" in " ".join(run(ours, "--trained-with", config, code=2).split())
    assert "cannot read" in run(tmp_path / "nothing", code=2)
    (ours / "result.json").write_text("[1]")
    assert "cannot read" in run(ours, code=2)
