"""Every row of the paper's tables has a configuration that trains: two steps each, at reduced width."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_coco import write_tiny_coco, write_tiny_masks

from openseg_ros.configuration import ConfigurationError
from openseg_ros.model.openseg import OpenSeg
from openseg_ros.runtime.weights import load_weights
from training.config import TrainConfig, load_train_config, parse_overrides
from training.train import train

CONFIGS = Path(__file__).resolve().parent.parent / "training" / "configs"
PAPER = {path.stem: path for path in sorted((CONFIGS / "paper").glob("*.yaml")) if not path.stem.startswith("base_")}
NARROW: dict[str, Any] = {
    "model": {
        **{"input_size": [64, 64], "num_queries": 6, "hidden_dim": 16, "embedding_dim": 384, "attention_heads": 2},
    },
    **{"text_encoder": "minilm", "init": "", "batch": 2, "steps": 2, "log_every": 1, "picture_every": 2},
    **{"workers": 0, "tensorboard": False, "precision": "fp32", "optimizer": {"warmup_steps": 1}},
}
NARROW_BACKBONES = {"efficientnet-b7": "efficientnet-b0", "resnet101": "resnet18"}
# For each row of the paper that is a training run, what makes it that row (paper 4.1, 4.3, 4.4, app. F to H).
ROWS: dict[str, dict[str, Any]] = {
    "table1_masks": {"grounding_weight": 0.0, "steps": 30_000},
    "figure5_lseg_coco": {"method": "lseg", "steps": 30_000},
    "figure5_openseg_coco": {"method": "openseg", "steps": 30_000, "grounding_sync": False},
    "figure5_openseg_coco_locnarr": {"steps": 60_000, "grounding_sync": False},
    "table2_lseg_resnet101_coco": {"method": "lseg", "model.backbone": "resnet101", "steps": 30_000},
    "table2_openseg_resnet101_coco": {"model.backbone": "resnet101", "steps": 30_000, "grounding_sync": False},
    "table2_openseg_resnet101_coco_locnarr": {"model.backbone": "resnet101", "steps": 60_000},
    "table2_openseg_b7_coco_locnarr": {"model.backbone": "efficientnet-b7", "grounding_sync": True, "steps": 60_000},
    "table3_random_init": {"init": "", "optimizer.learning_rate": 0.32, "steps": 180_000},
    "table3_noisy_student_init": {"optimizer.learning_rate": 0.08, "steps": 60_000},
    "table3_align_init": {"init": "kakaobrain/align-base", "optimizer.learning_rate": 0.005, "steps": 60_000},
    "table5_all_words": {"words.parts": "all", "steps": 30_000},
    "table5_nouns_adjectives_verbs": {"words.parts": "noun_adjective_verb", "steps": 30_000},
    "table5_nouns_adjectives": {"words.parts": "noun_adjective", "steps": 30_000},
    "table7_1024_local": {"grounding_sync": False, "steps": 60_000},
    "table7_256_synced": {"grounding_sync": True, "accumulation": 1, "steps": 240_000},
    "table7_512_synced": {"grounding_sync": True, "accumulation": 1, "steps": 120_000},
    "table7_1024_synced": {"grounding_sync": True, "accumulation": 1, "steps": 60_000},
    "table7_2048_synced": {"grounding_sync": True, "accumulation": 1, "steps": 30_000},
    "table8_coco": {"segmentation_weight": 1.0, "steps": 30_000},
    "table8_coco_no_masks": {"segmentation_weight": 0.0, "steps": 30_000},
    "table8_coco_locnarr": {"segmentation_weight": 1.0, "steps": 60_000},
    "table8_coco_locnarr_no_pseudo_labels": {"segmentation_weight": 0.5, "steps": 60_000},
    "table9_keep_100": {"keep_probability": 1.0, "steps": 60_000},
    "table9_keep_075": {"keep_probability": 0.75, "steps": 60_000},
    "table9_keep_050": {"keep_probability": 0.5, "steps": 60_000},
    "table9_keep_025": {"keep_probability": 0.25, "steps": 60_000},
}
SAME_RUN = {  # rows that the paper repeats
    "table3_align_init": "figure5_openseg_coco_locnarr",
    "table5_nouns_adjectives": "figure5_openseg_coco",
    "table7_1024_local": "figure5_openseg_coco_locnarr",
    "table7_1024_synced": "table2_openseg_b7_coco_locnarr",
    "table8_coco": "figure5_openseg_coco",
    "table8_coco_locnarr": "figure5_openseg_coco_locnarr",
    "table9_keep_075": "figure5_openseg_coco_locnarr",
}


def value_at(config: TrainConfig, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images in the layouts of COCO 2017 and of Localized Narratives, with stored masks for the latter."""
    folder = tmp_path_factory.mktemp("paper")
    coco = write_tiny_coco(folder / "coco", 4)
    (coco / "annotations").mkdir()
    (coco / "images").rename(coco / "train2017")
    (coco / "panoptic").rename(coco / "annotations" / "panoptic_train2017")
    (coco / "panoptic.json").rename(coco / "annotations" / "panoptic_train2017.json")
    (coco / "captions.json").rename(coco / "annotations" / "captions_train2017.json")

    narratives = folder / "localized_narratives"
    images = narratives / "images" / "coco" / "train2017"
    images.mkdir(parents=True)
    (narratives / "narratives").mkdir()
    lines, masks = [], {}
    for number in range(3):
        shutil.copy(coco / "train2017" / f"{number}.png", images / f"{number:012d}.jpg")  # decoders look at the content
        caption = "In this image there is a red ball beside a white box, and they lie on the table."
        lines.append({"dataset_id": "mscoco_train2017", "image_id": str(number), "caption": caption})
        mask = np.zeros((60, 80), bool)
        mask[20:40, 10:30] = True
        masks[f"coco/train2017/{number:012d}.jpg"] = [mask, ~mask]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (narratives / "narratives" / "coco_train_captions.jsonl").write_text(text)
    write_tiny_masks(narratives / "masks.json", masks)
    return folder


def test_every_row_has_a_file_and_every_file_is_a_row() -> None:
    assert PAPER.keys() == ROWS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_row_says_what_the_paper_says(name: str) -> None:
    config = load_train_config(PAPER[name])
    assert config.name == name
    assert {key: value_at(config, key) for key in ROWS[name]} == ROWS[name]
    two_sources = config.steps > 30_000 or name.startswith("table7")
    assert [source.folder for source in config.sources] == ["coco", "localized_narratives"][: 1 + two_sources]
    # The paper's size and schedule, wherever a row does not change them.
    assert (config.model.input_size, config.model.num_queries, config.model.hidden_dim) == ((640, 640), 128, 640)
    assert (config.optimizer.weight_decay, config.augmentation.scale, config.batch) == (1e-5, (0.8, 1.2), 16)
    text = PAPER[name].read_text()
    assert f"{name}.yaml" in text and f"runs/{name}" in text  # the launch command
    assert "Expected time" in text and "Expected figure (paper)" in text
    if name in SAME_RUN:
        assert load_train_config(PAPER[SAME_RUN[name]], {"name": name}) == config


def test_both_networks_can_be_built_at_full_size() -> None:
    for name in ("table2_openseg_b7_coco_locnarr", "table2_openseg_resnet101_coco"):
        with torch.device("meta"):
            OpenSeg(load_train_config(PAPER[name]).model)


def narrowed(name: str) -> TrainConfig:
    full = load_train_config(PAPER[name])
    narrow = {**NARROW, "model": {**NARROW["model"], "backbone": NARROW_BACKBONES[full.model.backbone]}}
    narrow["accumulation"] = min(2, full.accumulation)
    return load_train_config(PAPER[name], narrow)


def different_runs() -> list[str]:
    """One row of each run: rows that differ in what is narrowed, such as the number of steps, are the same run here."""
    return list({repr(replace(narrowed(name), name="")): name for name in reversed(ROWS)}.values())


@pytest.mark.parametrize("name", different_runs())
def test_row_trains_two_steps(name: str, data: Path, tmp_path: Path) -> None:
    config = narrowed(name)
    train(config, data, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert all(math.isfinite(value) for line in lines for value in line.values())
    losses = {"loss"} if config.method == "lseg" else {"loss", "segmentation", "grounding"}
    for line in lines:
        assert losses == line.keys() & {"loss", "segmentation", "grounding"}
        if config.method == "openseg":
            expected = config.grounding_weight * line["grounding"] + config.segmentation_weight * line["segmentation"]
            assert line["loss"] == pytest.approx(expected, rel=1e-4)
            assert line["segmentation"] > 0.1 and line["grounding"] > 0.1
    network = load_weights(tmp_path).build_network()
    assert network.config == config.model
    assert (tmp_path / "pictures" / "000002.png").stat().st_size > 1000


def test_bases_are_merged_and_overridden_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "below.yaml").write_text(
        "model: {hidden_dim: 64, num_queries: 9}\nsources: [{folder: a}, {folder: b}]\n"
    )
    (tmp_path / "folder").mkdir()
    above = tmp_path / "folder" / "above.yaml"
    above.write_text("base: ../below.yaml\nmodel: {num_queries: 7}\nsources: [{folder: c}]\nsteps: 5\n")
    config = load_train_config(above, parse_overrides(["steps=6", "model.input_size=[64, 96]", "optimizer.kind=adamw"]))
    assert (config.model.hidden_dim, config.model.num_queries, config.steps) == (64, 7, 6)
    assert [source.folder for source in config.sources] == ["c"]
    assert config.model.input_size == (64, 96) and config.optimizer.kind == "adamw"


def test_mistakes_in_bases_and_overrides_are_named(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("base: second.yaml\n")
    second.write_text("base: first.yaml\n")
    with pytest.raises(ConfigurationError, match=r"its own base, through first.yaml -> second.yaml"):
        load_train_config(first)
    second.write_text("base: [a]\n")
    with pytest.raises(ConfigurationError, match=r"second.yaml: 'base' must name a YAML file, not \['a'\]"):
        load_train_config(first)
    second.write_text("model: {input_size: [100, 100]}\n")
    with pytest.raises(ConfigurationError, match=r"first.yaml: input_size .* multiples of 32"):
        load_train_config(first)
    with pytest.raises(ConfigurationError, match=r"'a=\[1' is not YAML"):
        parse_overrides(["a=[1"])


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_is_whole_and_named_as_its_file(path: Path) -> None:
    config = load_train_config(path)
    if path.stem.endswith("base") or path.stem.startswith("base_"):
        return
    assert path.stem.startswith(config.name)  # "tabletop_6_centred" is the stage "tabletop_6"
    assert config.sources
