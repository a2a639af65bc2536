"""The page for people: a web server and what it shows. Knows nothing of ROS; `openseg_ros.nodes.view_node` feeds it."""
