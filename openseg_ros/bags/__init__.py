"""Bags of `ros2 bag`: reading, writing, searching and evaluating them, without ROS."""
