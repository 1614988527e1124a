"""How frames are encoded: the codec, its quality, and the pixel format that loses least."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import torch

from escsr.errors import ConfigError, OutputError
from escsr.runtime.choices import VideoCodec, check_choice
from escsr.video.colour import Colours
from escsr.video.kinds import Container
from escsr.video.library import library, words_of
from escsr.video.planes import Layout
from escsr.video.source import Video

if TYPE_CHECKING:
    from av import VideoCodecContext

__all__ = ["CODECS", "Codec", "Encoding", "choose_encoding"]


@dataclass(frozen=True)
class Codec:
    """An encoder.

    Attributes:
        encoder: As FFmpeg calls it.
        crf: Usual constant rate factor; None where there is none.
        most_crf: The greatest it takes.
        preset: Usual preset; None where there is none.
        presets: Those it takes.
        even: Whether sides of halved chroma must be even.
        bits_per_pixel: Rough size of a result at the usual quality, for the forecast.
    """

    encoder: str
    crf: int | None = None
    most_crf: int = 51
    preset: str | None = None
    presets: tuple[str, ...] = ()
    even: bool = False
    bits_per_pixel: float = 0.1


_X26 = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
_SVT = tuple(str(number) for number in range(14))

CODECS = {
    "h264": Codec("libx264", 18, 51, "medium", _X26, even=True, bits_per_pixel=0.12),
    "hevc": Codec("libx265", 20, 51, "medium", _X26, even=True, bits_per_pixel=0.08),
    "av1": Codec("libsvtav1", 24, 63, "8", _SVT, bits_per_pixel=0.06),
    "ffv1": Codec("ffv1", bits_per_pixel=6.0),
    "prores": Codec("prores_ks", bits_per_pixel=5.0),
}
"""All of them; the qualities are such that a result looks like its frames."""

_CHROMAS = {"420": ("420", "422", "444"), "440": ("444",), "422": ("422", "444"), "444": ("444",)}
"""What may hold a chroma without loss, the nearest first."""

_THREADS = 4
"""Results depend on how many there are, so these are as many on every machine."""

_SHAPED = ("h264", "hevc", "mp4", "mov")
"""Codecs and muxers that tell the shape of pixels; Matroska's gets none from PyAV beside other codecs."""

_DEPTHS = (8, 10, 12, 14, 16)
_PRORES_PROFILES = {"yuv422p10le": "hq", "yuv444p10le": "4444", "yuva444p10le": "4444"}


@dataclass(frozen=True)
class Encoding:
    """How one video's results are encoded.

    Attributes:
        name: "h264", "hevc", ...
        codec: Its encoder.
        layout: Of the frames that are encoded.
        colours: What they declare.
        options: Of the encoder.
        size: Width and height, stored pixels.
        time_base: Seconds per tick.
        rate: Frames a second, on average.
        aspect: Width of a pixel by its height.
        notes: What the codec cannot keep, in words.
    """

    name: str
    codec: Codec
    layout: Layout
    colours: Colours
    options: dict[str, str]
    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction
    aspect: Fraction
    notes: tuple[str, ...] = ()

    def prepare(self, context: VideoCodecContext) -> None:
        """Sets an encoder's properties."""
        context.width, context.height = self.size
        context.pix_fmt = self.layout.name
        context.time_base, context.framerate = self.time_base, self.rate
        context.sample_aspect_ratio = self.aspect
        context.options = self._exact_options()
        context.thread_count = _THREADS
        context.color_range = self.colours.range
        context.colorspace, context.color_primaries = self.colours.matrix, self.colours.primaries
        context.color_trc = self.colours.transfer

    def _exact_options(self) -> dict[str, str]:
        """The options, with what makes results equal from run to run.

        With AVX-512, x264 (core 165) now and then encodes a frame in other bytes; with AVX2 it does not.
        """
        options = dict(self.options)
        if self.codec.encoder == "libx264" and torch.backends.cpu.get_cpu_capability() == "AVX512":
            options["x264-params"] = ":".join(filter(None, ("asm=avx2", options.get("x264-params"))))
        return options

    def check(self) -> None:
        """Opens the encoder once.

        Raises:
            OutputError: It refuses, with the size and the format.
        """
        av = library()
        context = av.CodecContext.create(self.codec.encoder, "w")
        self.prepare(context)
        try:
            context.open()
        except (av.error.FFmpegError, ValueError) as error:
            width, height = self.size
            raise OutputError(
                f"{self.name} cannot encode {width}×{height} pixels of {self.layout.name} "
                f"({words_of(error)}); choose another --codec, or another size."
            ) from error


def choose_encoding(
    video: Video,
    size: tuple[int, int],
    container: Container,
    *,
    aspect: Fraction,
    may_grow: tuple[bool, bool] = (False, False),
    codec: VideoCodec = "auto",
    crf: int | None = None,
    preset: str | None = None,
) -> Encoding:
    """Chooses how a video's results are encoded.

    Args:
        video: The source.
        size: Width and height of the results, stored pixels.
        container: Of the result.
        aspect: Width of a pixel of the results by its height.
        may_grow: Whether width and height may have a pixel more, where the codec needs even ones.
        codec: "auto" for H.264, for more than 8 bits HEVC, in WebM AV1.
        crf: Quality; None for the codec's usual one.
        preset: Speed; None for the codec's usual one.

    Raises:
        ConfigError: A setting is not one of the codec.
        OutputError: The container does not take the codec, or the codec not such frames.
    """
    check_choice("codec", codec, VideoCodec)
    name = codec
    if codec == "auto":
        wanted = "hevc" if video.layout.bits > 8 else "h264"
        name = wanted if wanted in container.codecs else container.codecs[0]  # type: ignore[assignment]
    if name not in container.codecs:
        raise OutputError(
            f"{container.name} files hold {', '.join(container.codecs)}, not {name}; name the output .mkv, "
            "or choose another --codec."
        )
    chosen = CODECS[name]
    layout = _layout_for(video, chosen, name)
    asked, notes = size, _losses(video, chosen, layout)
    if aspect != 1 and name not in _SHAPED and container.muxer not in _SHAPED:
        notes += (
            f"its pixels are not square ({aspect.numerator}:{aspect.denominator}), which is not kept in "
            f"{container.name} with {name}, so it may look squeezed",
        )
    if chosen.even:
        size = _evened(asked, layout, may_grow, video, name)
    if size != asked:
        shown = [f"{side}×{other}" for side, other in (video.as_shown(asked), video.as_shown(size))]
        notes += (f"{shown[0]} becomes {shown[1]}, as {name} needs even sides",)
    encoding = Encoding(
        name=name,
        codec=chosen,
        layout=layout,
        colours=video.colours.for_layout(layout),
        options=_options(chosen, name, layout, video, crf, preset),
        size=size,
        time_base=video.time_base,
        rate=video.rate,
        aspect=aspect,
        notes=notes,
    )
    encoding.check()
    return encoding


def _evened(
    size: tuple[int, int], layout: Layout, may_grow: tuple[bool, bool], video: Video, name: str
) -> tuple[int, int]:
    """Width and height with a pixel more where chroma has half of an odd number, and that is allowed."""
    odd = [half and side % 2 == 1 for side, half in zip(size, _halved(layout), strict=True)]
    if any(one and not grows for one, grows in zip(odd, may_grow, strict=True)):
        (width, height), even = video.as_shown(size), [side + side % 2 for side in video.as_shown(size)]
        raise OutputError(
            f"{name} needs even sides where colour has half the resolution, unlike {width}×{height}; "
            f"choose --size {even[0]}x{even[1]} --fit exact, or --codec ffv1 and an output ending in .mkv."
        )
    return size[0] + odd[0], size[1] + odd[1]


def _layout_for(video: Video, codec: Codec, name: str) -> Layout:
    """The encoder's smallest format that holds the source's values; else the one that holds most bits."""
    there = {form.name for form in library().Codec(codec.encoder, "w").video_formats}
    source = video.layout
    deeper = [bits for bits in _DEPTHS if bits >= source.bits]
    shallower = [bits for bits in reversed(_DEPTHS) if bits < source.bits]
    families = [[(source.family, "444")], [("yuv", "444")]]
    if source.family == "yuv":
        families = [[("yuv", chroma) for chroma in _CHROMAS[source.chroma]]]
    elif source.family == "grey" and source.has_alpha:
        families = [[("rgb", "444")], [("yuv", "444")]]
    elif source.family == "grey":
        families = [[("grey", "444")], [("yuv", "420"), ("yuv", "422")]]
    families += [[("yuv", "420")]]  # all that AV1 has
    for alike in families:
        for bits in (*deeper, *shallower):
            for family, chroma in alike:
                layout = Layout(family, bits, chroma, source.has_alpha)
                if layout.name in there:
                    return layout
    raise OutputError(f"{name} holds no transparency; choose --codec ffv1, or prores in .mov or .mkv.")


def _losses(video: Video, codec: Codec, layout: Layout) -> tuple[str, ...]:
    source, notes = video.layout, []
    if layout.bits < source.bits:
        notes.append(f"{source.bits} bits become {layout.bits}, the most that {codec.encoder} takes")
    if layout.chroma == "420" and source.chroma != "420" and source.family != "grey":
        notes.append(f"colour at full resolution becomes 4:2:0, the only one of {codec.encoder}")
    if video.light and not video.light.options(codec.encoder):
        notes.append(
            f"mastering display and light levels are not kept: {codec.encoder} has no place for them"
        )
    return tuple(notes)


def _options(
    codec: Codec, name: str, layout: Layout, video: Video, crf: int | None, preset: str | None
) -> dict[str, str]:
    if codec.crf is None and (crf is not None or preset is not None):
        raise ConfigError(f"--crf and --preset are for h264, hevc and av1, not for {name}.")
    if crf is not None and not 0 <= crf <= codec.most_crf:
        raise ConfigError(f"crf of {name} is from 0 (best) to {codec.most_crf}, not {crf}.")
    if preset is not None and preset not in codec.presets:
        raise ConfigError(f"preset of {name} is one of {', '.join(codec.presets)}, not {preset!r}.")
    if name == "ffv1":
        return {"level": "3", "slicecrc": "1", "g": "1"}  # slices as the size allows
    if name == "prores":
        return {"profile": _PRORES_PROFILES[layout.name], "vendor": "apl0"}
    options = {"crf": str(codec.crf if crf is None else crf), "preset": preset or codec.preset or ""}
    light = video.light.options(codec.encoder)
    own = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}[codec.encoder]
    quiet = "log-level=none:frame-threads=2" if name == "hevc" else ""
    if parameters := ":".join(part for part in (quiet, light) if part):
        options[own] = parameters
    return options


def _halved(layout: Layout) -> tuple[bool, bool]:
    """Whether chroma has half the columns, and half the rows."""
    return layout.chroma in ("420", "422"), layout.chroma in ("420", "440")
