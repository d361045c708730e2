rule index_part:
    """List the recordings of one part (setting parts)."""
    input:
        demo=local(DATA) if IS_DEMO else [],
        captured=list(CAPTURED.values()),
    output:
        part=f"{RESULTS}/parts/recordings/{{scatteritem}}.parquet",
    log:
        f"{LOGS}/parts/index.{{scatteritem}}.log",
    threads: 8
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        version=STAGE_VERSIONS["index"],
        data=recordings_folder,
        listing="demo" if IS_DEMO else data_digest,
        corpora=CORPORA,
        sources=canonical({corpus: source.model_dump() for corpus, source in SOURCES.items()}),
        index=canonical(config["index"]),
    message:
        "Indexing part {wildcards.scatteritem} of the recordings below {params.data}"
    script:
        "../scripts/index_part.py"


rule smooth_part:
    """Read the tracks of one part (setting parts)."""
    input:
        recordings=rules.index.output.recordings,
    output:
        tracks=f"{RESULTS}/parts/tracks/{{corpus}}.{{scatteritem}}.parquet",
    log:
        f"{LOGS}/parts/smooth.{{corpus}}.{{scatteritem}}.log",
    threads: 8
    resources:
        mem_mb=1000,
        runtime=120,
    params:
        version=STAGE_VERSIONS["smooth"],
        smooth=canonical(config["smooth"]),
        captured=list(CAPTURED),
    message:
        "Reading the tracks of {wildcards.corpus}, part {wildcards.scatteritem}"
    script:
        "../scripts/smooth_part.py"


rule slice_part:
    """Slice the recordings of one part (setting parts)."""
    input:
        recordings=rules.index.output.recordings,
        tracks=rules.smooth_part.output.tracks,
    output:
        clips=f"{RESULTS}/parts/clips/{{corpus}}.{{scatteritem}}.arrow",
    log:
        f"{LOGS}/parts/slice.{{corpus}}.{{scatteritem}}.log",
    threads: 8
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        version=STAGE_VERSIONS["slice"],
        max_frames=config["slice"]["max_frames"],
    message:
        "Slicing {wildcards.corpus}, part {wildcards.scatteritem}"
    script:
        "../scripts/slice_part.py"
