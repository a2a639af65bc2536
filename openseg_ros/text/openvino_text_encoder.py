"""MiniLM and its kind in OpenVINO: converted from torch once, compared with it, and then kept on disk.

A node that starts with it imports neither torch nor transformers, and a phrase takes one thread some milliseconds, in
what time the engine of the images leaves.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import openvino
from tokenizers import Tokenizer

from openseg_ros.runtime.engine_cache import cached_files
from openseg_ros.runtime.openvino_core import openvino_core
from openseg_ros.text.text_encoder import BATCH, MAX_TOKENS, CachingTextEncoder, TextEncoderError

IR_FILE = "model.xml"  # OpenVINO's intermediate representation; the tensors are in model.bin beside it
TOKENIZER_FILE = "tokenizer.json"
SOURCE_FILES = ("config.json", TOKENIZER_FILE, "model.safetensors")  # what the encoder is made of
MIN_COSINE = 0.9999  # with torch's vector, of every phrase compared: word vectors must not depend on who made them
# Short and long ones, and what tokenizers stumble over: capitals, accents, scripts, numbers, signs, nothing.
COMPARED = (
    *("cup", "a red mug", "Screwdriver", "the small wooden box next to the blue bowl", "café crème", "rote Tasse"),
    *("赤いカップ", "🍌", "7.5 mm hex key #3", "", "x", "cup " * 100),
)


NICENESS = 5  # of the thread that encodes: on a busy core the engine's threads have three times its share


class OpenVinoTextEncoder(CachingTextEncoder):
    """A converted text tower, in float32 and in one thread, which gives way to the engine of the images."""

    def __init__(self, name: str, folder: Path) -> None:
        """Open what `load_openvino_text_encoder` keeps in `folder`."""
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding(pad_id=self._tokenizer.token_to_id("[PAD]") or 0)
        hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
        self._request = openvino_core().compile_model(folder / IR_FILE, "CPU", hints).create_infer_request()
        # A thread of its own, because nothing but OpenVINO may run at this priority: what holds Python's lock and waits
        # for the processor would stop the images too.
        self._thread = ThreadPoolExecutor(1, "openseg_words", initializer=_give_way)
        super().__init__(name)

    def _forward(self, texts: list[str]) -> np.ndarray:
        encoded = self._tokenizer.encode_batch(texts)
        tokens = np.array([(text.ids, text.attention_mask) for text in encoded], np.int64)
        self._thread.submit(self._request.infer, [np.ascontiguousarray(tokens[:, part]) for part in (0, 1)]).result()
        vectors: np.ndarray = self._request.get_output_tensor(0).data
        unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def _give_way() -> None:
    """Lower the priority of the calling thread."""
    if sys.platform == "linux":  # elsewhere a priority belongs to the whole process
        thread = threading.get_native_id()
        own = os.getpriority(os.PRIO_PROCESS, thread)  # a node may run at a low priority itself
        os.setpriority(os.PRIO_PROCESS, thread, min(own + NICENESS, 19))


def load_openvino_text_encoder(name: str, source: Path, progress: Callable[[str], None]) -> OpenVinoTextEncoder:
    """The encoder, from what was converted before (a fraction of a second), or converted now (some seconds).

    Args:
        name: of the encoder.
        source: folder with a BERT of transformers and its tokenizer.json.
        progress: told what begins, if something takes seconds.

    Raises:
        TextEncoderError: OpenVINO cannot convert it, or its vectors are not those of torch.
        OSError, ValueError: damaged files.
    """
    with cached_files(_key(source), lambda folder: _convert(name, source, folder, progress)) as folder:
        return OpenVinoTextEncoder(name, folder)


def _key(source: Path) -> str:
    """Hash of what decides the converted encoder: its files, the code that converts it, libraries and processor."""
    device = openvino_core().get_property("CPU", "FULL_DEVICE_NAME")
    libraries = (f"{library} {version(library)}" for library in ("openvino", "torch", "transformers", "tokenizers"))
    digest = hashlib.sha256("\0".join(["text encoder", device, *libraries]).encode())
    here = Path(__file__).parent
    code = [here / f"{module}.py" for module in ("openvino_text_encoder", "transformers_text_encoder", "text_encoder")]
    for path in [*code, *(source / file for file in SOURCE_FILES)]:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]


def _convert(name: str, source: Path, folder: Path, progress: Callable[[str], None]) -> None:
    """Fill a cache entry, and refuse an encoder whose vectors are not torch's."""
    import torch

    from openseg_ros.text.transformers_text_encoder import MeanPooledBert, load_transformers_text_encoder

    progress("converting the text encoder to OpenVINO")
    reference = load_transformers_text_encoder(name, str(source))
    phrases, tokens = torch.export.Dim("phrases", min=1, max=BATCH), torch.export.Dim("tokens", min=2, max=MAX_TOKENS)
    # Sizes of 1 would be taken for constants, and one tensor in both places for one input.
    example = torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.int64)
    try:
        with torch.no_grad():
            exported = torch.export.export(
                MeanPooledBert.load(str(source)),
                example,
                dynamic_shapes=({0: phrases, 1: tokens}, {0: phrases, 1: tokens}),
            )
        converted = openvino.convert_model(exported)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise TextEncoderError(f"OpenVINO cannot convert text encoder '{name}', use backend torch: {reason}") from error
    try:
        openvino.save_model(converted, folder / IR_FILE, compress_to_fp16=False)
    except RuntimeError as error:  # OpenVINO's way to say that the disk is full
        raise OSError(str(error)) from error
    (folder / TOKENIZER_FILE).write_bytes((source / TOKENIZER_FILE).read_bytes())
    candidate = OpenVinoTextEncoder(name, folder)
    cosines = (reference.encode(COMPARED) * candidate.encode(COMPARED)).sum(1)
    worst = int(cosines.argmin())
    if not cosines[worst] >= MIN_COSINE:
        raise TextEncoderError(
            f"text encoder '{name}' in OpenVINO is refused, its vectors differ too much from torch's: cosine "
            f"{cosines[worst]:.5f} < {MIN_COSINE} for '{COMPARED[worst][:40]}'; use backend torch"
        )
