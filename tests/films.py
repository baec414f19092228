"""Make small real films with ffmpeg, and read them back with PyAV."""

import struct
import subprocess
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

METADATA_ERRORS = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
"""Arguments of `av.open` that accept metadata that is not UTF-8, as PyAV 19 does without any."""


def ffmpeg(*arguments, data=None):
    """Run ffmpeg with `data` on its standard input; return its standard output."""
    command = [FFMPEG, "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True)
    return done.stdout


def moving_squares(frames, size, shots=1):
    """Return gray frames, uint8 [t, h, w]: a drifting soft texture, a different one per shot."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    out = []
    for i in range(frames):
        shot = i * shots // frames
        wave = np.sin((x + 2 * i) / (5 + 2 * shot)) + np.cos((y - i) / (7 + 3 * shot))
        out.append(np.clip(60 + 130 * (shot % 2) + 25 * wave, 0, 255))
    return np.stack(out).astype(np.uint8)


def make_film(path, frames=12, rate="16", size=(64, 48), shots=1, sound=False, options=()):
    """Write a film of `moving_squares`, with a 440 Hz tone if `sound` is true; return `path`."""
    images = moving_squares(frames, size, shots)
    seconds = float(frames / Fraction(rate))
    raw = ["-f", "rawvideo", "-pixel_format", "gray", "-video_size", f"{size[0]}x{size[1]}"]
    arguments = [*raw, "-framerate", rate, "-i", "pipe:0"]
    if sound:
        arguments += ["-f", "lavfi", "-t", seconds, "-i", "sine=frequency=440:sample_rate=44100"]
    arguments += ["-pix_fmt", "yuv420p", "-crf", "12", *options, f"file:{path}"]
    ffmpeg(*arguments, data=images.tobytes())
    return path


def packets(path, kind):
    """Return the encoded packets of the first "video" or "audio" track, by `kind`."""
    with av.open(f"file:{path}") as container:
        stream = getattr(container.streams, kind)[0]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def facts(path):
    """Decode a film with PyAV; return its size, rate, frames and duration in seconds.

    The rate is exact if time stamps are evenly spaced; otherwise it is the container's guess.
    """
    with av.open(f"file:{path}") as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        frames = [frame.to_ndarray(format="rgb24") for frame in decoded]
        steps = {int(step) for step in np.diff([frame.pts for frame in decoded])}
        exact = 1 / (steps.pop() * stream.time_base) if len(steps) == 1 else None
        return {
            "size": (stream.width, stream.height),
            "rate": exact or Fraction(stream.guessed_rate),
            "frames": len(frames),
            "images": np.stack(frames),
            "codec": stream.codec_context.name,
            "audio": len(container.streams.audio),
            "duration": Fraction(container.duration or 0, 1_000_000),
        }


def bitmap_subtitle(path):
    """Write a bitmap subtitle (Blu-ray): 8x8 pixels from 0.5 to 1.5 seconds."""

    def segment(time, kind, data):
        return b"PG" + struct.pack(">IIBH", int(time * 90000), 0, kind, len(data)) + data

    def composition(objects, number):
        head = struct.pack(">HHBHBBBB", 64, 48, 0x10, number, 0x80, 0, 0, len(objects))
        return head + b"".join(struct.pack(">HBBHH", o, 0, 0, 4, 4) for o in objects)

    window = struct.pack(">BBHHHH", 1, 0, 4, 4, 8, 8)
    palette = bytes([0, 0, 1, 235, 128, 128, 255])
    run = bytes([0, 0x88, 1, 0, 0]) * 8  # eight pixels of color 1, end of line
    picture = struct.pack(">HBB", 0, 0, 0xC0) + (len(run) + 4).to_bytes(3, "big")
    picture += struct.pack(">HH", 8, 8) + run
    data = segment(0.5, 0x16, composition([0], 0)) + segment(0.5, 0x17, window)
    data += segment(0.5, 0x14, palette) + segment(0.5, 0x15, picture) + segment(0.5, 0x80, b"")
    data += segment(1.5, 0x16, composition([], 1)) + segment(1.5, 0x17, window)
    path.write_bytes(data + segment(1.5, 0x80, b""))
