"""Reading of videos: times, rotation, damage, and audio on the same clock."""

import numpy as np
import pytest
import soundfile

from emotalk.capture.audio import Span, write_audio
from emotalk.capture.video import VideoReader
from emotalk.data.audio import inspect_audio
from emotalk.errors import CaptureError
from tests.unit.capture.videos import RATE, damage, tone, turn, write_video

pytest.importorskip("av", reason="the extra [capture] is not installed")

SECONDS = np.arange(24) / 24


@pytest.fixture
def pictures():
    """A bright square that moves through a wide picture."""
    images = np.full((24, 96, 128, 3), 60, np.uint8)
    for number, image in enumerate(images):
        image[10:30, 4 * number : 4 * number + 20] = 220
    return list(images)


def read(path):
    reader = VideoReader(path)
    frames = list(reader)
    return reader, np.array([frame.seconds for frame in frames]), [frame.image for frame in frames]


def test_frames_have_the_times_of_the_file(tmp_path, pictures):
    seconds = SECONDS[[0, 1, 2, 5, 6, 7, 11, 12, 20]] + 0.5
    reader, read_s, images = read(write_video(tmp_path / "a.mp4", pictures[:9], seconds))
    np.testing.assert_allclose(read_s, seconds, atol=1e-6)
    assert np.abs(images[4].astype(int) - pictures[4]).mean() < 3
    assert reader.num_broken == 0


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_rotation_flag_is_applied(tmp_path, pictures, quarters):
    path = write_video(tmp_path / "a.mp4", [np.rot90(image, quarters) for image in pictures], SECONDS)
    turn(path, quarters)
    assert np.abs(read(path)[2][9].astype(int) - pictures[9]).mean() < 3


def test_interlaced_frames_are_deinterlaced(tmp_path, pictures):
    woven = [first.copy() for first in pictures[:-1]]
    for image, following in zip(woven, pictures[1:], strict=True):
        image[1::2] = following[1::2]
    options = {"flags": "+ildct+ilme", "x264opts": "tff=1", "crf": "4"}
    reader, seconds, images = read(write_video(tmp_path / "a.mp4", woven, SECONDS[:-1], options=options))
    assert reader.is_deinterlaced
    np.testing.assert_allclose(seconds, SECONDS[:-1], atol=1e-6)
    combing = [
        np.abs(np.diff(image.astype(int)[:, :, 1], n=2, axis=0)[12:16]).mean() for image in (woven[9], images[9])
    ]
    assert combing[1] < 0.3 * combing[0]


def test_broken_packets_are_skipped_and_counted(tmp_path, pictures):
    whole = write_video(tmp_path / "a.mkv", pictures, SECONDS)
    reader, seconds, _ = read(damage(whole, tmp_path / "b.mkv", [6, 7]))
    assert reader.num_broken == 2
    np.testing.assert_allclose(seconds, np.delete(SECONDS, [6, 7]), atol=1e-3)


def test_a_truncated_file_is_read_to_its_end(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (24, 96, 128, 3)).astype(np.uint8)
    whole = write_video(tmp_path / "a.mkv", noise, SECONDS)
    (tmp_path / "b.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert 3 < len(read(tmp_path / "b.mkv")[1]) < 24


@pytest.mark.parametrize("content", [b"", b"no video", b"\0" * 5000])
def test_an_invalid_video_is_an_error(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(CaptureError, match=r"a\.mp4 cannot be opened as a video"):
        read(tmp_path / "a.mp4")


def test_a_file_without_video_stream_is_an_error(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(1000), RATE)
    with pytest.raises(CaptureError, match=r"a\.wav has no video stream"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(("video_s", "audio_s"), [(0.0, 0.0), (0.0, 0.3), (0.4, 0.0)])
def test_audio_begins_with_the_picture(tmp_path, pictures, suffix, video_s, audio_s):
    path = write_video(tmp_path / f"a.{suffix}", pictures, SECONDS + video_s, [(audio_s, tone(2.0, click_s=0.8))])
    first = read(path)[1][0]
    report = write_audio(path, [Span(first, first + 9)], [tmp_path / "a.wav"])
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == RATE
    assert abs(np.abs(samples).argmax() / RATE - (0.8 + audio_s - video_s)) < 0.002
    assert report.num_samples == [len(samples)]
    assert abs(len(samples) / RATE - (2.0 + audio_s - video_s)) < 0.002


def test_consecutive_spans_of_audio_are_complete(tmp_path, pictures):
    sound = np.random.default_rng(0).integers(-9000, 9000, 2 * RATE).astype(np.int16)
    path = write_video(tmp_path / "a.mkv", pictures, SECONDS, [(0.0, sound)])
    spans, files = [Span(0.0, 0.75), Span(1.0, 1.25), Span(1.25, 9.0)], [tmp_path / f"{n}.wav" for n in range(3)]
    write_audio(path, spans, files)
    for file, part in zip(files, (sound[:12_000], sound[16_000:20_000], sound[20_000:]), strict=True):
        np.testing.assert_array_equal(soundfile.read(file, dtype="int16")[0], part)


def test_audio_that_is_too_long_for_wav_is_written_as_rf64_and_read_by_the_index(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("emotalk.capture.audio._MAX_WAV_BYTES", 1000)
    sound = np.random.default_rng(0).integers(-9000, 9000, 2 * RATE).astype(np.int16)
    path = write_video(tmp_path / "a.mkv", pictures, SECONDS, [(0.0, sound)])
    write_audio(path, [Span(0.0, 9.0)], [tmp_path / "a.wav"])
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RF64"
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], sound)
    info, issues = inspect_audio(tmp_path / "a.wav")
    assert (info.num_samples, issues) == (len(sound), [])


@pytest.mark.parametrize(("video_s", "audio_s"), [(1.0, 1.5), (1.5, 1.2), (3.0, 1.0)])
def test_audio_is_padded_to_its_span_unless_much_is_missing(tmp_path, pictures, video_s, audio_s):
    path = write_video(tmp_path / "a.mkv", pictures, SECONDS, [(0.0, tone(audio_s, 0.5))])
    write_audio(path, [Span(0.0, video_s)], [tmp_path / "a.wav"])
    assert soundfile.info(tmp_path / "a.wav").duration == (audio_s if video_s - audio_s > 0.5 else video_s)


def test_the_default_audio_stream_is_read(tmp_path, pictures):
    path = write_video(tmp_path / "a.mkv", pictures, SECONDS, [(0.0, tone(1.0, 0.2)), (0.0, tone(1.0, 0.7))])
    report = write_audio(path, [Span(0.0, 9.0)], [tmp_path / "a.wav"])
    assert (report.num_streams, report.chosen) == (2, 0)
    assert np.abs(soundfile.read(tmp_path / "a.wav")[0]).argmax() == pytest.approx(0.2 * RATE, abs=20)


def test_without_audio_no_file_is_written(tmp_path, pictures):
    report = write_audio(write_video(tmp_path / "a.mp4", pictures, SECONDS), [Span(0.0, 9.0)], [tmp_path / "a.wav"])
    assert (report.num_streams, report.num_samples) == (0, [0])
    assert not (tmp_path / "a.wav").exists()


def test_interrupted_audio_stays_in_sync(tmp_path, pictures):
    import av

    whole = write_video(tmp_path / "a.mkv", pictures, SECONDS, [(0.0, tone(2.0, click_s=1.5))])
    with av.open(whole) as source, av.open(tmp_path / "b.mkv", "w") as target:
        copies = {each.index: target.add_stream_from_template(each) for each in source.streams}
        for packet in source.demux():
            if packet.dts is None or (packet.stream.type == "audio" and 0.5 <= packet.pts * packet.time_base < 1.0):
                continue
            packet.stream = copies[packet.stream.index]
            target.mux(packet)
    write_audio(tmp_path / "b.mkv", [Span(0.0, 9.0)], [tmp_path / "a.wav"])
    assert np.abs(soundfile.read(tmp_path / "a.wav")[0]).argmax() == pytest.approx(1.5 * RATE, abs=20)
