"""Capture of audio and 52 coefficients from videos, to create a corpus in the format of 3D-ETF."""
