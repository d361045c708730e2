"""A small synthetic corpus of speech-like audio in the layout of 3D-ETF, without licence restrictions."""
