"""Make docs/sample.mp4: a short film of photographs from scikit-image, aged by our code.

It is gray, 16 fps, with three shots of a moving camera, grain, flicker, scratches, dust, and a
sound track of a few notes.
"""

from __future__ import annotations

import tempfile
import wave
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from oldfilm import media
from oldfilm.stage import FilmInfo
from oldfilm.training.ageing import Ageing, age

RATE = Fraction(16)
WIDTH, HEIGHT, SHOT_FRAMES = 320, 240, 12
AGEING = Ageing(blur=0.5, grain=0.03, flicker=0.03, fading=0.06, scratches=1.0, dust=1.0)
DESTINATION = Path(__file__).resolve().parent.parent / "docs" / "sample.mp4"


def shot(picture: np.ndarray, start: tuple, stop: tuple) -> np.ndarray:
    """Move a camera over `picture` between two views, each (center x, center y, zoom)."""
    frames = []
    for x, y, zoom in np.linspace(start, stop, SHOT_FRAMES):
        scale = zoom * max(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
        matrix = np.float32([[scale, 0, WIDTH / 2 - scale * x], [0, scale, HEIGHT / 2 - scale * y]])
        frames.append(
            cv2.warpAffine(
                picture,
                matrix,
                (WIDTH, HEIGHT),
                flags=cv2.INTER_AREA,
                borderMode=cv2.BORDER_REFLECT,
            )
        )
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    return np.stack(gray)[..., None].astype(np.float32) / 255


def melody(path: Path, seconds: float) -> None:
    """Write a few fading notes as mono 44.1 kHz PCM."""
    rate, note = 44100, 0.375
    time = np.arange(int(seconds * rate)) / rate
    pitches = np.array([262, 330, 392, 523, 392, 330])[(time / note).astype(int) % 6]
    wave_form = np.sin(2 * np.pi * pitches * time) * np.exp(-4 * (time % note)) * 0.4
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((wave_form * 32767).astype("<i2").tobytes())


def main() -> None:
    """Make the sample film."""
    rng = np.random.default_rng(1906)
    shots = [
        shot(data.astronaut(), (215, 150, 1.3), (250, 190, 1.0)),
        shot(data.chelsea(), (200, 140, 1.0), (245, 150, 1.25)),
        shot(data.coffee(), (330, 215, 1.4), (290, 200, 1.1)),
    ]
    frames = np.concatenate([age(frames, AGEING, rng) for frames in shots])
    info = FilmInfo(WIDTH, HEIGHT, RATE, len(frames), channels=1)
    with tempfile.TemporaryDirectory() as folder:
        silent, sound = Path(folder, "silent.mp4"), Path(folder, "sound.wav")
        melody(sound, float(info.duration))
        with media.Encoder(silent, info, media.EncodeSettings(crf=21)) as encoder:
            for frame in frames:
                encoder.write(frame)
        media.mux(silent, None, DESTINATION, RATE, audio=sound)
    print(DESTINATION)


if __name__ == "__main__":
    main()
