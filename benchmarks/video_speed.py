"""A video from file to file against the network alone on the same frames, in turn, on this CPU.

    python benchmarks/video_speed.py photo.png --frames 8 --rounds 5

The clip pans over the photo. Records the seconds of each run, by the clock and of processor time, and the
network's shares of a whole run in results/video/speed-MODEL.json. Processor time hardly depends on
what else the machine does: where the network keeps a CPU busy, its share is the speed beside that of the
network alone.
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
    processor: dict[str, list[float]] = {"network": [], "video": []}
    with TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        _write_clip(clip, read_rgb(options.photo), options)
        how = UpscaleOptions(model=options.model, device="cpu", precision="float32")
        for number in range(options.rounds + 1):
            plan = plan_video(clip, Path(folder) / f"large{number}.mp4", how, VideoOptions())
            shown = shown_frames(plan.video, Damage())
            frames = [to_rgb(each.frame, plan.video.colours) for each in shown]
            times = [(time.perf_counter(), time.process_time())]
            for frame in frames:
                plan.upscaler(frame)
            times.append((time.perf_counter(), time.process_time()))
            run_video(plan)
            times.append((time.perf_counter(), time.process_time()))
            if number:  # the first round warms up
                for name, before, after in zip(seconds, times, times[1:], strict=False):
                    seconds[name].append(after[0] - before[0])
                    processor[name].append(after[1] - before[1])
                print({name: round(taken[-1], 2) for name, taken in processor.items()}, flush=True)
    values = {
        "model": options.model,
        "size": [options.width, options.height],
        "frames": options.frames,
        "codec": plan.encoding.name,
        "seconds": _rounded(seconds),
        "processor_seconds": _rounded(processor),
        "share_by_the_clock": _share(seconds),
        "share_of_processor_time": _share(processor),
    }
    print(values["share_of_processor_time"], record(f"video/speed-{options.model}", values))


def _rounded(taken: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: [round(value, 3) for value in values] for name, values in taken.items()}


def _share(taken: dict[str, list[float]]) -> float:
    pairs = zip(taken["network"], taken["video"], strict=True)
    return round(median(alone / whole for alone, whole in pairs), 3)


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
