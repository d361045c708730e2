"""A small synthetic corpus in the layout of 3D-ETF: audible, speech-like, and free to share."""
