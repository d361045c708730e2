"""Adapter of rule slice."""

from emotalk.corpus.slicing import slice_corpus
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    for corpus, tracks, clips in zip(
        snakemake.params.corpora, snakemake.input.tracks, snakemake.output.clips, strict=True
    ):
        slice_corpus(snakemake.input.recordings, tracks, clips, corpus=corpus, max_frames=snakemake.params.max_frames)
