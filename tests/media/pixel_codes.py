"""Pictures in the RGB and gray pixel formats of ffmpeg, as raw bytes and as what they show."""

from __future__ import annotations

import re

import numpy as np

WIDTH, HEIGHT = 256, 4


def picture(name: str) -> tuple[bytes, np.ndarray]:
    """Return a frame in the pixel format `name`, and its colors: float [4, 256, 3] or [.., 1]."""
    order = "<" if not name.endswith("be") else ">"
    base = re.sub("(le|be)$", "", name)
    for pattern, make in _LAYOUTS.items():
        if match := re.fullmatch(pattern, base):
            return make(match, order)
    raise ValueError(name)


def _ramps(*bits: int) -> list[np.ndarray]:
    """Return a ramp of code values for each channel: up, down, and shifted."""
    x = np.arange(WIDTH)
    shapes = [x, x[::-1], np.roll(x, 77)]
    ramps = [shape * (2**n - 1) // (WIDTH - 1) for shape, n in zip(shapes, bits)]
    return [np.broadcast_to(ramp, (HEIGHT, WIDTH)) for ramp in ramps]


def _shown(ramps, *bits):
    return np.stack([ramp / (2**n - 1) for ramp, n in zip(ramps, bits)], -1)


def _samples(codes, bits, order):
    return codes.astype(f"{order}u{1 if bits <= 8 else 2 if bits <= 16 else 4}").tobytes()


def _planar(match, order):
    alpha, bits = match[1], int(match[2] or 8)
    ramps = _ramps(bits, bits, bits)
    planes = [ramps[1], ramps[2], ramps[0]] + [np.full((HEIGHT, WIDTH), 2**bits - 1)] * bool(alpha)
    return b"".join(_samples(p, bits, order) for p in planes), _shown(ramps, bits, bits, bits)


def _packed(match, order):
    letters, total = match[1], int(match[2] or 0)
    bits = 16 if total in (48, 64) else 8
    red, green, blue = ramps = _ramps(bits, bits, bits)
    full = np.full((HEIGHT, WIDTH), 2**bits - 1)
    channels = {"r": red, "g": green, "b": blue, "a": full, "0": 0 * full}
    codes = np.stack([channels[letter] for letter in letters], -1)
    return _samples(codes, bits, order), _shown(ramps, bits, bits, bits)


def _word(match, order):
    letters, bits = match[1], [int(digit) for digit in match[2]]
    return _in_one_word(letters, bits, order)


def _byte(match, order):
    bits = {"rgb8": (3, 3, 2), "bgr8": (2, 3, 3)}.get(match[0], (1, 2, 1))
    return _in_one_word(match[1], bits, order)


def _in_one_word(letters, bits, order):
    by_letter = dict(zip(letters, bits))
    ramps = dict(zip("rgb", _ramps(*(by_letter[letter] for letter in "rgb"))))
    word = np.zeros((HEIGHT, WIDTH), np.int64)
    for letter in letters:
        word = word << by_letter[letter] | ramps[letter]
    shown = _shown([ramps[letter] for letter in "rgb"], *(by_letter[letter] for letter in "rgb"))
    return _samples(word, sum(bits), order), shown


def _gray(match, order):
    alpha, bits = match[1] == "ya", int(match[2] or 8)
    ramp = _ramps(bits)[0]
    codes = np.stack([ramp, np.full_like(ramp, 2**bits - 1)][: 1 + alpha], -1)
    return _samples(codes, bits, order), _shown([ramp], bits)


def _mono(match, order):
    white = np.broadcast_to(np.arange(WIDTH) // 3 % 2, (HEIGHT, WIDTH)).astype(np.uint8)
    stored = white if match[0] == "monob" else 1 - white
    return np.packbits(stored, axis=1).tobytes(), white[..., None].astype(float)


def _float(match, order):
    ramps = _ramps(12, 12, 12)
    shown = _shown(ramps, 12, 12, 12)
    planes = [shown[..., i].astype(f"{order}f4").tobytes() for i in (1, 2, 0)]
    return b"".join(planes), shown


def _palette(match, order):
    colors = np.random.default_rng(0).integers(0, 256, (256, 3))
    codes = np.broadcast_to(np.arange(WIDTH), (HEIGHT, WIDTH))
    palette = np.concatenate([colors[:, ::-1], np.full((256, 1), 255)], 1)
    return codes.astype(np.uint8).tobytes() + palette.astype(np.uint8).tobytes(), colors[
        codes
    ] / 255


_LAYOUTS = {
    r"gbr(a?)p(\d*)": _planar,
    r"(rgb|bgr)(24|48)": _packed,
    r"(rgba|bgra|argb|abgr|0rgb|rgb0|0bgr|bgr0)(64)?": _packed,
    r"(rgb|bgr)(444|555|565)": _word,
    r"(rgb|bgr)(8|4_byte)": _byte,
    r"(gray|ya)(\d*)": _gray,
    r"mono[wb]": _mono,
    r"gbrpf32": _float,
    r"pal8": _palette,
}
