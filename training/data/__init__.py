"""From annotated images and captions to training batches."""
