"""Nothing of a file is lost, by ffprobe as the witness."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import AttachmentStream

from clips import (
    DISPLAY,
    HDR,
    ffmpeg,
    hashes,
    moving,
    needs_ffmpeg,
    packets,
    probe,
    rich_clip,
    streams,
    times,
)
from escsr import upscale_video
from escsr.errors import OutputError, VideoError
from escsr.video.light import Light

pytestmark = needs_ffmpeg

TAGS = ("color_range", "color_space", "color_transfer", "color_primaries")
KEPT = (*TAGS, "pix_fmt", "disposition", "sample_aspect_ratio", "start_pts", "time_base", "codec_type")


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    return rich_clip(tmp_path)


def tags_of(stream: dict[str, object]) -> dict[str, str]:
    tags = stream.get("tags")
    assert isinstance(tags, dict)
    return {name: value for name, value in tags.items() if name not in ("ENCODER", "DURATION")}


def side_data(path: Path) -> list[dict[str, object]]:
    """Of the first frame, without what only this encoder writes."""
    found = probe(path, "-select_streams", "v:0", "-show_frames", "-read_intervals", "%+#1")["frames"][0]
    kinds = ("Mastering display metadata", "Content light level metadata")
    return sorted(
        (data for data in found.get("side_data_list", []) if data["side_data_type"] in kinds),
        key=lambda data: str(data["side_data_type"]),
    )


def test_the_clip_has_the_traps(rich: Path) -> None:
    steps = times(rich)
    assert len({after - before for before, after in pairwise(steps)}) > 1, "VFR"
    with av.open(str(rich)) as container:
        found = [packet for packet in container.demux(video=0) if packet.size]
    assert any(packet.dts is None for packet in found), "packets without a time of decoding"


def test_everything_of_matroska_is_kept(rich: Path, nearest: Path) -> None:
    result = upscale_video(rich, rich.with_name("large.mkv"), model=nearest, segment=0.4)
    assert result.is_whole
    assert result.notes == ()
    assert times(result.target) == times(rich)
    assert result.frames == len(times(rich))
    assert hashes(result.target, "a", "s") == hashes(rich, "a", "s")
    for kind in ("a:0", "a:1", "s:0"):
        assert packets(result.target, kind) == packets(rich, kind)
    ours, theirs = streams(result.target), streams(rich)
    assert len(ours) == len(theirs) == 5
    for mine, other in zip(ours, theirs, strict=True):
        assert tags_of(mine) == tags_of(other)
        for key in KEPT:
            assert mine.get(key) == other.get(key), key
    assert (ours[0]["width"], ours[0]["height"], ours[0]["codec_name"]) == (64, 48, "hevc")
    assert ours[4]["extradata_size"] == theirs[4]["extradata_size"] == 9 * 256
    about = [probe(path, "-show_chapters", "-show_format") for path in (result.target, rich)]
    assert len(about[0]["chapters"]) == 2
    assert about[0]["chapters"] == about[1]["chapters"]
    assert about[0]["format"]["tags"]["title"] == "A clip"
    with av.open(str(result.target)) as container:
        attachment = container.streams[4]
        assert isinstance(attachment, AttachmentStream)
        assert (attachment.name, attachment.mimetype) == ("font.ttf", "font/ttf")
        assert attachment.data == (rich.parent / "font.ttf").read_bytes()
    assert not list(rich.parent.glob(".*")), "segments are gone"


def test_everything_of_mp4_is_kept(rich: Path, nearest: Path) -> None:
    clip = rich.with_suffix(".mp4")
    maps = ("-map", "0:v", "-map", "0:a", "-map", "0:s")
    ffmpeg(
        "-i",
        rich,
        *maps,
        "-c",
        "copy",
        "-c:a:1",
        "aac",
        "-c:s",
        "mov_text",
        "-video_track_timescale",
        "30000",
        clip,
    )
    result = upscale_video(clip, model=nearest, segment=0.4, codec="h264")
    assert result.target.name == "rich_x2.mp4"
    assert times(result.target) == times(clip)
    assert hashes(result.target, "a", "s") == hashes(clip, "a", "s")
    for kind in ("a:0", "a:1", "s:0"):
        assert packets(result.target, kind) == packets(clip, kind)
    for mine, other in zip(streams(result.target), streams(clip), strict=True):
        for key in KEPT:
            assert mine.get(key) == other.get(key), key
        assert mine["tags"].get("language") == other["tags"].get("language")
    chapters = [probe(path, "-show_chapters")["chapters"] for path in (result.target, clip)]
    assert [chapter["tags"]["title"] for chapter in chapters[0]] == ["First", "Second"]
    assert chapters[0] == chapters[1]


def test_a_container_that_cannot_hold_a_stream_is_refused(rich: Path, nearest: Path) -> None:
    with pytest.raises(OutputError, match=r"MP4 cannot hold stream 3 \(subtitle, .*name the output .mkv"):
        upscale_video(rich, rich.with_suffix(".mp4"), model=nearest)
    plain = rich.with_name("plain.mkv")
    ffmpeg(*moving(), plain)
    with pytest.raises(OutputError, match=r"WebM files hold av1, not h264; name the output .mkv"):
        upscale_video(plain, rich.with_suffix(".webm"), model=nearest, codec="h264")
    kept = upscale_video(rich.with_suffix(".mkv"), model=nearest)
    assert kept.target.suffix == ".mkv"
    assert not list(rich.parent.glob("*.part*"))


@pytest.mark.parametrize("codec", ["hevc", "av1", "h264"])
def test_hdr10(tmp_path: Path, nearest: Path, codec: Any) -> None:
    clip = tmp_path / "hdr.mkv"
    parameters = f"{HDR.replace('colorprim', 'log-level=none:colorprim')}:{DISPLAY}:max-cll=1000,400"
    ffmpeg(*moving(), "-c:v", "libx265", "-x265-params", parameters, "-pix_fmt", "yuv420p10le", clip)
    expected = side_data(clip)
    assert [data["side_data_type"] for data in expected] == [
        "Content light level metadata",
        "Mastering display metadata",
    ]
    result = upscale_video(clip, tmp_path / "large.mkv", model=nearest, codec=codec)
    mine, other = streams(result.target)[0], streams(clip)[0]
    assert all(mine[key] == other[key] for key in (*TAGS, "pix_fmt"))
    if codec == "h264":  # this ffprobe does not look for it there
        with av.open(str(result.target)) as container, av.open(str(clip)) as source:
            lights = [Light.of(next(opened.decode(video=0))) for opened in (container, source)]
        assert lights[0] == lights[1]
        assert lights[0].levels == (1000, 400)
        return
    found = side_data(result.target)
    assert [data["side_data_type"] for data in found] == [data["side_data_type"] for data in expected]
    for ours, theirs in zip(found, expected, strict=True):
        for name, value in theirs.items():
            if name != "side_data_type":
                assert fraction(ours[name]) == pytest.approx(fraction(value), rel=2e-4, abs=2e-4), name
    assert times(result.target) == times(clip)


def fraction(value: object) -> float:
    over, _, under = str(value).partition("/")
    return int(over) / int(under or 1)


def test_hdr10_that_cannot_be_kept_is_said(tmp_path: Path, nearest: Path) -> None:
    clip = tmp_path / "hdr.mkv"
    parameters = f"log-level=none:{DISPLAY}"
    ffmpeg(*moving(), "-c:v", "libx265", "-x265-params", parameters, "-pix_fmt", "yuv420p10le", clip)
    result = upscale_video(clip, model=nearest, codec="ffv1")
    assert any("mastering display" in note for note in result.notes)


def test_stretched_frames_are_shown_in_their_shape(tmp_path: Path, nearest: Path) -> None:
    """As 720×576 with pixels of 64:45, on a DVD, becomes square; ffmpeg's scaler is the witness."""
    clip = tmp_path / "dvd.mp4"
    ffmpeg(*moving("80x64", 2), "-vf", "setsar=64/45", "-c:v", "libx264", clip)
    for size, shape in (("160x128", "64:45"), ("256x144", "1:1"), ("256x128", "8:9")):
        result = upscale_video(clip, tmp_path / "large.mp4", model=nearest, size=size, fit="exact")
        width, height = size.split("x")
        ffmpeg("-i", clip, "-vf", f"scale={width}:{height}", tmp_path / "witness.mp4")
        for path in (result.target, tmp_path / "witness.mp4"):
            assert streams(path)[0]["sample_aspect_ratio"] == shape
    ffmpeg(*moving("80x64", 2), "-c:v", "libx264", clip)
    result = upscale_video(clip, tmp_path / "large.mp4", model=nearest, size="256x128", fit="exact")
    assert streams(result.target)[0]["sample_aspect_ratio"] == "1:1", "square pixels stay so"


@pytest.mark.parametrize(
    ("codec", "ending", "is_kept"),
    [("ffv1", "mkv", False), ("prores", "mkv", False), ("prores", "mov", True)],
)
def test_a_shape_of_pixels_that_is_lost_is_told(
    tmp_path: Path, nearest: Path, codec: Any, ending: str, is_kept: bool
) -> None:
    clip, target = tmp_path / "dvd.mp4", tmp_path / f"large.{ending}"
    ffmpeg(*moving("80x64", 2), "-vf", "setsar=64/45", "-c:v", "libx264", clip)
    notes = upscale_video(clip, target, model=nearest, codec=codec).notes
    assert (streams(target)[0].get("sample_aspect_ratio") == "64:45") == is_kept
    assert (
        any("its pixels are not square (64:45), which is not kept in Matroska" in n for n in notes)
        != is_kept
    )


def test_rotation_and_shape_of_pixels(tmp_path: Path, nearest: Path) -> None:
    plain, clip = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    ffmpeg(*moving(), "-vf", "setsar=8/9", "-c:v", "libx264", plain)
    with av.open(str(plain)) as source, av.open(str(clip), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    before = streams(clip)[0]
    assert before["side_data_list"][0]["rotation"] in (90, -90)
    for target, size in (("large.mp4", None), ("wide.mp4", "72x96"), ("large.mkv", None)):
        result = upscale_video(clip, tmp_path / target, model=nearest, size=size)
        after = streams(result.target)[0]
        assert result.size == ((48, 64) if size is None else (72, 96)), "as it is shown"
        assert (after["height"], after["width"]) == result.size
        assert after["sample_aspect_ratio"] == before["sample_aspect_ratio"] == "8:9"
        if target.endswith(".mp4"):  # this ffprobe does not read it from Matroska
            assert after["side_data_list"] == before["side_data_list"]
        with av.open(str(result.target)) as container, av.open(str(clip)) as source:
            frames = [next(opened.decode(video=0)) for opened in (container, source)]
        assert frames[0].rotation == frames[1].rotation != 0


@pytest.mark.parametrize(("size", "codec"), [("33x25", "h264"), ("33x25", "hevc"), ("31x27", "av1")])
def test_odd_sizes(tmp_path: Path, nearest: Path, size: str, codec: Any) -> None:
    clip = tmp_path / "odd.mkv"
    ffmpeg(*moving(size, 6), "-c:v", "ffv1", "-pix_fmt", "yuv420p", clip)
    result = upscale_video(clip, model=nearest, codec=codec)
    assert result.size == tuple(2 * int(side) for side in size.split("x"))
    assert times(result.target) == times(clip)
    odd: Any = {"size": size, "fit": "exact"}
    if codec == "av1":
        assert upscale_video(clip, tmp_path / "same.mkv", model=nearest, codec=codec, **odd).size == (
            31,
            27,
        )
    else:
        with pytest.raises(OutputError, match=r"needs even sides.*--size 34x26"):
            upscale_video(clip, tmp_path / "same.mkv", model=nearest, codec=codec, **odd)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(("codec", "start"), [("h264", 0), ("hevc", 2)])
def test_constant_rates_stay_constant(
    tmp_path: Path, nearest: Path, suffix: str, codec: Any, start: int
) -> None:
    """With B-frames the first packets are decoded before the first frame is shown: by whole frames."""
    clip = tmp_path / f"clip{suffix}"
    ffmpeg(
        *moving(frames=50), "-c:v", "libx264", "-pix_fmt", "yuv420p", "-output_ts_offset", str(start), clip
    )
    result = upscale_video(clip, tmp_path / f"large{suffix}", model=nearest, codec=codec, segment=0.7)
    before, after = streams(clip)[0], streams(result.target)[0]
    assert after["has_b_frames"] > 0
    for key in ("avg_frame_rate", "r_frame_rate", "duration", "start_time"):
        assert after.get(key) == before.get(key), key
    assert after["avg_frame_rate"] == "25/1"
    durations = [probe(path, "-show_format")["format"]["duration"] for path in (result.target, clip)]
    assert durations[0] == durations[1]


@pytest.mark.parametrize("gap", ["first", "last"])
def test_uneven_times_last_as_long_as_before(tmp_path: Path, nearest: Path, gap: str) -> None:
    """A frame that is shown for two seconds, among others of 1/25 s."""
    clip = tmp_path / "clip.mp4"
    late = {"first": "gt(N,0)", "last": "gt(N,18)"}[gap]
    filters = ("-vf", f"setpts='(N+50*{late})/25/TB'", "-vsync", "vfr", "-bf", "0")
    ffmpeg(*moving(frames=20), *filters, "-c:v", "libx264", "-pix_fmt", "yuv420p", clip)
    result = upscale_video(clip, model=nearest)
    before, after = streams(clip)[0], streams(result.target)[0]
    assert after["has_b_frames"] > before["has_b_frames"] == 0
    assert times(result.target) == times(clip)
    assert after["duration"] == before["duration"] == "2.800000"
    assert after["avg_frame_rate"] == before["avg_frame_rate"]


@pytest.mark.parametrize("count", [1, 2])
def test_very_short_clips(tmp_path: Path, nearest: Path, count: int) -> None:
    clip = tmp_path / "clip.mp4"
    ffmpeg(*moving(frames=count), "-c:v", "libx264", "-pix_fmt", "yuv420p", clip)
    result = upscale_video(clip, model=nearest)
    before, after = streams(clip)[0], streams(result.target)[0]
    assert [(stream["duration"], stream["avg_frame_rate"]) for stream in (before, after)] == [
        (f"{count / 25:.6f}", "25/1")
    ] * 2


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".webm"])
def test_av1(tmp_path: Path, nearest: Path, suffix: str) -> None:
    clip = tmp_path / f"clip{suffix}"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libsvtav1", rate=25, options={"preset": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        for index in range(20):
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            for plane in frame.planes:
                plane.update(bytes([index * 9 % 256, 2]) * (plane.buffer_size // 2))
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    result = upscale_video(clip, model=nearest, codec="av1", segment=0.3)
    assert result.target.suffix == suffix
    after = streams(result.target)[0]
    assert (after["codec_name"], after["pix_fmt"], after["width"]) == ("av1", "yuv420p10le", 128)
    assert times(result.target) == times(clip)


@pytest.mark.parametrize(
    ("size", "matrix", "primaries"),
    [
        ("32x24", "smpte170m", "smpte170m"),
        ("32x576", "smpte170m", "bt470bg"),
        ("1280x16", "bt709", "bt709"),
    ],
)
def test_an_undeclared_matrix_is_guessed_and_said(
    tmp_path: Path, nearest: Path, size: str, matrix: str, primaries: str
) -> None:
    clip = tmp_path / "clip.mp4"
    ffmpeg(*moving(size, 2), "-c:v", "libx264", "-pix_fmt", "yuv420p", clip)
    assert "color_space" not in streams(clip)[0]
    result = upscale_video(clip, model=nearest)
    assert "the colour matrix is not declared" in result.notes[0]
    after = streams(result.target)[0]
    assert (after["color_space"], after["color_primaries"]) == (matrix, primaries)
    assert after["color_range"] == "tv"


def test_a_cover_stays_one(tmp_path: Path, nearest: Path) -> None:
    clip, picture = tmp_path / "clip.mp4", tmp_path / "cover.png"
    ffmpeg(*moving("16x16", 1), picture)
    arguments = ("-map", "0", "-map", "1", "-c:v:0", "libx264", "-c:v:1", "copy")
    ffmpeg(*moving(), "-i", picture, *arguments, "-disposition:v:1", "attached_pic", clip)
    for suffix in (".mp4", ".mkv"):
        result = upscale_video(clip, tmp_path / f"large{suffix}", model=nearest)
        found = streams(result.target)
        assert len(found) == 2
        assert [stream["disposition"]["attached_pic"] for stream in found] == [0, 1]
        assert (found[1]["width"], found[0]["width"]) == (16, 64)
        assert hashes(result.target, "v:1")[0].split("=")[1] == hashes(clip, "v:1")[0].split("=")[1]


def test_even_sides_are_advised_as_they_are_shown(tmp_path: Path, nearest: Path) -> None:
    plain, clip = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    ffmpeg(*moving("32x48", 3), "-c:v", "libx264", "-pix_fmt", "yuv420p", plain)
    with av.open(str(plain)) as source, av.open(str(clip), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.set_display_rotation(-90)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    with pytest.raises(OutputError, match=r"unlike 91×61; choose --size 92x62 --fit exact"):
        upscale_video(clip, model=nearest, longest=91)
    result = upscale_video(clip, model=nearest, size="92x62", fit="exact")
    assert result.size == (92, 62), "as it is shown"
    assert result.target.name == "turned_92x62.mp4"


def test_interlaced_material(tmp_path: Path, nearest: Path) -> None:
    clip = tmp_path / "fields.mkv"
    filters = "tinterlace=interleave_top,setfield=tff"
    ffmpeg(*moving(frames=24), "-vf", filters, "-c:v", "libx264", "-flags", "+ildct+ilme", clip)
    with pytest.raises(VideoError, match=r"interlaced.*--deinterlace"):
        upscale_video(clip, model=nearest)
    result = upscale_video(clip, model=nearest, deinterlace=True)
    assert times(result.target) == times(clip)
    assert streams(result.target)[0].get("field_order", "progressive") == "progressive"


def test_fields_that_begin_late_are_refused(tmp_path: Path, nearest: Path) -> None:
    """Behind the frames that are looked at before the work."""
    parts = [tmp_path / "plain.ts", tmp_path / "fields.ts"]
    for part, flags in zip(parts, ([], ["-flags", "+ildct+ilme", "-vf", "setfield=tff"]), strict=True):
        ffmpeg(*moving(frames=40), *flags, "-c:v", "mpeg2video", part)
    clip = tmp_path / "clip.ts"
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(VideoError, match=r"interlaced from \d\.\d s on, .*; add --deinterlace"):
        upscale_video(clip, model=nearest)
    assert upscale_video(clip, model=nearest, deinterlace=True).is_whole


@pytest.mark.parametrize(("size", "pixels"), [("48x32", "yuv420p"), ("32x24", "yuv422p")])
def test_interlaced_frames_that_change_are_refused(
    tmp_path: Path, nearest: Path, size: str, pixels: str
) -> None:
    """Before they reach the filter, which takes all frames for such as the first one."""
    clip = tmp_path / "clip.ts"
    for number, (of, form) in enumerate([("32x24", "yuv420p"), (size, pixels)]):
        part = tmp_path / f"{number}.ts"
        fields = ("-flags", "+ildct+ilme", "-vf", "setfield=tff")
        ffmpeg(*moving(of, 3), *fields, "-c:v", "mpeg2video", "-pix_fmt", form, part)
    clip.write_bytes(b"".join((tmp_path / f"{number}.ts").read_bytes() for number in (0, 1)))
    message = "32×24 to 48×32" if size == "48x32" else "yuv420p to yuv422p"
    with pytest.raises(VideoError, match=f"frames change from {message} at .*; cut it there"):
        upscale_video(clip, model=nearest, deinterlace=True)


def test_subtitles_that_matroska_cannot_hold_can_be_converted_as_is_told(
    tmp_path: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip.mp4"
    (tmp_path / "words.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nWords\n")
    ffmpeg(*moving(), "-i", tmp_path / "words.srt", "-c:v", "libx264", "-c:s", "mov_text", clip)
    with pytest.raises(OutputError, match=r"cannot hold stream 1 \(subtitle, mov_text\)") as refused:
        upscale_video(clip, tmp_path / "large.mkv", model=nearest)
    _, _, told = str(refused.value).partition("like: ffmpeg ")
    assert told == "-i clip.mp4 -c copy -c:s srt clip.mkv."
    monkeypatch.chdir(tmp_path)
    ffmpeg(*told.rstrip(".").split())
    result = upscale_video(tmp_path / "clip.mkv", tmp_path / "large.mkv", model=nearest)
    assert [stream["codec_name"] for stream in streams(result.target)][1] == "subrip"


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_tags_that_are_not_utf8_are_kept(tmp_path: Path, nearest: Path, suffix: str) -> None:
    clip, title = tmp_path / f"clip{suffix}", "Été à la mer"
    with av.open(str(clip), "w", metadata_encoding="latin-1") as container:
        container.metadata["title"] = title
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 32, 24
        if suffix == ".mkv":
            stream.metadata["title"] = title
            container.set_chapters(
                [
                    {
                        "id": 1,
                        "start": 0,
                        "end": 40,
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                ]
            )
        container.mux(stream.encode(av.VideoFrame(32, 24, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(UnicodeDecodeError), av.open(str(clip)):
        pass
    result = upscale_video(clip, tmp_path / "large.mkv", model=nearest)
    with av.open(str(result.target)) as container:
        assert container.metadata["title"] == title
        if suffix == ".mkv":
            assert container.streams[0].metadata["title"] == title
            assert container.chapters()[0]["metadata"]["title"] == title


def test_a_stream_that_no_container_holds_is_told(tmp_path: Path, nearest: Path) -> None:
    clip = tmp_path / "old.wmv"
    sound = ("-f", "lavfi", "-i", "sine=440:duration=0.48")
    ffmpeg(*moving(), *sound, "-c:v", "wmv2", "-c:a", "wmav2", clip)
    with pytest.raises(
        OutputError, match=r"cannot hold stream 1 .*ffmpeg -i old.wmv -c copy -c:a flac old.mkv"
    ):
        upscale_video(clip, model=nearest)


def test_a_timecode_stays_one(tmp_path: Path, nearest: Path) -> None:
    clip = tmp_path / "camera.mov"
    ffmpeg(*moving(), "-timecode", "01:02:03:04", "-c:v", "libx264", clip)
    for suffix in (".mov", ".mkv"):
        result = upscale_video(clip, tmp_path / f"large{suffix}", model=nearest)
        found = streams(result.target)
        assert {name.lower(): value for name, value in found[0]["tags"].items()}[
            "timecode"
        ] == "01:02:03:04"
        assert [stream["codec_type"] for stream in found] == ["video", "data"][: 1 + (suffix == ".mov")]
        assert not any("left out" in note for note in result.notes)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("old.avi", "mpeg4"), ("dvd.vob", "mpeg2video"), ("tv.ts", "libx264"), ("web.flv", "flv")],
)
def test_other_containers_become_matroska(tmp_path: Path, nearest: Path, name: str, codec: str) -> None:
    clip = tmp_path / name
    ffmpeg(*moving(), "-c:v", codec, *(("-bf", "2") if codec == "mpeg4" else ()), clip)
    result = upscale_video(clip, model=nearest)
    assert result.target.suffix == ".mkv"
    assert result.frames == 12
    steps = {after - before for before, after in pairwise(times(result.target))}
    assert steps == {40}
