"""The systems that the paper compares with (4.2, 4.3), measured by the same command as OpenSeg."""
