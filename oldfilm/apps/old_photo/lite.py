"""OldPhoto with the lite networks.

Images are float32 [h, w, c] in [0, 1] of any size, with c = 3 (RGB) or 1 (luma).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from oldfilm.apps.base import as_input, as_output
from oldfilm.apps.old_photo.part import OldPhotoPart, combined_fingerprint, sigmoid
from oldfilm.imaging.color import luma
from oldfilm.imaging.inpainting import median_residual, telea_inpaint
from oldfilm.imaging.resample import pad_to_multiple, resize, scaled_size
from oldfilm.stage import FingerprintValue

LITE_PIXELS = 1 << 20
"""The most pixels of the copy that the lite networks process."""

LEAST_PIXELS = 1 << 16
"""The smallest copy in which damage is detected has between half and twice this many pixels."""


class Certainty(NamedTuple):
    """How likely damage must be, on average over a place, to count as damage.

    together: for nearby places taken together. striking: for the most likely places by themselves.
    """

    together: float
    striking: float


@dataclass(frozen=True)
class DamageThresholds:
    """When the lite detector's findings count as damage. Sizes are pixels of the small copy."""

    nearby: int = 5
    """Places within twice this distance are judged together. Fine texture also has places that look
    like damage, but more that hardly do."""

    striking: float = 0.7
    """Places at least this likely are also judged by themselves, such as a stain on leaves."""

    in_color: Certainty = Certainty(0.86, 0.93)
    of_one_tint: Certainty = Certainty(0.82, 0.9)
    """A gray or brown print is more often damaged than a photograph in color."""

    least_share: float = 0.002
    """If a smaller share of a photograph is found, half of it is not damage: ignore it."""

    large_share: float = 0.01
    with_large_share: Certainty = Certainty(0.6, 0.75)
    """If a larger share is found, or other views confirm what is found, more is likely to be
    damaged: accept less likely places."""

    confirmed: float = 0.3
    """How likely, on average over what is found, every other view of the photograph must find it.
    Damage looks like damage from any side; straw, leaves and fur often do so from one only."""

    little_share: float = 0.004
    confirmed_if_little: float = 0.5
    """The same where a smaller share is found, which is more often wrong."""

    broad: int = 13
    sure_of_broad: float = 0.75
    sure_of_broad_in_small: float = 0.9
    """Damage that holds a disc of `broad` pixels must be this likely. The last is for a photograph
    too small for a second, smaller copy."""

    crease_in_color: float = 0.9
    crease_of_one_tint: float = 0.85
    crease_in_a_second_copy: float = 0.65
    crease_length: int = 20
    """How likely, on average, and how long a crease must be. Ropes, wires and stalks look alike,
    but less often in a second copy of another size."""


THRESHOLDS = DamageThresholds()

GRAIN = 0.008, 0.02
"""Standard deviations of the noise, in [0, 1]. Up to the first, undamaged parts stay unchanged;
from the second, the lite network replaces them."""

FADED, LEVELS = (0.12, 0.9), (0.02, 0.98)
"""A photograph of one tint whose black and white are within FADED is stretched to LEVELS."""

ONE_TINT = 0.03
"""In a gray or brown print, red and blue of nine pixels in ten differ by at most this much from
pixels of the same brightness. Most faded-looking color photographs were taken in haze."""


class View(NamedTuple):
    """A photograph turned by quarter turns counterclockwise, then flipped left to right."""

    turns: int
    flipped: bool

    def of(self, image: np.ndarray) -> np.ndarray:
        """Return the image [h, w, ...] in this view."""
        turned = np.rot90(image, self.turns)
        return np.ascontiguousarray(turned[:, ::-1] if self.flipped else turned)

    def undone(self, image: np.ndarray) -> np.ndarray:
        """Return the original of an image in this view."""
        turned = image[:, ::-1] if self.flipped else image
        return np.ascontiguousarray(np.rot90(turned, -self.turns))


OTHER_VIEWS = View(0, True), View(1, False), View(1, True)


class Lite:
    """The lite networks, used only where a picture needs them.

    Damage is filled. The rest stays unchanged unless it is noisy. A large picture is restored as a
    smaller copy, and only the changes are enlarged.
    """

    certain = 0.4
    """Pixels at least this likely count as damaged, if their place is as likely as required."""

    reach = 2
    """Pixels of the small copy by which a mask is widened: the edges of damage are not clean."""

    def __init__(self, part: OldPhotoPart) -> None:
        self.parts = [part]
        self._part = part
        self._multiple = 1 << len(part.weights.variant.settings["widths"])

    def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        """How likely every pixel is damaged: float32 [h, w].

        The detector sees a small copy and still smaller ones, where a large stain or hole shows as
        a whole. in_film: other frames confirm damage later, and creases are not detected. Otherwise
        the required certainty depends on the colors and on the share of the picture that is found,
        and other views of the photograph must confirm the damage.
        """
        small = _small(image).reshape(*_small_size(*image.shape[:2]), -1)
        if in_film:  # a print was bent, a film was not
            likely = self._judged(self._damage(small), THRESHOLDS.of_one_tint)  # as most films are
        else:
            one_tint = _of_one_tint(image)
            creases = self._long_creases(small, one_tint)
            likely = np.maximum(self._confirmed_damage(small, one_tint), creases)
        return cv2.resize(likely, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    def _confirmed_damage(self, image: np.ndarray, one_tint: bool) -> np.ndarray:
        """Return how likely every pixel of a photograph is damaged; 0 everywhere if in doubt."""
        least = THRESHOLDS
        likely = self._damage(image)
        nothing = np.zeros_like(likely)
        found = self._judged(likely, least.of_one_tint if one_tint else least.in_color)
        share = (found >= self.certain).mean()
        if share < least.least_share:
            return nothing
        if share > least.large_share:
            found = self._judged(likely, least.with_large_share)
        mask = found >= self.certain
        needed = least.confirmed_if_little if mask.mean() < least.little_share else least.confirmed
        views = [likely]
        for view in OTHER_VIEWS:
            views.append(view.undone(self._damage(view.of(image))))
            if views[-1][mask].mean() < needed:
                return nothing
        return self._judged(mean_likelihood(views), least.with_large_share)

    def _damage(self, image: np.ndarray) -> np.ndarray:
        """Return how likely every pixel is damaged, in this copy or in smaller ones."""
        size = image.shape[1::-1]
        likely = self._found("detector", image)
        while math.prod(image.shape[:2]) >= 2 * LEAST_PIXELS:
            half = max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)
            image = resize(image, half)
            likely = np.maximum(likely, resize(self._found("detector", image), size))
        return likely

    def _long_creases(self, image: np.ndarray, one_tint: bool) -> np.ndarray:
        """Return how likely every pixel is creased; 0 outside of long and likely creases."""
        sure = THRESHOLDS.crease_of_one_tint if one_tint else THRESHOLDS.crease_in_color
        return _where_long(*self._creases(image), self.certain, sure)

    def _creases(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how likely every pixel is creased, in larger and smaller copies.

        The largest likelihood, and the second largest. In a small scan, creases are narrower than
        those in the training data.
        """
        height, width = image.shape[:2]
        likely = second = np.zeros((height, width), np.float32)
        scale = min(2.0, math.sqrt(LITE_PIXELS / (height * width)))
        while scale >= 1 or height * width * scale**2 >= LEAST_PIXELS / 2:
            copy = resize(image, scaled_size(width, height, scale))
            found = resize(self._found("creases", copy), (width, height))
            second = np.maximum(second, np.minimum(likely, found))
            likely = np.maximum(likely, found)
            scale /= math.sqrt(2)
        return likely, second

    def _judged(self, likely: np.ndarray, sure: Certainty) -> np.ndarray:
        """Return `likely`, with 0 where it is too low to count as damage: float32 [h, w]."""
        is_small = likely.size < 2 * LEAST_PIXELS
        broad = THRESHOLDS.sure_of_broad_in_small if is_small else THRESHOLDS.sure_of_broad
        return sure_where_broad(sure_together(likely, self.certain, sure), self.certain, broad)

    def _found(self, network: str, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        shape = (1, 3, None, None)
        find = self._part.graph(network, image=shape, departures=shape)
        seen = (pad_to_multiple(one, self._multiple) for one in (image, median_residual(image)))
        (logits,) = find(*map(as_input, seen))
        return sigmoid(logits[0, 0, :height, :width])

    def widened(self, mask: np.ndarray) -> np.ndarray:
        """Return the mask, widened by `reach`."""
        scale = mask.shape[0] / _small_size(*mask.shape)[0]
        side = 2 * math.ceil(self.reach * scale) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        return cv2.dilate(mask, kernel)

    def restored(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the picture with masked pixels (1) filled and grain removed."""
        height, width, channels = image.shape
        need = _need(noise(image, mask))
        if not (need or mask.any()):
            return image
        small = _small(image).reshape(*_small_size(height, width), channels)
        small_mask = (_small(mask) > 0.3).astype(np.float32)
        made = self._restored_whole(small, small_mask)
        result = image + need * _enlarged(made - small, image) if need else image.copy()
        if mask.any():
            made = _enlarged(made, image)
            damaged = cv2.GaussianBlur(mask, (0, 0), 0.7)[..., None]
            for row in range(height):  # row by row: a large scan would need too much memory
                result[row] += damaged[row] * (made[row] - result[row])
        return np.clip(result, 0, 1, out=result)

    def _restored_whole(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        height, width, channels = image.shape
        shape = (1, 3, None, None)
        network = self._part.graph("restorer", image=shape, filled=shape, mask=(1, 1, None, None))
        seen, guess, masked = (
            pad_to_multiple(plane, self._multiple)
            for plane in (image, telea_inpaint(image, mask), mask[..., None])
        )
        (made,) = network(as_input(seen), as_input(guess), masked.transpose(2, 0, 1)[None])
        return as_output(made, channels)[:height, :width]

    def toned(self, image: np.ndarray) -> np.ndarray:
        """Restore black and white of a faded gray or brown print; hues stay the same."""
        black, white = np.quantile(luma(image)[::4, ::4], (0.005, 0.995)).tolist()
        if black <= FADED[0] or white >= FADED[1] or white - black < 0.05:
            return image
        if not _of_one_tint(image):
            return image
        low, high = LEVELS
        gain = (high - low) / (white - black)
        leveled = image * gain + (low - black * gain)
        return np.clip(leveled, 0, 1, out=leveled)

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """Return the fingerprint of the weight file."""
        return combined_fingerprint([self._part])


def sure_together(likely: np.ndarray, certain: float, sure: Certainty) -> np.ndarray:
    """Return `likely`, with 0 where nearby places, judged together, are less likely than `sure`.

    likely: float32 [h, w].
    """
    side = 2 * THRESHOLDS.nearby + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    kept = likely < certain
    for least, enough in ((certain, sure.together), (THRESHOLDS.striking, sure.striking)):
        mask = (likely >= least).astype(np.uint8)
        _, labels = cv2.connectedComponents(cv2.dilate(mask, disc))
        kept |= (mask > 0) & ~_unsure(labels * mask, likely, enough)
    return np.where(kept, likely, np.float32(0))


def sure_where_broad(likely: np.ndarray, certain: float, sure: float) -> np.ndarray:
    """Return `likely`, with 0 where damage is broad but uncertain, and an error would cost most.

    A white shirt looks like a hole in the paper. likely: float32 [h, w].
    """
    mask = (likely >= certain).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (THRESHOLDS.broad, THRESHOLDS.broad))
    _, labels = cv2.connectedComponents(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc))
    doubtful = cv2.dilate(_unsure(labels, likely, sure).astype(np.uint8), disc)
    return np.where(doubtful > 0, np.float32(0), likely)


def mean_likelihood(views: Sequence[np.ndarray]) -> np.ndarray:
    """Return the likelihood whose logit is the mean of those of several views: float32 [h, w]."""
    limited = np.clip(views, 0.001, 0.999)
    return sigmoid(np.log(limited / (1 - limited)).mean(axis=0))


def _where_long(likely: np.ndarray, second: np.ndarray, certain: float, sure: float) -> np.ndarray:
    """Return `likely`, with 0 outside of long and likely creases: float32 [h, w].

    likely, second: how likely creases are in the copies that show them best and second best.
    """
    mask = (likely >= certain).astype(np.uint8)
    _, labels, found, _ = cv2.connectedComponentsWithStats(mask)
    lengths = np.hypot(found[:, cv2.CC_STAT_WIDTH], found[:, cv2.CC_STAT_HEIGHT])
    long = lengths >= THRESHOLDS.crease_length
    long[0] = False
    kept = long[labels] & ~_unsure(labels, likely, sure)
    kept &= ~_unsure(labels, second, THRESHOLDS.crease_in_a_second_copy)
    return np.where(kept, likely, np.float32(0))


def _unsure(labels: np.ndarray, likely: np.ndarray, sure: float) -> np.ndarray:
    """Mark the places (numbered from 1) that are less likely than `sure` on average."""
    unsure = np.bincount(labels.ravel(), likely.ravel()) < sure * np.bincount(labels.ravel())
    unsure[0] = False
    return unsure[labels]


def noise(image: np.ndarray, mask: np.ndarray) -> float:
    """Estimate the standard deviation of the noise, in [0, 1], from quiet unmasked blocks.

    Immerkaer's operator (Fast noise variance estimation, 1996) on luma, in blocks of 16 pixels. The
    quietest twentieth of the blocks counts: the others may contain detail.
    """
    kernel = np.array([(1, -2, 1), (-2, 4, -2), (1, -2, 1)], np.float32)
    gray = luma(image)
    fine = np.abs(cv2.filter2D(gray, -1, kernel, borderType=cv2.BORDER_REFLECT_101))
    size = max(1, gray.shape[1] // 16), max(1, gray.shape[0] // 16)
    blocks = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    lit = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    clear = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) == 0
    quiet = blocks[clear & (lit > 0.03) & (lit < 0.97)]  # what is clipped has lost its noise
    return float(np.quantile(quiet, 0.05) * math.sqrt(math.pi / 2) / 6) if quiet.size else 0.0


def _of_one_tint(image: np.ndarray) -> bool:
    if image.shape[2] == 1:
        return True
    small = cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)
    gray = luma(small)
    apart = small[..., [0, 2]] - gray[..., None]
    level = (gray * 15).astype(int)
    for one in np.unique(level):
        apart[level == one] -= np.median(apart[level == one], axis=0)
    return bool(np.quantile(np.abs(apart).max(axis=2), 0.9) <= ONE_TINT)


def _need(sigma: float) -> np.float32:
    """Return the weight, in [0, 1], of the network's changes outside the damage."""
    low, high = GRAIN
    return np.float32(np.clip((sigma - low) / (high - low), 0, 1))


def _small_size(height: int, width: int) -> tuple[int, int]:
    scale = min(1.0, math.sqrt(LITE_PIXELS / (height * width)))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _small(image: np.ndarray) -> np.ndarray:
    height, width = _small_size(*image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _enlarged(small: np.ndarray, like: np.ndarray) -> np.ndarray:
    return resize(small, like.shape[1::-1], cv2.INTER_CUBIC).reshape(like.shape)
