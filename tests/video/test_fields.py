"""Fields as packets of their own (PAFF): no encoder here makes them, so the stream is written by hand."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from escsr.errors import VideoError
from escsr.video.frames import Damage, shown_frames
from escsr.video.source import describe

SIDE = 32
"""Pixels: two macroblocks a row, and a row of them in each field."""


class Bits:
    """Bits in the codes of H.264 (ITU-T H.264, 9.1)."""

    def __init__(self) -> None:
        self.text = ""

    def fixed(self, *pairs: tuple[int, int]) -> Bits:
        """Values, each with its number of bits."""
        self.text += "".join(f"{value:0{count}b}" for value, count in pairs)
        return self

    def golomb(self, *values: int) -> Bits:
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def unit(self, kind: int) -> bytes:
        """A NAL unit of a kind, with its end; none of its bytes look like the start of another."""
        self.text += "1"
        self.text += "0" * (-len(self.text) % 8)
        return b"\0\0\0\1" + bytes([kind]) + int(self.text, 2).to_bytes(len(self.text) // 8)


def stream(progressive: int, interlaced: int) -> bytes:
    """Grey pictures: whole frames, then such of two fields."""
    sequence = Bits().fixed((77, 8), (0, 8), (30, 8)).golomb(0, 0, 2, 1)
    sequence.fixed((0, 1)).golomb(SIDE // 16 - 1, SIDE // 32 - 1).fixed((0b00100, 5))  # fields may be
    picture = Bits().golomb(0, 0).fixed((0, 2)).golomb(0, 0, 0).fixed((0, 3)).golomb(0, 0, 0)
    units = [sequence.unit(0x67), picture.fixed((0, 3)).unit(0x68)]
    for number in range(progressive + interlaced):
        for field in [None] if number < progressive else [0, 1]:
            head = Bits().golomb(0, 7, 0).fixed((number % 16, 4))
            head.fixed((0, 1)) if field is None else head.fixed((1, 1), (field, 1))
            if number == 0:
                head.golomb(0).fixed((0, 2))  # of a key frame
            else:
                head.fixed((0, 1))
            head.golomb(0)
            for _ in range(4 if field is None else 2):  # macroblocks of bare samples
                head.golomb(25)
                head.text += "0" * (-len(head.text) % 8) + "10000000" * 384
            units.append(head.unit(0x65 if number == 0 else 0x61))
    return b"".join(units)


def test_late_fields_of_their_own_are_no_lost_frames(tmp_path: Path) -> None:
    bare, clip = tmp_path / "bare.h264", tmp_path / "clip.mkv"
    bare.write_bytes(stream(40, 6))
    with av.open(str(bare)) as source, av.open(str(clip), "w") as container:
        target = container.add_stream_from_template(source.streams.video[0], opaque=True)
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            ticks = 2 * number if number < 40 else 40 + number
            packet.stream, packet.pts, packet.dts = target, ticks * 20, ticks * 20
            packet.time_base = Fraction(1, 1000)
            container.mux(packet)
    video = describe(clip)
    assert (video.frames, video.is_interlaced) == (40 + 2 * 6, False)
    damage = Damage()
    shown = list(shown_frames(video, damage, deinterlace=True))
    assert [frame.time for frame in shown] == [40 * number for number in range(46)]
    assert damage.notes() == ()
    with pytest.raises(VideoError, match=r"interlaced from 1\.6 s on"):
        list(shown_frames(video, Damage()))
