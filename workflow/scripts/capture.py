"""Adapter of rule capture."""

import json
from pathlib import Path

from emotalk.capture.capture import capture_to_table
from emotalk.config.corpus import CaptureSettings
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    videos = Path(snakemake.output.videos)
    capture_to_table(
        Path(snakemake.params.videos),
        videos.with_suffix(""),
        videos,
        CaptureSettings(**json.loads(snakemake.params.capture)),
        processes=snakemake.threads,
    )
