"""One engine for the threads that need it: images of the camera, and requests with images of their own."""

from __future__ import annotations

import threading

import numpy as np

from openseg_ros.runtime.engine import Engine, EngineError, EngineOutput


class SharedEngine:
    """An `Engine` that several threads may use: one run at a time, and all of them counted."""

    def __init__(self, engine: Engine) -> None:
        """Share `engine`, which nobody else may use from now on."""
        self.runs = 0
        self.load(engine)

    def load(self, engine: Engine) -> None:
        """Use `engine` from now on."""
        # A lock for each engine: a new one need not wait for a run of the old one that hangs.
        self._loaded: tuple[Engine, threading.Lock] | None = (engine, threading.Lock())
        self.name = engine.name
        self.input_size = engine.input_size
        self.stride = engine.stride
        self.fallback = engine.fallback

    def unload(self) -> None:
        """Let the engine's memory go, once a run that is going on has ended."""
        self._loaded = None

    @property
    def is_loaded(self) -> bool:
        """Whether it can run."""
        return self._loaded is not None

    def infer(self, images: np.ndarray, valid: np.ndarray) -> EngineOutput:
        """Run the network; see `Engine.infer`."""
        loaded = self._loaded
        if loaded is None:
            raise EngineError("the network is not loaded while the node is inactive")
        engine, lock = loaded
        with lock:
            self.runs += 1
            return engine.infer(images, valid)
