"""A video from file to file against the network alone on the same frames, in turn, on this CPU.

    python benchmarks/video_speed.py photo.png --frames 8 --rounds 5

The clip pans over the photo. Records the seconds of each run and the share of the network's speed that a
whole run has in results/video/speed-MODEL.json.
"""

from __future__ import annotations

import argparse
import time
from fractions import Fraction
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np

from conditions import record
from escsr.data.pictures import read_rgb
from escsr.runtime.allocator import keep_freed_memory
from escsr.upscaling.options import UpscaleOptions
from escsr.video import VideoOptions, plan_video, run_video
from escsr.video.colour import to_rgb
from escsr.video.frames import Damage, shown_frames


def main() -> None:
    """Measures, prints and records."""
    options = _options()
    keep_freed_memory()
    seconds: dict[str, list[float]] = {"network": [], "video": []}
    with TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _write_clip(clip, read_rgb(options.photo), options)
        how = UpscaleOptions(model=options.model, device="cpu", precision="float32")
        for number in range(options.rounds + 1):
            plan = plan_video(clip, Path(folder) / f"large{number}.mp4", how, VideoOptions())
            shown = shown_frames(plan.video, Damage())
            frames = [to_rgb(each.frame, plan.video.colours) for each in shown]
            begun = time.perf_counter()
            for frame in frames:
                plan.upscaler(frame)
            middle = time.perf_counter()
            run_video(plan)
            end = time.perf_counter()
            if number:  # the first round warms up
                seconds["network"].append(middle - begun)
                seconds["video"].append(end - middle)
                print(f"network {middle - begun:.2f} s, video {end - middle:.2f} s")
    shares = [alone / whole for alone, whole in zip(seconds["network"], seconds["video"], strict=True)]
    values = {
        "model": options.model,
        "size": [options.width, options.height],
        "frames": options.frames,
        "codec": plan.encoding.name,
        "seconds": {name: [round(value, 3) for value in taken] for name, taken in seconds.items()},
        "share_of_the_network_alone": round(median(shares), 3),
    }
    print(values["share_of_the_network_alone"], record(f"video/speed-{options.model}", values))


def _write_clip(path: Path, photo: np.ndarray[Any, Any], options: argparse.Namespace) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = options.width, options.height, "yuv420p"
        for number in range(options.frames):
            part = photo[number : number + options.height, 2 * number : 2 * number + options.width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(part))
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path)
    parser.add_argument("--model", default="esc-light-x2")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
