"""Small clips that tests make, and FFmpeg's own programs as a witness of the results."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffprobe") and shutil.which("ffmpeg")), reason="needs ffmpeg and ffprobe as a witness"
)

HDR = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
DISPLAY = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
"""Of x265, in units of 1/50000 and 1/10000 cd/m²."""


def ffmpeg(*arguments: str | Path) -> None:
    """Runs ffmpeg; it must succeed."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def probe(path: Path, *arguments: str) -> dict[str, Any]:
    """What ffprobe says, from JSON; it must find nothing wrong."""
    command = ["ffprobe", "-v", "error", "-of", "json", *arguments, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr.strip(), done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def times(path: Path) -> list[int]:
    """When the frames of the first video stream are shown, in ticks, by decoding them."""
    frames = probe(path, "-select_streams", "v:0", "-show_entries", "frame=pts")["frames"]
    return [frame["pts"] for frame in frames]


def streams(path: Path) -> list[dict[str, Any]]:
    """All of a file's streams."""
    found: list[dict[str, Any]] = probe(path, "-show_streams")["streams"]
    return found


def hashes(path: Path, *kinds: str) -> list[str]:
    """A digest of the packets of each stream of some kinds ("a", "s", "v")."""
    maps = [argument for kind in kinds for argument in ("-map", f"0:{kind}")]
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        *maps,
        "-c",
        "copy",
        "-f",
        "streamhash",
        "-hash",
        "md5",
        "-",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def packets(path: Path, kind: str) -> list[tuple[str, str]]:
    """Times and sizes of the packets of a stream ("a:0")."""
    found = probe(path, "-select_streams", kind, "-show_entries", "packet=pts,size")["packets"]
    return [(packet.get("pts"), packet["size"]) for packet in found]


def moving(size: str = "32x24", frames: int = 12) -> list[str]:
    """Arguments for a moving picture of so many frames, 25 a second."""
    return ["-f", "lavfi", "-i", f"testsrc=size={size}:rate=25:duration={frames / 25}"]


def rich_clip(folder: Path) -> Path:
    """VFR in Matroska, 10 bits of H.264 with B-frames, PQ; two languages, subtitles, a font, chapters."""
    (folder / "subtitles.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,700\nWords\n\n2\n00:00:00,800 --> 00:00:01,200\nMore\n"
    )
    (folder / "font.ttf").write_bytes(bytes(range(256)) * 9)
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle={}\n"
    about = ";FFMETADATA1\ntitle=A clip\ncomment=ours\n"
    (folder / "about.txt").write_text(
        about + chapter.format(0, 500, "First") + chapter.format(500, 1200, "Second")
    )
    clip = folder / "rich.mkv"
    ffmpeg(
        *moving(frames=30),
        *("-f", "lavfi", "-i", "sine=440:duration=1.2", "-f", "lavfi", "-i", "sine=880:duration=1.2"),
        *("-i", folder / "subtitles.srt", "-i", folder / "about.txt"),
        *(
            "-map",
            "0:v",
            "-map",
            "1:a",
            "-map",
            "2:a",
            "-map",
            "3:s",
            "-map_metadata",
            "4",
            "-map_chapters",
            "4",
        ),
        *("-vf", "select='not(eq(mod(n,7),3)+eq(mod(n,7),4))'", "-vsync", "vfr"),
        *("-c:v", "libx264", "-bf", "3", "-g", "11", "-x264-params", HDR, "-pix_fmt", "yuv420p10le"),
        *("-c:a:0", "aac", "-c:a:1", "flac", "-c:s", "srt"),
        *(
            "-metadata:s:a:0",
            "language=eng",
            "-metadata:s:a:1",
            "language=fra",
            "-metadata:s:a:1",
            "title=Doublage",
        ),
        *("-metadata:s:s:0", "language=ger", "-metadata:s:v:0", "title=Picture"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default", "-disposition:s:0", "forced"),
        *("-attach", folder / "font.ttf", "-metadata:s:t", "mimetype=font/ttf", clip),
    )
    return clip


def make_clip(
    path: Path, frames: list[np.ndarray], *, codec: str = "ffv1", pixels: str = "bgr0", step: int = 40
) -> Path:
    """A clip of given pictures, RGB of 8 bits, a frame each 40 ms."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options={"g": "1"} if codec == "ffv1" else {})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb).reformat(format=pixels)
            frame.pts, frame.time_base = index * step, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def noise(count: int, size: tuple[int, int] = (24, 32)) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count)]
