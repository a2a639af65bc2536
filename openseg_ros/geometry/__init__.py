"""From pixels with depth to metres."""
