"""The network: backbone, pyramid, heads, cross-attention (paper 3.1, 3.2, appendix C)."""
