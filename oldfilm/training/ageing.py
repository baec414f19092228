"""Make clean film look old, for training and for the sample film.

The steps follow the life of a film: it is shot (unsteady light, soft lens), printed (grain),
scratched and soiled, scanned and compressed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Ageing:
    """The strengths of ageing effects. Zero turns an effect off.

    blur: sigma of the lens, in pixels.
    grain: sigma in [0, 1].
    grain_size: sigma of the blur of the grain, in pixels.
    flicker: relative standard deviation of the exposure of a frame.
    fading: how far blacks rise and whites fall, together.
    scratches: expected number that persist, and again per frame that do not.
    dust: expected number of specks per frame.
    quality: of JPEG compression; 100 turns it off.
    """

    blur: float = 0.0
    grain: float = 0.0
    grain_size: float = 0.6
    flicker: float = 0.0
    fading: float = 0.0
    scratches: float = 0.0
    dust: float = 0.0
    quality: int = 100

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float = 1.0) -> Ageing:
        """Draw one at random; `strength` in [0, 1] scales the worst case."""
        return cls(
            blur=strength * rng.uniform(0.0, 1.4),
            grain=strength * rng.uniform(0.0, 0.07),
            grain_size=rng.uniform(0.3, 1.3),
            flicker=strength * rng.uniform(0.0, 0.04),
            fading=strength * rng.uniform(0.0, 0.12),
            scratches=strength * rng.uniform(0.0, 2.0),
            dust=strength * rng.uniform(0.0, 2.0),
            quality=int(100 - strength * rng.uniform(0, 50)),
        )


def age(
    frames: np.ndarray,
    ageing: Ageing,
    rng: np.random.Generator,
    overlays: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Age consecutive frames.

    frames: float32 [t, h, w, c], RGB or luma, in [0, 1]. overlays: pictures of film damage, RGBA
    uint8 [h, w, 4], of which only the alpha is used; one frame in four gets a random one.
    Returns float32 [t, h, w, c] in [0, 1].
    """
    height, width = frames.shape[1:3]
    scratches = [
        (rng.uniform(0, width), rng.uniform(-0.3, 0.3), _depth(rng))
        for _ in range(rng.poisson(ageing.scratches))
    ]
    aged = []
    for frame in tone(frames, ageing, rng):
        image = cv2.GaussianBlur(frame, (0, 0), ageing.blur) if ageing.blur > 0.05 else frame
        image = image.reshape(frame.shape) + _grain((height, width, 1), ageing, rng)
        for start, drift, depth in scratches:
            if rng.random() < 0.8:
                _scratch(image, start + rng.normal(0, 0.7), drift, depth, rng)
        for _ in range(rng.poisson(ageing.scratches)):
            _scratch(image, rng.uniform(0, width), rng.uniform(-0.1, 0.1), _depth(rng), rng)
        for _ in range(rng.poisson(ageing.dust)):
            _speck(image, rng)
        if len(overlays) and rng.random() < 0.25:
            image = _lay_over(image, overlays[rng.integers(len(overlays))], rng)
        aged.append(_compress(np.clip(image, 0, 1).astype(np.float32), ageing.quality))
    return np.stack(aged)


def tone(frames: np.ndarray, ageing: Ageing, rng: np.random.Generator) -> np.ndarray:
    """Apply only the changes of brightness: flicker and fading.

    To train a stage that must keep a film's tones, apply this to the target, and the rest of `age`
    to the input. frames: float32 [t, h, w, c]; returns the same shape, not clipped.
    """
    exposure = 1 + rng.normal(0, ageing.flicker, (len(frames), 1, 1, 1))
    return (ageing.fading / 2 + frames * exposure * (1 - ageing.fading)).astype(np.float32)


def _grain(shape: tuple[int, int, int], ageing: Ageing, rng: np.random.Generator) -> np.ndarray:
    """Blurred Gaussian noise with a sigma of `ageing.grain`."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if ageing.grain_size > 0.05:
        noise = cv2.GaussianBlur(noise, (0, 0), ageing.grain_size).reshape(shape)
        noise /= noise.std() + 1e-6
    return noise * ageing.grain


def _depth(rng: np.random.Generator) -> float:
    """The change of brightness in a scratch, light or dark: many are faint, few are deep."""
    return float(np.exp(rng.uniform(np.log(0.03), np.log(0.5))) * rng.choice([-1, 1]))


def _scratch(
    image: np.ndarray, start: float, drift: float, depth: float, rng: np.random.Generator
) -> None:
    """Add a thin, nearly vertical line over part of the height.

    drift: sideways movement over a tenth of the height, in pixels.
    """
    height, width = image.shape[:2]
    top, bottom = sorted(rng.uniform(-0.5, 1.5, 2) * height)
    rows = np.arange(max(int(top), 0), min(int(bottom), height))
    columns = start + drift * 10 * rows / height
    offsets = np.arange(-2, 3)
    positions = np.round(columns).astype(int)[:, None] + offsets
    profile = depth * np.exp(-((positions - columns[:, None]) ** 2) / 0.6)
    inside = (positions >= 0) & (positions < width)
    row_grid = np.broadcast_to(rows[:, None], positions.shape)
    image[row_grid[inside], positions[inside]] += profile[inside][:, None]


def _speck(image: np.ndarray, rng: np.random.Generator) -> None:
    """Add a grain of dust (dark) or a hole in the emulsion (bright)."""
    height, width = image.shape[:2]
    axes = rng.uniform(0.5, max(2.5, height / 80), 2)
    center = (int(rng.integers(width)), int(rng.integers(height)))
    mask = np.zeros((height, width), np.float32)
    size = tuple(int(round(a)) for a in axes)
    cv2.ellipse(mask, center, size, float(rng.uniform(0, 180)), 0, 360, 1.0, -1, cv2.LINE_AA)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.5)[..., None]
    image += mask * (rng.choice([0.05, 0.95]) - image)


def _lay_over(image: np.ndarray, overlay: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay film damage over a picture, turned, mirrored and scaled to its size."""
    height, width = image.shape[:2]
    turned = np.rot90(overlay, rng.integers(4))
    turned = turned[:, :: rng.choice([-1, 1])]
    scaled = (
        cv2.resize(turned, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    )
    alpha = scaled[..., 3:] * rng.uniform(0.4, 1.0)
    return image + alpha * (rng.choice([0.05, 0.95]) - image)


def _compress(image: np.ndarray, quality: int) -> np.ndarray:
    if quality >= 100:
        return image
    stored = np.round(image * 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    flag = cv2.IMREAD_COLOR if image.shape[2] == 3 else cv2.IMREAD_GRAYSCALE
    return cv2.imdecode(coded, flag).reshape(image.shape).astype(np.float32) / 255
