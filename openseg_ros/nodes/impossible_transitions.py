"""An answer for lifecycle transitions that do not exist in the present state."""

from __future__ import annotations

from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode


def answer_impossible_transitions(node: LifecycleNode) -> None:
    """Make ~/change_state answer success=False where a transition does not exist.

    rclpy 7.1 raises in the service's callback instead: the caller waits for ever and the exception ends the node.
    """
    service = node._service_change_state
    change = service.callback

    def answer(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return change(request, response)
        except rclpy_implementation.RCLError as error:
            node.get_logger().error(f"transition {request.transition.id} {request.transition.label}: {error}")
            response.success = False
            return response

    service.callback = answer
