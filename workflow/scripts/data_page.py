"""Adapter of rule data_page."""

from pathlib import Path

from emotalk.logs import job_log
from emotalk.report.data_page import write_data_page

with job_log(snakemake.log[0]):
    write_data_page(
        snakemake.output.page,
        recordings=snakemake.input.recordings,
        tracks=snakemake.input.tracks,
        clips=snakemake.input.clips,
        manifest=snakemake.input.manifest,
        captured=dict(zip(snakemake.params.captured, map(Path, snakemake.input.captured), strict=True)),
        min_confidence=snakemake.params.min_confidence,
    )
