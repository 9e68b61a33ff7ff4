"""LGN-Net and its MNAD baseline: frame prediction with a memory of normal patterns."""
