"""The finished segments and the source's other streams become one file; nothing is encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from escsr.errors import OutputError, VideoError
from escsr.files import atomic_path
from escsr.video.encoding import Encoding
from escsr.video.kinds import Container
from escsr.video.library import library, words_of
from escsr.video.segments import Segment
from escsr.video.source import Video, opened, time_of, video_stream

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

__all__ = ["check_streams", "join"]

_OF_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
_OF_STREAM = ("bps", "duration", "number_of_frames", "number_of_bytes", "_statistics", "encoder")
"""Tags that describe the source's bytes, by how their names begin; the result's are others."""


@dataclass(frozen=True)
class _Timed:
    """A packet of the upscaled stream, in the order of decoding, with its times in the source's ticks."""

    packet: Packet[Any]
    pts: int
    dts: int
    duration: int


def check_streams(path: Path, container: Container, target: Path) -> tuple[str, ...]:
    """Looks whether a container can hold a source's other streams.

    Args:
        path: The source.
        container: Of the result.
        target: The result, for messages.

    Returns:
        What cannot be kept, in words: streams of unknown data.

    Raises:
        VideoError: The source cannot be opened, or holds no video.
        OutputError: Sound, subtitles or attachments cannot be held.
    """
    notes = []
    with opened(path) as source:
        upscaled = video_stream(source, path).index
        for stream in source.streams:
            if stream.index == upscaled or _is_made_anew(stream, source):
                continue
            if not _is_held(stream, container):
                what = f"stream {stream.index} ({stream.type}{f', {stream.name}' if stream.name else ''})"
                if stream.type in ("data", "unknown"):
                    notes.append(f"{what} cannot be held by {container.name} and is left out")
                    continue
                advice = "name the output .mkv"
                if container.name == "Matroska":
                    codec = "-c:s srt" if stream.type == "subtitle" else "-c:a flac"
                    advice = (
                        f"convert it first, like: ffmpeg -i {path.name} -c copy {codec} {path.stem}.mkv"
                    )
                raise OutputError(
                    f"{target}: {container.name} cannot hold {what} of {path.name}; {advice}."
                )
    return tuple(notes)


def join(
    video: Video,
    segments: Mapping[int, Segment],
    target: Path,
    encoding: Encoding,
    container: Container,
) -> None:
    """Writes the result: the segments' packets at the source's times, all other packets as they are.

    Args:
        video: The source.
        segments: All of them, by number.
        target: The result; it appears when it is whole.
        encoding: Of the segments.
        container: Of the result.

    Raises:
        OutputError: It cannot be written.
    """
    ordered = [segments[number] for number in sorted(segments)]
    av = library()
    with atomic_path(target) as temporary, opened(video.path) as source, opened(ordered[0].path) as first:
        try:
            with av.open(
                str(temporary), "w", format=container.muxer, options=_muxer_options(video, container)
            ) as out:
                outputs = _add_streams(out, source, first.streams.video[0], video, encoding, container)
                _copy_about(out, source)
                _mux_all(out, outputs, source, _timed(ordered, video), video)
        except (av.error.FFmpegError, ValueError) as error:
            raise OutputError(
                f"Cannot write {target}: {words_of(error)}. The upscaled parts are kept: make room, and "
                "run the same command again."
            ) from error


def _muxer_options(video: Video, container: Container) -> dict[str, str]:
    if container.muxer in ("mp4", "mov"):
        return {"video_track_timescale": str(video.time_base.denominator)}
    return {}


def _add_streams(
    out: OutputContainer,
    source: InputContainer,
    encoded: Stream,
    video: Video,
    encoding: Encoding,
    container: Container,
) -> dict[int, Stream]:
    """The result's streams by the index of the source's, in the same order."""
    outputs: dict[int, Stream] = {}
    for stream in source.streams:
        if stream.index == video.index:
            outputs[stream.index] = _upscaled_stream(out, encoded, stream, video, encoding, container)
        elif _is_cover(stream) and container.name == "Matroska":
            _attach_cover(out, video.path, stream)
        elif not _is_made_anew(stream, source) and _is_held(stream, container):
            outputs[stream.index] = _added(out, stream)
    return outputs


def _upscaled_stream(
    out: OutputContainer,
    encoded: Stream,
    stream: Stream,
    video: Video,
    encoding: Encoding,
    container: Container,
) -> Stream:
    result: Any = out.add_stream_from_template(encoded, opaque=True)
    result.time_base = video.time_base
    context = result.codec_context
    context.framerate, context.sample_aspect_ratio = encoding.rate, encoding.aspect
    if encoding.name == "hevc" and container.muxer in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # without which Apple's players show nothing
    result.set_display_matrix(video.matrix)
    _describe(result, stream)
    return result


def _added(out: OutputContainer, stream: Stream) -> Stream:
    result = out.add_stream_from_template(stream, opaque=True)
    result.time_base = stream.time_base
    _describe(result, stream)
    return result


def _describe(result: Stream, stream: Stream) -> None:
    result.disposition = stream.disposition
    result.metadata.update(
        {
            name: value
            for name, value in _texts(stream.metadata).items()
            if stream.type == "attachment" or not name.lower().startswith(_OF_STREAM)
        }
    )


def _copy_about(out: OutputContainer, source: InputContainer) -> None:
    about = _texts(source.metadata)
    out.metadata.update({k: v for k, v in about.items() if k.lower() not in _OF_FILE})
    if chapters := source.chapters():
        for chapter in chapters:
            chapter["metadata"] = _texts(chapter["metadata"])
        out.set_chapters(chapters)


def _texts(tags: Mapping[str, str]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in tags.items()}


def _text(value: str) -> str:
    """A tag as text: bytes that are not UTF-8 are taken for Latin-1, in which old programs write."""
    raw = value.encode(errors="surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & library().stream.Disposition.attached_pic)


def _attach_cover(out: OutputContainer, path: Path, stream: Stream) -> None:
    """Matroska keeps a cover as an attachment; copied as a stream it would be a second video."""
    tags = _texts(stream.metadata)
    with opened(path) as again:
        for packet in again.demux(again.streams[stream.index]):
            if packet.size:
                name = tags.get("filename") or f"cover.{'png' if stream.name == 'png' else 'jpg'}"
                kind = tags.get("mimetype") or f"image/{'png' if stream.name == 'png' else 'jpeg'}"
                out.add_attachment(name, kind, bytes(packet))
                return


def _is_made_anew(stream: Stream, source: InputContainer) -> bool:
    """Whether a stream is where QuickTime has chapters or the timecode; muxers write both from tags."""
    is_chapters = stream.name == "bin_data" and 0 < stream.frames == len(source.chapters())
    return stream.type == "data" and (is_chapters or "timecode" in stream.metadata)


def _is_held(stream: Stream, container: Container) -> bool:
    """Whether a container takes a stream: a header with it alone is written into memory."""
    if container.name == "Matroska" and (stream.type == "attachment" or _is_cover(stream)):
        return True
    av = library()
    try:
        with av.open(BytesIO(), "w", format=container.muxer) as out:
            _added(out, stream)
            out.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _timed(segments: Sequence[Segment], video: Video) -> Iterator[_Timed]:
    """All packets of the segments; times of decoding follow from those of presentation.

    A packet is decoded when the frame that is shown so many frames earlier is, as encoders do it; so times
    rise across segments, whatever their frames' times are. MP4 takes duration and rate from the times of
    decoding and the last packet's duration. So the first packets, which have no such frame, are decoded
    ahead by the steps of the last frames, and the last packet lasts as long as the last frame.
    """
    times = [time for segment in segments for time in segment.times]
    durations = [after - before for before, after in pairwise(times)] + [video.last_duration]
    places = [_places(segment) for segment in segments]
    # By how many frames decoding must be ahead of presentation.
    delay = max(index - place for part in places for index, place in enumerate(part))
    start = 0
    count = 0
    for segment, order in zip(segments, places, strict=True):
        with opened(segment.path) as part:
            for packet, place in zip(_packets_of(part), order, strict=True):
                shown = start + place
                ahead = times[-1] - times[count - delay - 1] if count < delay else 0
                decoded = times[max(0, count - delay)] - ahead
                count += 1
                duration = durations[shown] if count < len(times) else video.last_duration
                yield _Timed(packet, times[shown], decoded, duration)
        start += len(segment.times)


def _packets_of(part: InputContainer) -> Iterator[Packet[Any]]:
    """A segment's packets, one at a time: all of them may be more than the memory holds."""
    return (packet for packet in part.demux(part.streams.video[0]) if packet.size)


def _places(segment: Segment) -> list[int]:
    """The places of a segment's packets in the order they are shown."""
    with opened(segment.path) as part:
        shown = [packet.pts or 0 for packet in _packets_of(part)]
    if len(shown) != len(segment.times):
        raise VideoError(
            f"{segment.path}: {len(shown)} frames in it instead of {len(segment.times)}; delete "
            f"{segment.path.parent} and run the command again."
        )
    places = [0] * len(shown)
    for place, index in enumerate(sorted(range(len(shown)), key=shown.__getitem__)):
        places[index] = place
    return places


def _mux_all(
    out: OutputContainer,
    outputs: Mapping[int, Stream],
    source: InputContainer,
    upscaled: Iterator[_Timed],
    video: Video,
) -> None:
    """Muxes all packets in the order of their times, which the muxer needs not to hold many back."""
    target = outputs[video.index]
    waiting = next(upscaled, None)
    others = [
        stream for stream in source.streams if stream.index in outputs and stream.index != video.index
    ]
    copied = (stream for stream in others if stream.type != "attachment")
    for packet in _packets(source, list(copied)):
        at = _seconds_of(packet)
        while waiting is not None and waiting.dts * video.time_base <= at:
            _mux(out, waiting, target, video.time_base)
            waiting = next(upscaled, None)
        packet.stream = outputs[packet.stream_index]
        out.mux(packet)
    while waiting is not None:
        _mux(out, waiting, target, video.time_base)
        waiting = next(upscaled, None)


def _packets(source: InputContainer, streams: list[Stream]) -> Iterator[Packet[Any]]:
    if not streams:
        return
    for packet in source.demux(streams):
        if packet.size or packet.pts is not None or packet.dts is not None:
            yield packet


def _seconds_of(packet: Packet[Any]) -> Fraction:
    time = packet.dts if packet.dts is not None else time_of(packet)
    return Fraction(0) if time is None else time * packet.time_base


def _mux(out: OutputContainer, timed: _Timed, stream: Stream, time_base: Fraction) -> None:
    packet = timed.packet
    packet.stream, packet.time_base = stream, time_base
    packet.pts, packet.dts, packet.duration = timed.pts, timed.dts, timed.duration
    out.mux(packet)
