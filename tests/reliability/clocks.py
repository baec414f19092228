"""Films whose clock jumps: parts with a flash and a click at known times, joined in many ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np

from tests.films import ffmpeg

FLASHES = (0.4, 1.2)
"""When each part flashes and clicks, in seconds."""
SECONDS = 1.6
"""How long a part lasts: 40 frames at 25 per second."""

MPEG2 = ("-c:v", "mpeg2video", "-q:v", "4", "-g", "12", "-bf", "2")
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "12", "-bf", "3")


def part(
    path: Path,
    *options: object,
    picture: Sequence[object] = H264,
    sound: Sequence[object] = ("-c:a", "ac3"),
    flashes: Sequence[float] = FLASHES,
    seconds: float = SECONDS,
    sound_seconds: float | None = None,
    rate: str = "25",
) -> Path:
    """Write a film that flashes and clicks at the same times. sound: () for none."""
    marked = "+".join(f"between(T,{t - 0.001},{t + 0.079})" for t in flashes)
    image = f"testsrc2=size=64x48:rate={rate}:duration={seconds}"
    inputs = ["-f", "lavfi", "-i", f"{image},geq=lum='if({marked},255,lum(X,Y)/4)':cb=128:cr=128"]
    if sound:
        clicks = f"0.8*sin(2000*t)*min(1,{marked.replace('T,', 't,')})"
        length = sound_seconds or seconds
        inputs += ["-f", "lavfi", "-i", f"aevalsrc='{clicks}':s=48000:d={length}"]
    ffmpeg(*inputs, *picture, *sound, *options, f"file:{path}")
    return path


def joined(path: Path, *parts: Path | bytes) -> Path:
    """Join parts byte by byte, as `cat` and `copy /b` do."""
    path.write_bytes(b"".join(p if isinstance(p, bytes) else p.read_bytes() for p in parts))
    return path


def jumping(source: Path, path: Path, jumps: Mapping[int, tuple[int, int]]) -> Path:
    """Copy an MPEG transport stream and let clocks of its tracks jump.

    jumps: by the number of the track's packets (256 for the picture, 257 for the sound): the first
    PES packet whose time stamps change, and by how many ticks of 1/90000 s.
    """
    data, counts = bytearray(source.read_bytes()), dict.fromkeys(jumps, 0)
    for at in range(0, len(data), 188):
        number = (data[at + 1] & 31) << 8 | data[at + 2]
        if number not in jumps or not data[at + 1] & 64:
            continue
        begin = at + 4 + (1 + data[at + 4] if data[at + 3] & 32 else 0)
        first, ticks = jumps[number]
        if counts[number] >= first:
            for field in range({2: 1, 3: 2}.get(data[begin + 7] >> 6, 0)):
                _add(data, begin + 9 + 5 * field, ticks)
        counts[number] += 1
    path.write_bytes(data)
    return path


def _add(data: bytearray, at: int, ticks: int) -> None:
    """Add to a time stamp of 33 bits in five bytes."""
    high, middle, low = data[at] >> 1 & 7, data[at + 1] << 7 | data[at + 2] >> 1, 0
    low = data[at + 3] << 7 | data[at + 4] >> 1
    stamp = ((high << 30 | middle << 15 | low) + ticks) % 2**33
    data[at] = data[at] & 0xF1 | (stamp >> 30) << 1
    data[at + 1 : at + 3] = ((stamp >> 15 & 0x7FFF) << 1 | 1).to_bytes(2, "big")
    data[at + 3 : at + 5] = ((stamp & 0x7FFF) << 1 | 1).to_bytes(2, "big")


def flash_times(path: Path) -> list[float]:
    """Return when a film begins to be bright, in seconds on its clock."""
    with av.open(f"file:{path}") as container:
        frames = list(container.decode(container.streams.video[0]))
        bright = [frame.to_ndarray(format="gray").mean() > 150 for frame in frames]
        times = [float(frame.pts * frame.time_base) for frame in frames]
    return [t for t, now, before in zip(times, bright, [False, *bright]) if now and not before]


def click_times(path: Path) -> list[float]:
    """Return when the sound of a film begins to be loud, in seconds on its clock."""
    arguments = ("-map", "0:a:0", "-ac", "1", "-af", "aresample=8000:async=1:first_pts=0")
    raw = ffmpeg("-i", f"file:{path}", *arguments, "-f", "f32le", "-")
    loud = np.flatnonzero(np.abs(np.frombuffer(raw, np.float32)) > 0.2) / 8000
    return [float(t) for t, before in zip(loud, [-1.0, *loud]) if t - before > 0.15]
