"""Configuration trees refuse what they do not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from openseg_ros.configuration import ConfigurationError, build_config, read_yaml, to_mapping
from openseg_ros.model.config import ModelConfig
from training.config import TrainConfig


def test_nested_values_and_defaults() -> None:
    config = build_config(TrainConfig, {"model": {"backbone": "resnet18", "input_size": [192, 256]}, "steps": 7})
    assert config.model.input_size == (192, 256)
    assert config.steps == 7
    assert config.model.num_queries == 128
    assert config.optimizer.learning_rate == 0.005


def test_round_trip() -> None:
    config = build_config(TrainConfig, {"sources": [{"folder": "a"}, {"folder": "b"}]})
    assert build_config(TrainConfig, to_mapping(config)) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": {"num_querys": 3}},
            r"unknown configuration key 'model.num_querys'; did you mean 'num_queries'\?",
        ),
        ({"steps": "many"}, "'steps' must be int, not 'many'"),
        ({"steps": True}, "'steps' must be int, not True"),
        ({"model": {"head_stride": 5}}, r"'model.head_stride' is 5; allowed: 4, 8"),
        ({"model": {"input_size": [640]}}, "'model.input_size' must have 2 values, not 1"),
        ({"sources": [{}]}, r"incomplete configuration sources\[0\]"),
    ],
)
def test_mistakes_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build_config(TrainConfig, values)


def test_int_is_taken_for_float() -> None:
    assert build_config(ModelConfig, {"ffn_ratio": 2}).ffn_ratio == 2.0


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [1\n", "\x00"])
def test_files_that_are_not_mappings(tmp_path: Path, content: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"c\.yaml"):
        read_yaml(path)
    with pytest.raises(ConfigurationError, match="absent"):
        read_yaml(tmp_path / "absent.yaml")
