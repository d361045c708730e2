"""Capture of the 52 coefficients from videos, so that anyone can make their own 3D-ETF."""

from emotalk.capture.capture import capture_to_table, capture_videos
from emotalk.capture.records import VideoRecord

__all__ = ["VideoRecord", "capture_to_table", "capture_videos"]
