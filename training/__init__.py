"""Offline: data, losses, training and evaluation of OpenSeg. Never imported by openseg_ros."""
