"""`make demo`: a recorded camera, "pick the cup", and the answer checked against the truth."""
