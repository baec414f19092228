"""The two ways in which OldPhoto finds damage and restores: the published networks, and the lite.

Each has `damage(image)`, how likely every pixel is damaged, and `restored(image, mask)`; both take
and give float32 [h, w, c], c 3 (RGB) or 1 (luma), in [0, 1], of any size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from oldfilm.apps.base import Predictor, as_input, as_output
from oldfilm.imaging.inpainting import median_residual, telea_inpaint
from oldfilm.stage import FingerprintValue

DETECTION_SIDE = 256
"""The published detector sees a copy with this shorter side."""

MAPPINGS = {
    "mapping-quality": ["model"],
    "mapping-scratch": ["before_NL", "NL", "after_NL"],
    "mapping-hr": [
        *("before_NL", "NL_scale_1", "res_block_1", "NL_scale_2"),
        *("res_block_2", "NL_scale_3", "after_NL"),
    ],
}
"""The parts of each mapping, in order; those called NL also take where the scratches are."""

LITE_PIXELS = 1 << 20
"""The lite networks see a copy that has no more pixels."""

LEAST_PIXELS = 1 << 16
"""The smallest copy in which damage is sought has half as many to twice as many."""

BESIDE, STRIKING = 5, 0.7
"""Places that look damaged and lie within twice so many pixels are one, and must be likely enough
together: fine texture has places that look like damage too, and more that hardly do. Places at
least as likely as the second are also taken by themselves: a stain on leaves."""


class Certainty(NamedTuple):
    """How likely places must be to be damaged, on average over all of one, and what is striking."""

    together: float
    striking: float


IN_COLOR, OF_ONE_TINT = Certainty(0.86, 0.93), Certainty(0.82, 0.9)
"""A gray or brown print has more often been through something than a photograph in color."""

FEW, MUCH, WITH_MUCH = 0.002, 0.01, Certainty(0.6, 0.75)
"""Where a smaller share of a photograph than the first is found to be damaged, as much of it is
picture as damage, and none is taken; where a larger one than the second, more is likely to be."""

BROAD, SURE, SURE_OF_SMALL = 13, 0.75, 0.9
"""Damage that a disc of so many pixels fits into, in the first of those copies, is only taken for
damage where it is so likely, on average; the last: in a picture too small for a second copy."""

SURE_CREASE_IN_COLOR, SURE_CREASE_OF_ONE_TINT, LONG = 0.89, 0.84, 20
"""How likely a crease must be, on average over its length, and how long, in pixels of the copy. A
rope, a wire or a stalk is like one."""

GRAIN = 0.008, 0.02
"""Deviation of the noise (in [0, 1]) up to which a picture outside its damage is left as it is, and
from which it is what the lite network makes of it."""

FADED, LEVELS = (0.12, 0.9), (0.02, 0.98)
"""A photograph whose blacks are brighter and whose whites are darker may be faded, and if it is of
one tint too it is brought to these levels."""

ONE_TINT = 0.03
"""Nine tenths of a print of one tint, gray or brown, differ by no more in red and blue from what
else is as bright. Of color photographs that look faded, most were taken in haze."""


class OldPhotoPart(Predictor):
    """One file of weights: a network that is no stage by itself."""

    name = "OldPhoto"
    config = "old_photo"

    def __init__(self, published: str, variant: str, device: str | None) -> None:
        """published: the variant of `configs/old_photo.yaml` that it is; variant: "auto" or one."""
        self.published = published
        super().__init__(variant=variant, device=device)


class Published:
    """The global restoration of Wan et al., as microsoft/Bringing-Old-Photos-Back-to-Life has it.

    Two things are otherwise there: sides that the networks do not take are resized, here they are
    padded, so that the size stays; and every result is stretched to the full range from black to
    white, here it is not, as films would pump.
    """

    certain = 0.4
    """How likely damage is to be taken for damage."""

    def __init__(self, parts: Sequence[OldPhotoPart]) -> None:
        """parts: of `files`, in that order."""
        self.parts = parts
        self._mapping_name = parts[1].variant
        self._patches = self._mapping_name == "mapping-hr"
        # The largest patch has 8 features a side, of 4 pixels each.
        self._multiple = 32 if self._patches else 16

    @staticmethod
    def files(with_scratch: bool, hr: bool) -> list[str]:
        """The variants of `configs/old_photo.yaml` that it takes."""
        if not with_scratch:
            return ["vae-a-quality", "mapping-quality", "vae-b-quality"]
        mapping = "mapping-hr" if hr else "mapping-scratch"
        return ["vae-a-quality", mapping, "vae-b-scratch", "detection"]

    def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        """How likely every pixel is scratched: float32 [h, w]. in_film: makes no difference."""
        luma = _luma(image)
        height, width = luma.shape
        size = [
            16 * max(1, round(s / min(luma.shape) * DETECTION_SIDE / 16)) for s in (width, height)
        ]
        small = cv2.resize(luma * 2 - 1, size, interpolation=cv2.INTER_LINEAR)
        (logits,) = self.parts[3].graph(luma=(1, 1, None, None))(small[None, None])
        likely = _sigmoid(logits[0, 0])
        return cv2.resize(likely, (width, height), interpolation=cv2.INTER_NEAREST)

    def widened(self, mask: np.ndarray) -> np.ndarray:
        """The mask as the mapping wants it."""
        return cv2.dilate(mask, np.ones((3, 3)), iterations=3) if self._patches else mask

    def restored(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The picture without its age; what is masked (1) is filled."""
        height, width, channels = image.shape
        image = _padded(np.where(mask[..., None] > 0, np.float32(1), image), self._multiple)
        mask = _padded(mask[..., None], self._multiple)[..., 0]
        shape = (1, 3, None, None)
        encoder, _, decoder = self.parts[:3]
        (features,) = encoder.graph("encoder", image=shape)(as_input(image) * 2 - 1)
        mapped = self._mapped(features, mask[None, None])
        decode = decoder.graph("decoder", features=(1, features.shape[1], None, None))
        return as_output((decode(mapped)[0] + 1) / 2, channels)[:height, :width]

    def toned(self, image: np.ndarray) -> np.ndarray:
        """The picture as it is: the networks undo fading too."""
        return image

    def _mapped(self, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Features of a clean photograph, from those of an old one and its scratches."""
        mapping = self.parts[1]
        for name in MAPPINGS[self._mapping_name]:
            if name == "NL" and not mask.any():
                continue  # It changes nothing then, and takes most of the time.
            if name.startswith("NL"):
                (features,) = mapping.graph(name, export=False)(features, mask)
            else:
                shape = (1, features.shape[1], None, None)
                (features,) = mapping.graph(name, features=shape)(features)
        return features

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """What decides its pictures: every file."""
        return _identity(self.parts)


class Lite:
    """The lite networks, used as far as there is need.

    What is damaged is filled. The rest is left as it is, unless noise is measured in it. A large
    picture is restored in a smaller copy, and only what changed there is enlarged.
    """

    certain = 0.4
    """How likely damage is to be taken for damage, where it is likelier on the whole."""

    reach = 2
    """Pixels of the small copy by which a mask is widened: what is beside damage is not clean."""

    def __init__(self, part: OldPhotoPart) -> None:
        self._part = part
        self._multiple = 1 << len(part.weights.variant.settings["widths"])

    def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        """How likely every pixel is damaged: float32 [h, w].

        As it is seen in a copy, or in smaller ones: what is large, a stain or a hole, only shows
        as a whole in those. in_film: other frames will tell what of it is damage, and there are no
        creases; else how sure it must be depends on how much of the picture is found (`FEW`,
        `MUCH`) and on its colors.
        """
        small = _small(image).reshape(*_small_size(*image.shape[:2]), -1)
        sure = SURE if math.prod(small.shape[:2]) >= 2 * LEAST_PIXELS else SURE_OF_SMALL
        likely = self._taken(self._damage(small), sure, image, in_film)
        if not in_film:  # a print was bent, a film was not
            sure = SURE_CREASE_OF_ONE_TINT if _of_one_tint(image) else SURE_CREASE_IN_COLOR
            creases = _where_long(self._creases(small), self.certain, sure)
            likely = np.maximum(likely, creases)
        return cv2.resize(likely, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    def _damage(self, image: np.ndarray) -> np.ndarray:
        """How likely every pixel is damaged, as it is seen here or in smaller copies."""
        size = image.shape[1::-1]
        likely = self._found("detector", image)
        while math.prod(image.shape[:2]) >= 2 * LEAST_PIXELS:
            half = [max(1, side // 2) for side in image.shape[1::-1]]
            image = _resized(image, half)
            likely = np.maximum(likely, _resized(self._found("detector", image), size))
        return likely

    def _creases(self, image: np.ndarray) -> np.ndarray:
        """How likely every pixel is creased, as it is seen in larger and smaller copies.

        In a small scan, creases are narrower than any that the network has learned.
        """
        height, width = image.shape[:2]
        likely = np.zeros((height, width), np.float32)
        scale = min(2.0, math.sqrt(LITE_PIXELS / (height * width)))
        while scale >= 1 or height * width * scale**2 >= LEAST_PIXELS / 2:
            copy = _resized(image, [max(1, round(side * scale)) for side in (width, height)])
            found = _resized(self._found("creases", copy), (width, height))
            likely = np.maximum(likely, found)
            scale /= math.sqrt(2)
        return likely

    def _taken(
        self, likely: np.ndarray, sure_of_broad: float, image: np.ndarray, in_film: bool
    ) -> np.ndarray:
        """`likely`, but 0 where it is not enough to take it for damage: float32 [h, w]."""

        def taken(sure: Certainty) -> np.ndarray:
            together = _sure_together(likely, self.certain, sure)
            return _sure_where_broad(together, self.certain, sure_of_broad)

        if in_film:
            return taken(OF_ONE_TINT)  # films are for the most part
        found = taken(OF_ONE_TINT if _of_one_tint(image) else IN_COLOR)
        share = (found >= self.certain).mean()
        if share < FEW:
            return np.zeros_like(likely)
        return taken(WITH_MUCH) if share > MUCH else found

    def _found(self, network: str, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        shape = (1, 3, None, None)
        find = self._part.graph(network, image=shape, departures=shape)
        seen = (_padded(one, self._multiple) for one in (image, median_residual(image)))
        (logits,) = find(*map(as_input, seen))
        return _sigmoid(logits[0, 0, :height, :width])

    def widened(self, mask: np.ndarray) -> np.ndarray:
        """The mask with what is beside it."""
        scale = mask.shape[0] / _small_size(*mask.shape)[0]
        side = 2 * math.ceil(self.reach * scale) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        return cv2.dilate(mask, kernel)

    def restored(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The picture with what is masked (1) filled, and without its grain where it has any."""
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
            for row in range(height):  # of a large scan, there is no room for the whole
                result[row] += damaged[row] * (made[row] - result[row])
        return np.clip(result, 0, 1, out=result)

    def _restored_whole(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        height, width, channels = image.shape
        shape = (1, 3, None, None)
        network = self._part.graph("restorer", image=shape, filled=shape, mask=(1, 1, None, None))
        seen, guess, masked = (
            _padded(plane, self._multiple)
            for plane in (image, telea_inpaint(image, mask), mask[..., None])
        )
        (made,) = network(as_input(seen), as_input(guess), masked.transpose(2, 0, 1)[None])
        return as_output(made, channels)[:height, :width]

    def toned(self, image: np.ndarray) -> np.ndarray:
        """A faded print, gray or brown, with its blacks and whites; hues stay."""
        black, white = np.quantile(_luma(image)[::4, ::4], (0.005, 0.995)).tolist()
        if black <= FADED[0] or white >= FADED[1] or white - black < 0.05:
            return image
        if not _of_one_tint(image):
            return image
        low, high = LEVELS
        gain = (high - low) / (white - black)
        leveled = image * gain + (low - black * gain)
        return np.clip(leveled, 0, 1, out=leveled)

    def fingerprint(self) -> Mapping[str, FingerprintValue]:
        """What decides its pictures: its file."""
        return _identity([self._part])


def _sure_together(likely: np.ndarray, certain: float, sure: Certainty) -> np.ndarray:
    """`likely`, but 0 where places near each other are not as likely as `sure`, taken together.

    likely: float32 [h, w].
    """
    side = 2 * BESIDE + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    kept = likely < certain
    for least, enough in ((certain, sure.together), (STRIKING, sure.striking)):
        mask = (likely >= least).astype(np.uint8)
        _, labels = cv2.connectedComponents(cv2.dilate(mask, disc))
        kept |= (mask > 0) & ~_unsure(labels * mask, likely, enough)
    return np.where(kept, likely, np.float32(0))


def _sure_where_broad(likely: np.ndarray, certain: float, sure: float) -> np.ndarray:
    """`likely`, but 0 where damage is broad and not sure: to fill that in error costs most.

    A white shirt is like a hole in the paper. likely: float32 [h, w].
    """
    mask = (likely >= certain).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (BROAD, BROAD))
    _, labels = cv2.connectedComponents(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc))
    doubtful = cv2.dilate(_unsure(labels, likely, sure).astype(np.uint8), disc)
    return np.where(doubtful > 0, np.float32(0), likely)


def _where_long(likely: np.ndarray, certain: float, sure: float) -> np.ndarray:
    """`likely`, but 0 where it is not a sure crease, `LONG` from end to end: float32 [h, w]."""
    mask = (likely >= certain).astype(np.uint8)
    _, labels, found, _ = cv2.connectedComponentsWithStats(mask)
    long = np.hypot(found[:, cv2.CC_STAT_WIDTH], found[:, cv2.CC_STAT_HEIGHT]) >= LONG
    long[0] = False
    kept = long[labels] & ~_unsure(labels, likely, sure)
    return np.where(kept, likely, np.float32(0))


def _unsure(labels: np.ndarray, likely: np.ndarray, sure: float) -> np.ndarray:
    """The places (numbered from 1) that are less likely than `sure`, on average: bool [h, w]."""
    unsure = np.bincount(labels.ravel(), likely.ravel()) < sure * np.bincount(labels.ravel())
    unsure[0] = False
    return unsure[labels]


def noise(image: np.ndarray, mask: np.ndarray) -> float:
    """Standard deviation of the noise of a picture where it is quiet and not masked, in [0, 1].

    Immerkaer's operator (Fast noise variance estimation, 1996), in blocks of 16 pixels of luma, of
    which the quietest twentieth counts: the rest may have detail, a forest nearly everywhere.
    """
    kernel = np.array([(1, -2, 1), (-2, 4, -2), (1, -2, 1)], np.float32)
    luma = _luma(image)
    fine = np.abs(cv2.filter2D(luma, -1, kernel, borderType=cv2.BORDER_REFLECT_101))
    size = max(1, luma.shape[1] // 16), max(1, luma.shape[0] // 16)
    blocks = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
    lit = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    clear = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) == 0
    quiet = blocks[clear & (lit > 0.03) & (lit < 0.97)]  # what is clipped has lost its noise
    return float(np.quantile(quiet, 0.05) * math.sqrt(math.pi / 2) / 6) if quiet.size else 0.0


def _of_one_tint(image: np.ndarray) -> bool:
    if image.shape[2] == 1:
        return True
    small = cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)
    luma = _luma(small)
    apart = small[..., [0, 2]] - luma[..., None]
    level = (luma * 15).astype(int)
    for one in np.unique(level):
        apart[level == one] -= np.median(apart[level == one], axis=0)
    return bool(np.quantile(np.abs(apart).max(axis=2), 0.9) <= ONE_TINT)


def _need(sigma: float) -> np.float32:
    """How much of what the network changes outside the damage is wanted, in [0, 1]."""
    low, high = GRAIN
    return np.float32(np.clip((sigma - low) / (high - low), 0, 1))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logits))


def _luma(image: np.ndarray) -> np.ndarray:
    return image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _small_size(height: int, width: int) -> tuple[int, int]:
    scale = min(1.0, math.sqrt(LITE_PIXELS / (height * width)))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _small(image: np.ndarray) -> np.ndarray:
    height, width = _small_size(*image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _resized(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """An image or a map, [h, w, ...], at another size, (width, height)."""
    smaller = math.prod(size) < math.prod(image.shape[:2])
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=way).reshape(*size[::-1], *image.shape[2:])


def _enlarged(small: np.ndarray, like: np.ndarray) -> np.ndarray:
    size = like.shape[1::-1]
    return cv2.resize(small, size, interpolation=cv2.INTER_CUBIC).reshape(like.shape)


def _padded(image: np.ndarray, multiple: int) -> np.ndarray:
    """[h, w, c] with rows and columns added by reflection up to multiples."""
    below, right = (-side % multiple for side in image.shape[:2])
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="reflect")


def _identity(parts: Sequence[OldPhotoPart]) -> Mapping[str, FingerprintValue]:
    return {
        f"{part.variant} {fact}": value
        for part in parts
        for fact, value in part.fingerprint().items()
    }
