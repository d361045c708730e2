rule demo_corpus:
    input:
        recipe="resources/demo.yaml",
    output:
        corpus=directory(f"{RESULTS}/demo_corpus"),
    log:
        f"{LOGS}/demo_corpus.log",
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code_digest("emotalk.demo.corpus"),
        actors=config["demo"]["actors"],
        seed=config["seed"],
    message:
        "Synthesising a small corpus of speech and faces"
    script:
        "../scripts/demo_corpus.py"


rule index:
    input:
        demo=rules.demo_corpus.output.corpus if IS_DEMO else [],
    output:
        recordings=f"{RESULTS}/recordings.parquet",
    log:
        f"{LOGS}/index.log",
    threads: 8
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        code=code_digest("emotalk.corpus.index"),
        data=recordings_folder,
        listing="demo" if IS_DEMO else data_listing,
        corpora=CORPORA,
        max_frame_difference=config["index"]["max_frame_difference"],
        min_frames=config["index"]["min_frames"],
        strict=config["strict"],
    message:
        "Indexing the recordings below {params.data}"
    script:
        "../scripts/index.py"


rule smooth:
    input:
        recordings=rules.index.output.recordings,
    output:
        tracks=expand(f"{RESULTS}/tracks/{{corpus}}.parquet", corpus=CORPORA),
    log:
        f"{LOGS}/smooth.log",
    resources:
        mem_mb=1000,
        runtime=120,
    params:
        code=code_digest("emotalk.corpus.smoothing"),
        corpora=CORPORA,
        enabled=config["smooth"]["enabled"],
        window=config["smooth"]["window"],
        order=config["smooth"]["order"],
        clip_negatives=config["smooth"]["clip_negatives"],
    message:
        "Collecting the tracks (smoothing: {params.enabled})"
    script:
        "../scripts/smooth.py"


rule slice:
    input:
        recordings=rules.index.output.recordings,
        tracks=rules.smooth.output.tracks,
    output:
        clips=CLIPS,
    log:
        f"{LOGS}/slice.log",
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        code=code_digest("emotalk.corpus.slicing"),
        corpora=CORPORA,
        max_frames=config["slice"]["max_frames"],
    message:
        "Slicing recordings into clips of at most {params.max_frames} frames"
    script:
        "../scripts/slice.py"


rule pair:
    input:
        clips=rules.slice.output.clips,
    output:
        manifest=f"{RESULTS}/manifest.parquet",
        alignments=f"{RESULTS}/alignments.arrow",
    log:
        f"{LOGS}/pair.log",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code_digest("emotalk.corpus.manifest", "emotalk.corpus.warping"),
        recipe=config["pair"]["recipe"],
        alignment=config["pair"]["alignment"],
        calm=config["pair"]["calm"],
        unlabelled_level=config["pair"]["unlabelled_level"],
        unlabelled_person=config["pair"]["unlabelled_person"],
        split=canonical(config["split"]),
        epochs=config["train"]["epochs"],
        seed=config["seed"],
    message:
        "Pairing clips for {params.epochs} epochs ({params.recipe} recipe)"
    script:
        "../scripts/pair.py"
