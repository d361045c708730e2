"""The device that a job computes on."""

import os

import torch


def choose_device(gpus: int, threads: int) -> torch.device:
    """A GPU where one is granted and present, else the CPU with at most `threads` threads.

    More threads than the process may use only wait for each other.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, min(threads, usable)))
    return torch.device("cuda" if gpus > 0 and torch.cuda.is_available() else "cpu")
