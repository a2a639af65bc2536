"""A tabletop world of our own: random scenes of household objects with exact masks, depth, poses and
captions.

`render` writes a data set, `sequence` a moving camera. Everything follows from a seed.
"""
