"""Words and their embeddings: found once, kept in a file, the same when read again."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny_coco import write_tiny_coco
from typer import Typer
from typer.testing import CliRunner

from openseg_ros.text import text_encoder
from openseg_ros.text.text_encoder import load_text_encoder
from training import prepare_words as command
from training.data import prepared_words
from training.data.broken_records import DatasetError
from training.data.prepared_words import PreparedWords, prepare_words
from training.data.words import WordRule

CAPTIONS = [("a red mug", "the mug is red"), (), ("!!!", "a blue box on a table"), ("",)]


def named(words: PreparedWords) -> list[list[list[str]]]:
    return [[[words.words[row] for row in rows] for rows in record] for record in words.rows]


def test_rows_and_embeddings_belong_to_words(tmp_path: Path) -> None:
    words = prepare_words(CAPTIONS, WordRule(), "minilm", tmp_path)
    assert words.words == ("blue", "box", "mug", "red", "table")
    assert named(words) == [[["red", "mug"], ["mug", "red"]], [], [[], ["blue", "box", "table"]], [[]]]
    assert words.embeddings.dtype == np.float32 and words.embeddings.shape == (5, 384)
    expected = load_text_encoder("minilm").encode(words.words)
    assert words.embeddings == pytest.approx(expected, abs=1e-6)


def test_a_second_run_reads_the_file_and_needs_no_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare_words(CAPTIONS, WordRule(), "minilm", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(prepared_words, "load_text_encoder", None)
        patch.setattr(prepared_words, "extract_all", None)
        second = prepare_words(CAPTIONS, WordRule(), "minilm", tmp_path)
    assert second.words == first.words and named(second) == named(first)
    assert np.array_equal(second.embeddings, first.embeddings)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_another_rule_or_caption_is_another_file(tmp_path: Path) -> None:
    prepare_words(CAPTIONS, WordRule(), "minilm", tmp_path)
    phrases = prepare_words(CAPTIONS, WordRule(phrases=True), "minilm", tmp_path)
    assert "red mug" in phrases.words
    # The same texts, but shared out otherwise.
    moved = prepare_words([("a red mug",), ("the mug is red",), *CAPTIONS[2:]], WordRule(), "minilm", tmp_path)
    assert [len(record) for record in moved.rows] == [1, 1, 2, 1]
    assert len(list(tmp_path.iterdir())) == 3


def test_an_encoder_that_changed_under_its_name_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_encoder, "_packaged_minilm", lambda: str(tmp_path))
    keys = set()
    for content in (b"one", b"two"):
        (tmp_path / "model.safetensors").write_bytes(content)
        keys.add(prepared_words.words_key(CAPTIONS, WordRule(), "minilm"))
    assert len(keys) == 2


def test_a_damaged_file_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = prepare_words(CAPTIONS, WordRule(), "minilm", tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-40])
    with caplog.at_level(logging.WARNING):
        assert named(prepare_words(CAPTIONS, WordRule(), "minilm", tmp_path)) == named(first)
    assert "cannot be used and is made again" in caplog.text


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"cannot write the prepared words .*file"):
        prepare_words(CAPTIONS, WordRule(), "minilm", tmp_path / "file")


def test_no_captions_no_words(tmp_path: Path) -> None:
    for _ in range(2):
        words = prepare_words([(), ()], WordRule(), "minilm", tmp_path)
        assert words.words == () and words.embeddings.shape == (0, 384) and words.rows == [[], []]


@pytest.mark.slow
def test_many_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions = [(f"a red mug of type{number} and the blue box",) for number in range(30)]
    one = prepare_words(captions, WordRule(), "minilm", tmp_path / "one")
    monkeypatch.setattr(prepared_words, "ONE_PROCESS", 0)
    monkeypatch.setattr(prepared_words, "CHUNK", 7)
    many = prepare_words(captions, WordRule(), "minilm", tmp_path / "many")
    assert many.words == one.words and named(many) == named(one)
    assert named(one)[3] == [["red", "mug", "type3", "blue", "box"]]


def test_packing_a_hundred_thousand_captions_takes_seconds() -> None:
    """600,000 captions must not take longer to read than the trainer takes to start."""
    captions = [("caption",) * 5] * 20_000
    arrays = {
        "words": np.frombuffer(b"a\nb", np.uint8),
        "embeddings": np.zeros((2, 4), np.float32),
        "rows": np.zeros(600_000, np.int64),
        "lengths": np.full(100_000, 6, np.int64),
    }
    start = time.process_time()
    assert len(prepared_words._unpack(arrays, captions).rows) == 20_000
    prepared_words.words_key(captions, WordRule(), "minilm")
    assert time.process_time() - start < 5


def test_the_command_writes_what_the_trainer_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_coco(tmp_path / "tiny", 3)
    config = {"sources": [{"folder": "tiny"}], "text_encoder": "minilm", "words": {"phrases": True}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    app = Typer()
    app.command()(command.main)
    arguments = ["--config", str(tmp_path / "config.yaml"), "--data", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "3 images, 0 broken records skipped" in result.output and "3 captions" in result.output
    (path,) = (tmp_path / "words").iterdir()
    captions = [(a["caption"],) for a in json.loads((tmp_path / "tiny" / "captions.json").read_text())["annotations"]]
    assert path.stem == prepared_words.words_key(captions, WordRule(phrases=True), "minilm")
    (tmp_path / "tiny" / "captions.json").write_text("{")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "is not JSON" in result.output


def test_the_command_takes_the_trainer_s_changes_and_needs_sources(tmp_path: Path) -> None:
    write_tiny_coco(tmp_path / "tiny", 2)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"text_encoder": "minilm"}))
    app = Typer()
    app.command()(command.main)
    arguments = ["--config", str(tmp_path / "config.yaml"), "--data", str(tmp_path)]
    nothing = CliRunner().invoke(app, arguments)
    assert nothing.exit_code == 2 and "'sources' is empty: name at least one folder" in nothing.output
    assert not (tmp_path / "words").exists()
    changed = CliRunner().invoke(app, [*arguments, "--set", "sources=[{folder: tiny}]", "--set", "words.phrases=true"])
    assert changed.exit_code == 0 and "2 captions" in changed.output
    captions = [(a["caption"],) for a in json.loads((tmp_path / "tiny" / "captions.json").read_text())["annotations"]]
    (path,) = (tmp_path / "words").iterdir()
    assert path.stem == prepared_words.words_key(captions, WordRule(phrases=True), "minilm")
