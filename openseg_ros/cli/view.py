"""`openseg view`: a web page that shows what the running node sees, for people."""

from __future__ import annotations

from typing import Annotated

import typer

from openseg_ros.cli.run import ros_arguments


def view(
    namespace: Annotated[str, typer.Option(help="Namespace of the node to show.")] = "",
    name: Annotated[str, typer.Option(help="Name of the node to show.")] = "openseg",
    camera: Annotated[
        str, typer.Option(help="Which of the node's cameras to show, where they have names (parameter cameras).")
    ] = "",
    host: Annotated[
        str, typer.Option(help="Address to listen on. Other machines reach the page only with another one than this.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: a free one.", min=0, max=65535)] = 8420,
    use_sim_time: Annotated[
        bool, typer.Option(help="Take the time from /clock, as bags and simulators do; else latencies mean nothing.")
    ] = False,
) -> None:
    """Serve a web page: live overlay, a box to ask, regions with scores and latency, and a search."""
    try:
        from openseg_ros.view.server import is_loopback, serve
    except ImportError as error:
        typer.echo(f"openseg view needs aiohttp: {error}. Install it: pip install -r requirements/view.txt", err=True)
        raise typer.Exit(1) from error
    try:
        from openseg_ros.nodes.view_node import view_node
    except ImportError as error:
        typer.echo(f"openseg view needs ROS 2 (rclpy and our messages): {error}. See the README.", err=True)
        raise typer.Exit(1) from error

    target = "/" + "/".join(part for part in (namespace.strip("/"), name) if part)
    arguments = ros_arguments(namespace=namespace, name="openseg_view", params_file=None, topics={}, log_level="info")

    def started(address: str) -> None:
        typer.echo(f"openseg view: {address} shows {'/'.join(filter(None, (target, camera)))}. Ctrl-C ends it.")

    try:
        if not is_loopback(host):
            typer.echo(
                f"WARNING: whoever reaches {host} over the network can see the camera and command what the robot looks "
                "for. There is no password and no encryption. Without --host only this machine can.",
                err=True,
            )
        with view_node(arguments, target, camera, use_sim_time=use_sim_time) as node:
            serve(node, host, port, started)
    except OSError as error:
        typer.echo(f"openseg view cannot listen on {host} port {port}: {error}. Try --port 0 for a free one.", err=True)
        raise typer.Exit(1) from error
