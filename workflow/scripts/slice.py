"""Adapter of rule slice."""

from emotalk.data.parts import group_by_corpus, join_arrow
from emotalk.data.slicing import slice_corpus
from emotalk.logs import job_log

with job_log(snakemake.log[0]):
    corpora, inputs, outputs = snakemake.params.corpora, snakemake.input, snakemake.output.clips
    options = {"max_frames": snakemake.params.max_frames, "threads": snakemake.threads}
    parts_by_corpus = group_by_corpus(inputs.parts, len(corpora))
    for corpus, tracks, out, parts in zip(corpora, inputs.tracks, outputs, parts_by_corpus, strict=True):
        if parts:  # Sliced by rule slice_part.
            join_arrow(parts, out)
        else:
            slice_corpus(inputs.recordings, tracks, out, corpus=corpus, **options)
