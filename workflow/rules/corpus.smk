rule demo_corpus:
    """Synthesize the demo corpus."""
    input:
        definition=local(project_file(ROOT / "resources/demo.yaml")),
    output:
        corpus=local(directory(f"{RESULTS}/demo_corpus")),
    log:
        f"{LOGS}/demo_corpus.log",
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        version=STAGE_VERSIONS["demo_corpus"],
        actors=config["demo"]["actors"],
        seed=config["seed"],
    message:
        "Synthesizing the demo corpus"
    script:
        "../scripts/demo_corpus.py"


rule capture:
    """Capture coefficients and audio from videos (sources.<corpus>.video), skipping videos that are captured already."""
    output:
        videos=f"{RESULTS}/captured/{{corpus}}.parquet",
    log:
        f"{LOGS}/capture.{{corpus}}.log",
    threads: 8
    resources:
        mem_mb=8000,
        runtime=2880,
    params:
        videos=video_folder,
        listing=video_digest,
        model=model_digest,
        capture=canonical(config["capture"]),
    message:
        "Capturing the videos of {wildcards.corpus} in {params.videos}"
    script:
        "../scripts/capture.py"


rule index:
    """List every recording with its properties and issues."""
    input:
        demo=local(DATA) if IS_DEMO else [],
        captured=list(CAPTURED.values()),
        parts=gather.part(f"{RESULTS}/parts/recordings/{{scatteritem}}.parquet") if config["parts"] > 1 else [],
    output:
        recordings=f"{RESULTS}/recordings.parquet",
    log:
        f"{LOGS}/index.log",
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
        strict=config["strict"],
    message:
        "Indexing the recordings below {params.data}"
    script:
        "../scripts/index.py"


rule smooth:
    """Read the tracks, and smooth them as smooth.enabled specifies."""
    input:
        recordings=rules.index.output.recordings,
        parts=parts_of("tracks", ".parquet"),
    output:
        tracks=TRACK_FILES,
    log:
        f"{LOGS}/smooth.log",
    threads: 8
    resources:
        mem_mb=1000,
        runtime=120,
    params:
        version=STAGE_VERSIONS["smooth"],
        corpora=CORPORA,
        smooth=canonical(config["smooth"]),
        captured=list(CAPTURED),
    message:
        "Reading the tracks, with the smoothing of section smooth"
    script:
        "../scripts/smooth.py"


rule slice:
    """Slice recordings into clips; with setting parts above 1, only join the clips of rule slice_part."""
    input:
        recordings=rules.index.output.recordings,
        tracks=TRACK_FILES,
        parts=parts_of("clips", ".arrow"),
    output:
        clips=CLIP_FILES,
    log:
        f"{LOGS}/slice.log",
    threads: 8
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        version=STAGE_VERSIONS["slice"],
        corpora=CORPORA,
        max_frames=config["slice"]["max_frames"],
    message:
        "Slicing recordings into clips of at most {params.max_frames} frames"
    script:
        "../scripts/slice.py"


rule pair:
    """Pair clips into training examples for all epochs."""
    input:
        clips=CLIP_FILES,
    output:
        manifest=f"{RESULTS}/manifest.parquet",
    log:
        f"{LOGS}/pair.log",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        version=STAGE_VERSIONS["pair"],
        pair=canonical(config["pair"]),
        split=canonical(config["split"]),
        epochs=config["train"]["epochs"],
        seed=config["seed"],
        num_slots=config["model"]["num_subject_slots"],
    message:
        "Pairing clips for {params.epochs} epochs"
    script:
        "../scripts/pair.py"


if config["parts"] > 1:

    include: "parts.smk"
