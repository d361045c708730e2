rule demo_corpus:
    input:
        recipe=local("resources/demo.yaml"),
    output:
        corpus=local(directory(f"{RESULTS}/demo_corpus")),
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


for shard in range(SHARDS) if SHARDS > 1 else ():

    rule:
        name:
            of_shard("index", shard)
        input:
            demo=local(DATA) if IS_DEMO else [],
        output:
            part=PARTS[shard],
        log:
            f"{LOGS}/{of_shard('index', shard)}.log",
        threads: 8
        resources:
            mem_mb=1000,
            runtime=240,
        params:
            code=code_digest("emotalk.corpus.index"),
            data=recordings_folder,
            listing="demo" if IS_DEMO else data_listing,
            corpora=CORPORA,
            sources=canonical(config["sources"]),
            index=canonical(config["index"]),
            faults=canonical(config["faults"]),
            shard=shard,
            shards=SHARDS,
            earlier=f"{EARLIER}/{of_shard('recordings', shard)}.parquet",
        message:
            "Indexing a part of the recordings below {params.data}"
        script:
            "../scripts/index_part.py"


rule index:
    input:
        demo=local(DATA) if IS_DEMO else [],
        parts=PARTS if SHARDS > 1 else [],
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
        sources=canonical(config["sources"]),
        index=canonical(config["index"]),
        faults=canonical(config["faults"]),
        strict=config["strict"],
        earlier=f"{EARLIER}/recordings.parquet",
    message:
        "Indexing the recordings below {params.data}"
    script:
        "../scripts/index.py"


for shard in range(SHARDS):

    rule:
        name:
            of_shard("smooth", shard)
        input:
            recordings=rules.index.output.recordings,
        output:
            tracks=shard_files("tracks", "parquet", shard),
        log:
            f"{LOGS}/{of_shard('smooth', shard)}.log",
        threads: 8
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
            shard=shard,
            shards=SHARDS,
            earlier=EARLIER,
        message:
            "Collecting the tracks (smoothing: {params.enabled})"
        script:
            "../scripts/smooth.py"

    rule:
        name:
            of_shard("slice", shard)
        input:
            recordings=rules.index.output.recordings,
            tracks=shard_files("tracks", "parquet", shard),
        output:
            clips=shard_files("clips", "arrow", shard),
        log:
            f"{LOGS}/{of_shard('slice', shard)}.log",
        threads: 8
        resources:
            mem_mb=2000,
            runtime=240,
        params:
            code=code_digest("emotalk.corpus.slicing"),
            corpora=CORPORA,
            max_frames=config["slice"]["max_frames"],
            shard=shard,
            shards=SHARDS,
            earlier=EARLIER,
        message:
            "Slicing recordings into clips of at most {params.max_frames} frames"
        script:
            "../scripts/slice.py"


if SHARDS > 1:

    rule smooth:
        input:
            TRACKS,

    rule slice:
        input:
            CLIPS,


rule pair:
    input:
        clips=CLIPS,
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
