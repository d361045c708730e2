"""Adapter of rule report."""

from pathlib import Path

from emotalk.logs import job_log
from emotalk.report.page import write_report
from emotalk.report.summary import write_summary

with job_log(snakemake.log[0]):
    output = snakemake.output
    write_report(
        output.page,
        data_page=snakemake.input.data_page,
        losses=snakemake.input.losses,
        evaluation=Path(snakemake.input.metrics).parent,
        predictions=snakemake.input.predictions,
        clips=snakemake.input.clips,
        manifest=snakemake.input.manifest,
        card=snakemake.input.card,
    )
    write_summary(
        output.summary,
        page=output.page,
        card=snakemake.input.card,
        comparisons=snakemake.input.comparisons,
        manifest=snakemake.input.manifest,
    )
