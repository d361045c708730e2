"""Capture of audio and 52 coefficients from videos, to create a corpus in the format of 3D-ETF."""

from emotalk.capture.capture import capture_to_table, capture_videos
from emotalk.capture.records import VideoRecord

__all__ = ["VideoRecord", "capture_to_table", "capture_videos"]
