"""What configuring loads and cleaning up frees: weights, engine, text encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from openseg_ros.nodes.parameters import NodeParameters
from openseg_ros.nodes.shared_engine import SharedEngine
from openseg_ros.runtime.engine import Engine, EngineOutput, create_engine
from openseg_ros.runtime.engine_cache import keeping_in
from openseg_ros.runtime.weights import Weights, load_weights
from openseg_ros.segmenter.letterbox import Letterbox
from openseg_ros.segmenter.segmenter import NetworkAnswer, Segmenter, SegmenterSettings
from openseg_ros.text.text_encoder import TextEncoder, load_text_encoder


@dataclass(frozen=True)
class LoadedModel:
    """One set of weights, ready to run."""

    weights: Weights
    engine: SharedEngine
    encoder: TextEncoder

    def segmenter(self, parameters: NodeParameters) -> Segmenter:
        """A segmenter with the thresholds of `parameters`; cheap, the engine is shared."""
        settings = SegmenterSettings(
            score_threshold=parameters.score_threshold,
            margin_threshold=parameters.margin_threshold,
            max_regions=parameters.max_regions,
            min_relative_area=parameters.min_relative_area,
            max_relative_area=parameters.max_relative_area,
            nms_iou=parameters.nms_iou,
        )
        return Segmenter(engine=self.engine, calibration=self.weights.calibration, settings=settings)

    def warm_up(self, parameters: NodeParameters) -> None:
        """Run the network: first runs allocate memory and are slower, which the first image should not pay for."""
        grey = np.full((480, 640, 3), 128, np.uint8)
        for _ in range(2):
            self.segmenter(parameters).propose(grey)

    def load_again(self, parameters: NodeParameters, progress: Callable[[str], None]) -> None:
        """Load the network that `engine.unload` let go; see `load_model` for `parameters`, `progress` and errors."""
        self.engine.load(_create_engine(self.weights, parameters, progress))
        self.warm_up(parameters)

    def failed_answer(self, image_size: tuple[int, int]) -> NetworkAnswer:
        """What stands for the network's answer where its run failed: one region without a finite number.

        It is dropped like every such region, and the result is marked as degraded.

        Args:
            image_size: (H, W) camera pixels.
        """
        letterbox = Letterbox(image_size, self.engine.input_size, self.engine.stride)
        dim = self.weights.description.model.embedding_dim
        output = EngineOutput(
            mask_logits=np.full((1, 1, *letterbox.valid.shape), np.nan, np.float32),
            embeddings=np.full((1, 1, dim), np.nan, np.float32),
        )
        return NetworkAnswer(letterbox, output)


def load_model(parameters: NodeParameters, progress: Callable[[str], None]) -> LoadedModel:
    """Load, check and warm up what `parameters` name (some seconds; minutes where TensorRT compiles first).

    Args:
        parameters: what to load.
        progress: told what begins, if something takes seconds.

    Raises:
        WeightsError: the model folder is missing or damaged.
        EngineError: the backend, precision or device is not available.
        TextEncoderError: the text encoder of the weights cannot be loaded.
    """
    weights = load_weights(parameters.weights)
    engine = SharedEngine(_create_engine(weights, parameters, progress))
    with keeping_in(parameters.engine_cache_dir):
        encoder = load_text_encoder(weights.description.text_encoder, parameters.backend, progress)
    model = LoadedModel(weights, engine, encoder)
    model.warm_up(parameters)
    return model


def _create_engine(weights: Weights, parameters: NodeParameters, progress: Callable[[str], None]) -> Engine:
    with keeping_in(parameters.engine_cache_dir):
        return create_engine(
            weights,
            parameters.backend,
            precision=parameters.precision,
            device=parameters.device,
            input_size=parameters.network_size,
            threads=parameters.engine_threads,
            progress=progress,
        )
