"""Tests of OldPhoto with small networks in place of the published ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from oldfilm.errors import OptionError, WeightsError
from oldfilm.weights import model
from tests.parity import formula

paddle = pytest.importorskip("paddle")

from oldfilm.apps.base import build_network  # noqa: E402
from oldfilm.apps.old_photo.lite import (  # noqa: E402
    LEAST_PIXELS,
    LITE_PIXELS,
    OTHER_VIEWS,
    Lite,
    View,
    noise,
)
from oldfilm.apps.old_photo.predictor import OldPhotoPredictor  # noqa: E402
from tests.apps import tiny  # noqa: E402

MAPPING = {"channels": 8, "most": 16}
SMALL = {
    "detection": ({"width": 4}, 2.0),
    "vae-a-quality": ({"channels": 8}, 1.4),
    "vae-b-quality": ({"channels": 8}, 1.3),
    "vae-b-scratch": ({"channels": 8}, 1.5),
    "mapping-quality": (MAPPING, 1.4),
    "mapping-scratch": (MAPPING, 1.4),
    "mapping-hr": (MAPPING, 1.4),
    "lite": ({"widths": (4, 6, 8)}, 1.0),
}
"""Settings of each network, and the gain of its pseudo-random weights."""

MODES = [
    {},
    {"with_scratch": True},
    {"with_scratch": True, "hr": True},
]


@pytest.fixture(scope="module")
def networks() -> dict[str, paddle.nn.Layer]:
    made = {}
    for name, (settings, gain) in SMALL.items():
        network = build_network(model("old_photo").variant(name).network, settings)
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        network.set_state_dict(formula.weights(shapes, gain))
        network.eval()
        made[name] = network
    return made


@pytest.fixture(autouse=True)
def _installed(
    networks: dict[str, paddle.nn.Layer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Install small networks in place of the published ones."""
    variants = {
        name: (SMALL[name][0], {key: value.numpy() for key, value in network.state_dict().items()})
        for name, network in networks.items()
    }
    tiny.replace_variants(monkeypatch, tmp_path, "old_photo", variants)


def picture(height: int = 64, width: int = 96, channels: int = 3) -> np.ndarray:
    noise = formula.picture("photograph", (channels, height, width))
    ramp = np.linspace(0, 0.5, width, dtype=np.float32)  # noise alone counts as flat
    return (0.5 * noise + ramp).transpose(1, 2, 0).copy()


class Scratched(OldPhotoPredictor):
    """A predictor that finds the same hole and vertical scratch in every picture."""

    def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        mask = np.zeros(image.shape[:2], np.float32)
        mask[:40, 30:74] = 1
        mask[:, 90] = 1
        return mask


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_is_encoded_mapped_and_decoded(
    mode: dict, networks: dict[str, paddle.nn.Layer]
) -> None:
    predictor = Scratched(device="cpu", **mode)
    image = picture()
    found = predictor.predict(image)
    mask = predictor.scratches(image) if mode else np.zeros(image.shape[:2], np.float32)
    given = np.where(mask[..., None] > 0, 1, image).transpose(2, 0, 1)[None] * 2 - 1
    kind = "scratch" if mode else "quality"
    mapping = networks["mapping-hr" if "hr" in mode else f"mapping-{kind}"]
    masks = [paddle.to_tensor(mask[None, None])] if mode else []
    with paddle.no_grad():
        features = networks["vae-a-quality"].encoder(paddle.to_tensor(given.astype(np.float32)))
        made = networks[f"vae-b-{kind}"].decoder(mapping(features, *masks)).numpy()
    expected = (made[0].transpose(1, 2, 0) + 1) / 2
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("mode", MODES[1:])
def test_pixels_under_a_scratch_do_not_affect_the_result(mode: dict) -> None:
    predictor = Scratched(device="cpu", **mode)
    image = picture()
    other = image.copy()
    other[predictor.scratches(image) > 0] = 0
    assert np.array_equal(predictor.predict(image), predictor.predict(other))


@pytest.mark.parametrize("size", [(1, 1), (45, 61), (33, 128)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_a_picture_keeps_its_size(mode: dict, channels: int, size: tuple) -> None:
    image = picture(*size, channels=channels)
    restored = OldPhotoPredictor(device="cpu", **mode).predict(image)
    assert restored.shape == image.shape
    assert np.isfinite(restored).all()
    assert restored.min() >= 0
    assert restored.max() <= 1


def test_the_scratch_mask_has_the_size_of_the_picture() -> None:
    """The pseudo-random detector finds some of this picture scratched, and some not."""
    predictor = OldPhotoPredictor(with_scratch=True, device="cpu")
    mask = predictor.scratches(picture(80, 112))
    assert mask.shape == (80, 112)
    assert set(np.unique(mask)) == {0, 1}
    wider = OldPhotoPredictor(with_scratch=True, hr=True, device="cpu").scratches(picture(80, 112))
    assert (wider >= mask).all()
    assert wider.sum() > mask.sum()


def test_a_picture_that_is_scratched_all_over_is_restored() -> None:
    class Ruined(OldPhotoPredictor):
        def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
            return np.ones(image.shape[:2], np.float32)

    for mode in MODES[1:]:
        assert np.isfinite(Ruined(device="cpu", **mode).predict(picture())).all()


def test_each_frame_of_a_film_is_restored_independently() -> None:
    predictor = OldPhotoPredictor(device="cpu")
    frames = np.stack([picture(40, 56), 1 - picture(40, 56), picture(40, 56) / 2])
    together = predictor.predict(frames)
    alone = np.stack([predictor.predict(frame) for frame in frames])
    assert np.array_equal(together, alone)


def test_the_fingerprint_contains_every_weight_file() -> None:
    noted = OldPhotoPredictor(with_scratch=True, device="cpu").fingerprint()
    weights = [fact for fact in noted if fact.endswith(" weights")]
    assert len({noted[fact] for fact in weights}) == 4
    assert OldPhotoPredictor(device="cpu").fingerprint() != noted


def test_a_missing_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLDFILM_CONFIGS")
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(tmp_path / "empty"))
    message = "vae-a-quality weights of OldPhoto.*VAE_A_quality/latest_net_G.pth.*convert"
    with pytest.raises(WeightsError, match=message):
        OldPhotoPredictor(variant="full", device="cpu")


def test_invalid_options_are_rejected() -> None:
    with pytest.raises(OptionError, match="no variant 'huge'; it has: full, lite"):
        OldPhotoPredictor(variant="huge", device="cpu")
    with pytest.raises(OptionError, match="with_scratch=True"):
        OldPhotoPredictor(device="cpu").scratches(picture())


def smooth(height: int = 70, width: int = 90) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] / 20
    luma = 0.5 + 0.5 * np.sin(rows) * np.cos(columns)
    return (luma[..., None] * (1, 0.95, 0.85)).astype(np.float32)


class Torn(OldPhotoPredictor):
    """A predictor that finds the same tear in every picture."""

    def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        return (np.abs(np.arange(image.shape[1]) - 30) < 2) * np.ones(image.shape[:2], np.float32)


def test_lite_fills_damage_and_changes_nothing_else() -> None:
    image = smooth()
    found = Torn(with_scratch=True, variant="lite", device="cpu").predict(image)
    changed = np.abs(found - image).max(axis=2) > 0
    assert changed[:, 28:33].all()
    assert not changed[:, :20].any()
    assert not changed[:, 41:].any()


def test_lite_denoises_only_noisy_pictures() -> None:
    image = smooth()
    noisy = image + np.random.default_rng(0).normal(0, 0.04, image.shape[:2])[..., None]
    predictor = OldPhotoPredictor(variant="lite", device="cpu")
    assert np.array_equal(predictor.predict(image), image)
    noisy = np.clip(noisy, 0, 1).astype(np.float32)
    assert not np.array_equal(predictor.predict(noisy), noisy)


@pytest.mark.parametrize("sigma", [0.01, 0.03])
def test_noise_is_estimated(sigma: float) -> None:
    image = smooth(240, 320)
    grain = np.random.default_rng(0).normal(0, sigma, image.shape[:2])[..., None]
    mask = np.zeros(image.shape[:2], np.float32)
    mask[:, :50] = 1
    noisy = np.where(mask[..., None] > 0, 1, image + grain).astype(np.float32)
    assert noise(noisy, mask) == pytest.approx(sigma, rel=0.2)
    assert noise(image, mask) < 0.002


def test_texture_does_not_count_as_grain_if_part_of_the_picture_is_smooth() -> None:
    image = smooth(240, 320)
    leaves = np.random.default_rng(0).normal(0, 0.1, image.shape[:2])[..., None]
    leaves[:, :32] = 0  # a tenth of the picture
    assert noise(np.clip(image + leaves, 0, 1).astype(np.float32), np.zeros((240, 320))) < 0.008


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (45, 61)])
def test_a_film_of_any_size_that_looks_damaged_all_over_is_restored(size: tuple) -> None:
    class Ruined(OldPhotoPredictor):
        def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
            return np.ones(image.shape[:2], np.float32)

    frames = np.stack([picture(*size)] * 3)
    found = Ruined(with_scratch=True, variant="lite", device="cpu").predict(frames)
    assert found.shape == frames.shape
    assert np.isfinite(found).all()


def test_a_large_photograph_is_restored_as_a_smaller_copy() -> None:
    image = smooth(1500, 1100)
    assert image.shape[0] * image.shape[1] > LITE_PIXELS
    found = Torn(with_scratch=True, variant="lite", device="cpu").predict(image)
    assert found.shape == image.shape
    assert (found[:, 28:33] != image[:, 28:33]).any()
    assert np.array_equal(found[:, 60:], image[:, 60:])


@pytest.mark.parametrize(
    ("channels", "size"),
    [*itertools.product([1, 3], [(1, 1), (45, 61), (33, 128)]), (3, (1, 2 * LEAST_PIXELS))],
)
def test_lite_accepts_pictures_of_any_size(channels: int, size: tuple) -> None:
    """The last is searched in a smaller copy, too, which cannot have half a row."""
    image = picture(*size, channels=channels)
    restored = OldPhotoPredictor(with_scratch=True, variant="lite", device="cpu").predict(image)
    assert restored.shape == image.shape
    assert np.isfinite(restored).all()


def test_levels_of_a_faded_photograph_are_restored_but_not_of_a_film() -> None:
    faded = 0.35 + 0.3 * smooth()
    predictor = OldPhotoPredictor(variant="lite", device="cpu")
    assert np.ptp(predictor.predict(faded)) > 2 * np.ptp(faded)
    film = predictor.predict(np.stack([faded, faded]))
    assert np.array_equal(film, np.stack([faded, faded]))


def test_a_hazy_color_photograph_keeps_its_levels() -> None:
    hazy = 0.35 + 0.3 * smooth()
    hazy[20:50, :40] += np.float32([0.05, 0, -0.05])
    predictor = OldPhotoPredictor(variant="lite", device="cpu")
    assert np.array_equal(predictor.predict(hazy), hazy)
    gray = hazy[..., 1:2]
    assert np.ptp(predictor.predict(gray)) > 2 * np.ptp(gray)


def street(count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return a film that drifts to the left, with a dark moving object and with dust in frame 2.

    Returns the frames, float32 [t, h, w, 1], and a mask of the dust, bool [h, w].
    """
    noise = np.random.default_rng(0).random((96, 140), dtype=np.float32)
    wide = 0.4 + 4 * (cv2.GaussianBlur(noise, (0, 0), 3) - 0.5)
    frames = np.stack([wide[:, 2 * i : 2 * i + 120] for i in range(count)])[..., None].copy()
    for index, frame in enumerate(frames):
        cv2.rectangle(frame, (20 - 2 * index, 40), (45 - 2 * index, 80), 0.05, -1)
    dust = np.zeros(frames.shape[1:3], np.uint8)
    cv2.line(dust, (80, 20), (95, 34), 1, 2)
    frames[2][dust > 0] = 0.02
    return frames, dust > 0


class Dark(OldPhotoPredictor):
    """A predictor that considers everything dark damaged."""

    def damage(self, image: np.ndarray, in_film: bool = False) -> np.ndarray:
        return (image[..., 0] < 0.1).astype(np.float32)


@pytest.mark.parametrize("variant", ["lite", "full"])
def test_in_a_film_only_damage_in_a_single_frame_counts(variant: str) -> None:
    frames, dust = street()
    predictor = Dark(with_scratch=True, variant=variant, device="cpu")
    masks = []
    predictor.restoration.restored = lambda image, mask: masks.append(mask > 0) or image
    predictor.predict(frames)
    assert masks[2][dust].all()
    moving = frames[2, ..., 0] < 0.1
    assert not masks[2][moving & ~dust].any()
    assert not any(masks[index].any() for index in (0, 1, 3, 4))
    predictor.predict(frames[2])
    assert masks[-1][moving].all(), "a photograph has no neighbors to compare"


@pytest.mark.parametrize("count", [2, 3])
def test_damage_is_filled_only_in_shots_of_three_frames_or_more(count: int) -> None:
    frames, dust = street()
    frames = frames[2 : 2 + count]
    found = Dark(with_scratch=True, variant="lite", device="cpu").predict(frames)
    assert (found[0][dust] != frames[0][dust]).any() == (count == 3)


def test_broad_damage_must_be_more_certain() -> None:
    """A white shirt looks like a hole, and filling it is worse than missing a hole."""
    from oldfilm.apps.old_photo.lite import sure_where_broad

    likely = np.zeros((80, 80), np.float32)
    likely[10:13, :] = 0.7  # a fold
    likely[30:60, 10:40] = 0.7  # a shirt
    likely[30:60, 50:75] = 0.95  # a hole
    found = sure_where_broad(likely, 0.6, 0.8) >= 0.6
    assert found[11].all()
    assert not found[25:65, 5:42].any()
    assert found[32:58, 52:73].all()


def test_nearby_places_are_judged_together() -> None:
    """Some leaves look like dust, and those around them less so; dust is isolated or obvious."""
    from oldfilm.apps.old_photo.lite import THRESHOLDS, sure_together

    likely = np.zeros((80, 120), np.float32)
    likely[10:60:6, 10:60:6] = 0.5  # leaves
    likely[34, 34] = 0.85  # one leaf that looks like dust
    likely[16:20, 16:20] = 0.95  # dust among the leaves
    likely[30:33, 90:93] = 0.95  # dust
    likely[30:33, 93] = 0.45  # and its soft edge
    found = sure_together(likely, 0.4, THRESHOLDS.of_one_tint) >= 0.4
    assert found[30:33, 90:94].all()
    assert found[16:20, 16:20].all()
    assert found.sum() == 12 + 16


def _seeing(monkeypatch: pytest.MonkeyPatch, likely: dict[str, np.ndarray]) -> Lite:
    """Return lite networks with fixed results, by network, in every view and copy."""
    lite = OldPhotoPredictor(with_scratch=True, variant="lite", device="cpu").restoration
    monkeypatch.setattr(lite, "_found", lambda network, image: likely[network])
    monkeypatch.setattr("oldfilm.apps.old_photo.lite.OTHER_VIEWS", (View(0, False),))
    return lite


@pytest.mark.parametrize("view", OTHER_VIEWS)
def test_a_view_of_a_photograph_is_undone(view: View) -> None:
    image = picture(5, 7)
    assert np.array_equal(view.undone(view.of(image)), image)
    assert not np.array_equal(view.of(image), image)


@pytest.mark.parametrize("deceptive", range(len(OTHER_VIEWS)))
def test_damage_counts_if_every_view_of_a_photograph_shows_it(
    deceptive: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Straw looks like scratches from one side, and like straw from another."""
    likely = np.zeros((120, 200), np.float32)
    likely[20:24, 20:180] = 0.95
    lite = OldPhotoPredictor(with_scratch=True, variant="lite", device="cpu").restoration
    scratch = [likely, *(view.of(likely) for view in OTHER_VIEWS)]
    straw = list(scratch)
    straw[1 + deceptive] = np.zeros_like(straw[1 + deceptive])

    def found(seen: list[np.ndarray]) -> np.ndarray:
        views = iter(seen)
        nothing = np.zeros_like(likely)
        monkeypatch.setattr(
            lite, "_found", lambda network, _: next(views) if network == "detector" else nothing
        )
        return lite.damage(np.full((120, 200, 3), 0.5, np.float32)) >= lite.certain

    assert np.array_equal(found(scratch), likely > 0)
    assert not found(straw).any()


@pytest.mark.parametrize("height, counts", [(3, False), (8, True)])
def test_little_damage_must_be_more_certain_in_every_view(
    height: int, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    likely, nothing = np.zeros((2, 200, 200), np.float32)
    likely[20 : 20 + height, 20:60] = 0.95
    views = iter([likely, *(view.of(likely) * np.float32(0.42) for view in OTHER_VIEWS)])
    lite = OldPhotoPredictor(with_scratch=True, variant="lite", device="cpu").restoration
    monkeypatch.setattr(
        lite, "_found", lambda network, _: next(views) if network == "detector" else nothing
    )
    assert (lite.damage(np.full((200, 200, 3), 0.5, np.float32)) >= lite.certain).any() == counts


@pytest.mark.parametrize("widths, counts", [({200}, False), ({200, 283}, True)])
def test_a_crease_must_show_in_copies_of_two_sizes(
    widths: set[int], counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edge of a shadow looks like a crease in one copy only."""
    lite = OldPhotoPredictor(with_scratch=True, variant="lite", device="cpu").restoration

    def found(network: str, image: np.ndarray) -> np.ndarray:
        likely = np.zeros(image.shape[:2], np.float32)
        if network == "creases" and image.shape[1] in widths:
            likely[round(0.4 * len(image)) : round(0.6 * len(image))] = 0.97
        return likely

    monkeypatch.setattr(lite, "_found", found)
    assert lite.damage(np.full((200, 200, 3), 0.5, np.float32)).any() == counts


def test_a_crease_must_be_long_and_certain_and_in_a_photograph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    creases = np.zeros((200, 200), np.float32)
    creases[50:52, 10:60] = 0.95
    creases[100, 10:20] = 0.95  # a straw
    creases[150, 10:100] = 0.7  # a wire, perhaps
    lite = _seeing(monkeypatch, {"detector": np.zeros_like(creases), "creases": creases})
    photograph = np.full((200, 200, 3), 0.5, np.float32)
    found = lite.damage(photograph) > 0
    assert found[50:52, 10:60].all()
    assert found.sum() == 100
    assert not lite.damage(photograph, in_film=True).any()


def test_less_certain_damage_counts_if_much_damage_is_certain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In photographs with very few finds, half of the finds are not damage."""
    likely = np.zeros((200, 200), np.float32)
    likely[20:24, 20:24] = 0.97  # dust
    lite = _seeing(monkeypatch, {"detector": likely, "creases": np.zeros_like(likely)})
    tinted = np.full((200, 200, 3), 0.5, np.float32)
    color = np.full_like(tinted, (0.8, 0.4, 0.4))
    color[:, 100:] = 0.4, 0.5, 0.9  # as bright

    def found(image: np.ndarray, in_film: bool = False) -> int:
        return int((lite.damage(image, in_film) >= lite.certain).sum())

    assert (found(tinted), found(tinted, in_film=True)) == (0, 16)
    likely[50:52, 10:110] = 0.85  # a crack, or the edge of a roof
    assert (found(tinted), found(color)) == (216, 0)
    likely[100, 10:110] = 0.65  # perhaps another, in a photograph that is known to be cracked
    assert (found(tinted), found(color)) == (316, 0)
    likely[150:154, 10:170] = 0.97  # a fold: the photograph is badly damaged
    assert found(tinted) == found(color) == 16 + 200 + 100 + 640
