"""Words in OpenVINO have torch's vectors; the converted encoder is kept, checked and never stale."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertModel, BertTokenizerFast

from openseg_ros.text import openvino_text_encoder
from openseg_ros.text.openvino_text_encoder import OpenVinoTextEncoder
from openseg_ros.text.text_encoder import CachingTextEncoder, TextEncoderError, load_text_encoder
from openseg_ros.text.transformers_text_encoder import TransformersTextEncoder

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cup", "red", "mug", "next", "to", "the", "banana", "##s")


@pytest.fixture(scope="module")
def minilm() -> CachingTextEncoder:
    return load_text_encoder("minilm", "auto")


@pytest.fixture(scope="module")
def reference() -> CachingTextEncoder:
    return load_text_encoder("minilm", "torch")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A small BERT with random weights and its tokenizer."""
    return save_bert(tmp_path / "bert", seed=0)


def save_bert(folder: Path, seed: int) -> Path:
    BertTokenizerFast(vocab={word: index for index, word in enumerate(WORDS)}).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(folder)
    return folder


def load(folder: Path) -> tuple[np.ndarray, list[str]]:
    """Vectors of three phrases, and what loading said that takes time."""
    progress: list[str] = []
    encoder = load_text_encoder(str(folder), "openvino", progress.append)
    assert isinstance(encoder, OpenVinoTextEncoder)
    return encoder.encode(["cup", "the red mug next to the bananas", "red red"]), progress


def test_each_backend_has_its_encoder(minilm: CachingTextEncoder, reference: CachingTextEncoder) -> None:
    assert isinstance(minilm, OpenVinoTextEncoder) and isinstance(reference, TransformersTextEncoder)
    assert isinstance(load_text_encoder("minilm"), TransformersTextEncoder)
    assert (minilm.name, minilm.dim) == (reference.name, reference.dim) == ("minilm", 384)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(WORDS), max_size=90).map(" ".join)), max_size=3)
)
def test_any_phrases_have_the_vectors_of_torch(
    minilm: CachingTextEncoder, reference: CachingTextEncoder, phrases: list[str]
) -> None:
    phrases = [phrase.encode("utf-8", "ignore").decode() for phrase in phrases]  # without lone surrogates
    ours, theirs = minilm.encode(phrases), reference.encode(phrases)
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    assert ((ours * theirs).sum(1) > 0.9999).all()
    assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)


def test_a_kept_encoder_is_not_converted_again(bert: Path, cache: Path) -> None:
    first, progress = load(bert)
    assert progress == ["converting the text encoder to OpenVINO"]
    (entry,) = cache.iterdir()
    again, progress = load(bert)
    assert progress == [] and list(cache.iterdir()) == [entry]
    assert np.array_equal(first, again)
    assert abs(first[0] @ first[1]) < 0.999  # the phrases are told apart at all
    expected = load_text_encoder(str(bert)).encode(["cup", "the red mug next to the bananas", "red red"])
    assert np.allclose(first, expected, atol=1e-5)


def test_a_damaged_encoder_is_converted_again(bert: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = load(bert)
    (entry,) = cache.iterdir()
    content = bytearray((entry / "model.bin").read_bytes())
    content[len(content) // 2] ^= 0x40
    (entry / "model.bin").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        again, progress = load(bert)
    assert progress and "is damaged and is made again" in caplog.text
    assert np.array_equal(first, again)


def test_other_weights_and_other_words_are_other_encoders(bert: Path, cache: Path) -> None:
    first, _ = load(bert)
    save_bert(bert, seed=1)
    second, progress = load(bert)
    assert progress and not np.allclose(first, second, atol=0.01)
    (bert / "tokenizer.json").write_text((bert / "tokenizer.json").read_text().replace('"red"', '"blue"'))
    third, progress = load(bert)
    assert progress and not np.allclose(second[2], third[2], atol=0.01)
    assert len(list(cache.iterdir())) == 3


def test_an_encoder_that_differs_from_torch_is_refused(
    bert: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_text_encoder, "MAX_TOKENS", 8)  # the long phrase is cut earlier than torch cuts it
    with pytest.raises(TextEncoderError, match=r"refused.*cosine 0\.\d+ < 0\.9999 for 'cup cup"):
        load(bert)
    assert list(cache.iterdir()) == []


def test_a_damaged_source_is_named(bert: Path, cache: Path) -> None:
    (bert / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(TextEncoderError, match=f"cannot load text encoder '{bert}'"):
        load(bert)
    (bert / "config.json").write_text("{")
    with pytest.raises(TextEncoderError, match=f"cannot load text encoder '{bert}'"):
        load(bert)


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
def test_words_give_way_to_images(minilm: CachingTextEncoder) -> None:
    """In a process of its own, where no thread of another test works; `minilm` has converted the encoder for it."""
    script = """
import os, threading
from pathlib import Path
from openseg_ros.text.text_encoder import load_text_encoder

def user_ticks(task):
    return int(Path(f"/proc/self/task/{task}/stat").read_text().rpartition(")")[2].split()[11])

caller = threading.get_native_id()
own = os.getpriority(os.PRIO_PROCESS, caller)
encoder = load_text_encoder("minilm", "openvino")
before = {int(task.name): user_ticks(task.name) for task in Path("/proc/self/task").iterdir()}
encoder.encode([f"thing number {number}" for number in range(200)])
worked = {task: user_ticks(task) - ticks for task, ticks in before.items()}
busiest = max(worked.keys() - {caller}, key=worked.get)
assert worked[busiest] > 0
print(*(os.getpriority(os.PRIO_PROCESS, task) - own for task in (busiest, caller)))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ended.stdout == f"{openvino_text_encoder.NICENESS} 0\n", ended.stderr


def test_signals_arrive_after_encoders_have_gone() -> None:
    """OpenVINO lends the thread a stack for signals; a process whose handlers use it must outlive every encoder."""
    script = """
import gc, signal
from openseg_ros.text.text_encoder import load_text_encoder
signal.signal(signal.SIGUSR1, lambda *_: print("arrived"))
first = load_text_encoder("minilm", "openvino")
second = load_text_encoder("minilm", "openvino")
del first; gc.collect()
del second; gc.collect()
signal.raise_signal(signal.SIGUSR1)
"""
    command = [sys.executable, "-X", "faulthandler", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "arrived\n"), ended.stderr
