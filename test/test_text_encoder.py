"""The embedded text encoder, loaded offline from its package, and small real ALIGN and CLIP towers from folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AlignConfig,
    AlignModel,
    AlignTextConfig,
    AlignVisionConfig,
    BertTokenizerFast,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
)

from openseg_ros.text.text_encoder import TextEncoder, TextEncoderError, load_text_encoder


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    return load_text_encoder("minilm")


def test_minilm_knows_that_a_cup_is_nearly_a_mug(minilm: TextEncoder) -> None:
    vectors = minilm.encode(["cup", "mug", "banana"])
    assert vectors.shape == (3, 384) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = vectors @ vectors.T
    assert cosines[0, 1] == pytest.approx(0.71, abs=0.02)  # shared/runtimes.md
    assert cosines[0, 2] == pytest.approx(0.35, abs=0.02)


def test_a_phrase_has_one_vector_whatever_it_is_asked_with(minilm: TextEncoder) -> None:
    alone = minilm.encode(["hammer"])[0]
    among = load_text_encoder("minilm").encode(["a very long phrase about many things", "hammer", "x"])[1]
    assert float(alone @ among) > 0.9999
    assert np.array_equal(minilm.encode(["hammer", "cup", "hammer"])[0], minilm.encode(["hammer"])[0])
    assert minilm.encode([]).shape == (0, 384)


@pytest.mark.parametrize("phrase", ["", "rote Tasse", "赤いカップ", "🍌", "cup " * 2000, "\x00"])
def test_odd_phrases_get_unit_vectors(minilm: TextEncoder, phrase: str) -> None:
    vector = minilm.encode([phrase])[0]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


def save_tokenizer(folder: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cup", "red", "mug"]
    tokenizer = BertTokenizerFast(vocab={word: index for index, word in enumerate(words)})
    assert tokenizer("red mug")["input_ids"] == [2, 6, 7, 3]
    tokenizer.save_pretrained(folder)


def test_align_text_tower_projects_the_first_token(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    text = AlignTextConfig(
        vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    vision = AlignVisionConfig(width_coefficient=0.25, depth_coefficient=0.25)
    config = AlignConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=24)
    model = AlignModel(config).eval()
    model.save_pretrained(tmp_path)
    encoder = load_text_encoder(str(tmp_path))
    assert encoder.dim == 24
    tokens = torch.tensor([[2, 6, 7, 3]])  # [CLS] red mug [SEP]
    with torch.no_grad():
        first_token = model.text_model(input_ids=tokens).last_hidden_state[:, 0]
        expected = torch.nn.functional.normalize(model.text_projection(first_token))[0]
    assert np.allclose(encoder.encode(["cup", "red mug"])[1], expected, atol=1e-5)


def test_clip_text_tower(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    config = CLIPTextConfig(
        vocab_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        projection_dim=20,
        eos_token_id=3,
        bos_token_id=2,
        pad_token_id=0,
    )
    CLIPTextModelWithProjection(config).save_pretrained(tmp_path)
    encoder = load_text_encoder(str(tmp_path))
    assert encoder.dim == 20
    assert np.linalg.norm(encoder.encode(["cup"])[0]) == pytest.approx(1, abs=1e-5)


def test_unknown_and_damaged_encoders_are_named(tmp_path: Path) -> None:
    with pytest.raises(TextEncoderError, match="unknown text encoder 'word2vec'"):
        load_text_encoder("word2vec")
    with pytest.raises(TextEncoderError, match="cannot load text encoder"):
        load_text_encoder(str(tmp_path))
