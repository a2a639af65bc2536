"""From a camera image and a vocabulary to labelled regions. No ROS in here."""
