"""What answers are made from: the model, the cameras' newest images, the parameters of this moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from std_msgs.msg import Header

from openseg_ros.geometry.image_points import ImagePoints
from openseg_ros.msg import RegionArray
from openseg_ros.nodes.camera import Camera
from openseg_ros.nodes.depth_input import DepthOfImage
from openseg_ros.nodes.loaded_model import LoadedModel
from openseg_ros.nodes.message_conversion import region_array_message
from openseg_ros.nodes.parameters import NodeParameters
from openseg_ros.nodes.query_worker import QueryWorker
from openseg_ros.nodes.regions_in_space import RegionsInSpace
from openseg_ros.nodes.request_thread import RequestError
from openseg_ros.segmenter.segmentation import Segmentation
from openseg_ros.text.command import parse_typed_queries
from openseg_ros.text.vocabulary import Query, Vocabulary, build_vocabulary

# vocabulary_version of answers with a request's own queries: the node's versions count up from 0 and never get here.
OWN_QUERIES_VERSION = 2**32 - 1


@dataclass(frozen=True)
class RequestContext:
    """What images and requests share, from configure to cleanup. Its methods may be called from any thread."""

    model: LoadedModel
    queries: QueryWorker
    cameras: tuple[Camera, ...]
    parameters: Callable[[], NodeParameters]
    is_active: Callable[[], bool]
    is_paused: Callable[[], bool]

    def require_active(self) -> None:
        """Refuse a request that needs images while there can be none.

        Raises:
            RequestError: the node is not active.
        """
        if not self.is_active():
            raise RequestError("the node is not active: activate it first")

    def own_vocabulary(self, queries: Sequence[Query]) -> Vocabulary:
        """A vocabulary of `queries` and the parameter background_queries, for one request only.

        Raises:
            RequestError: nothing is looked for.
            QueryError: not one of the queries can be used.
        """
        background = [Query(phrase, background=True) for phrase in self.parameters().background_queries]
        parsed = parse_typed_queries(queries)
        vocabulary = build_vocabulary((*parsed.queries, *background), self.model.encoder, OWN_QUERIES_VERSION)
        if vocabulary.target is None:
            raise RequestError("nothing is looked for: at least one query that is not background is needed")
        return vocabulary

    def points(self, depth: DepthOfImage | None, size: tuple[int, int]) -> ImagePoints | None:
        """The points of an image of `size` (H, W) with `depth`.

        Returns:
            Points in the camera's optical frame; None without depth.
        """
        if depth is None:
            return None
        parameters = self.parameters()
        return depth.points(size, slop_s=parameters.sync_slop_s, scale=parameters.depth_scale)

    def region_array(self, segmentation: Segmentation, header: Header, points: ImagePoints | None) -> RegionArray:
        """The regions with their vectors, and with positions where there are `points`."""
        return region_array_message(
            segmentation,
            header,
            embedding_space=self.model.weights.embedding_space,
            embeddings="matched",
            masks=self.parameters().publish_region_masks,
            space=None if points is None else RegionsInSpace(segmentation, points),
        )
