"""DeOldify: colors, their smoothing over time, and luma, which stays."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from safetensors.numpy import save_file

from oldfilm.errors import OptionError
from oldfilm.imaging.color import LUMA_WEIGHTS, with_luma
from oldfilm.imaging.flow import flow, warp
from oldfilm.stage import FilmInfo, Window
from oldfilm.weights import load_strictly, read_weights

paddle = pytest.importorskip("paddle")

from oldfilm.apps.deoldify.lite import MEAN_SHARE, LiteColorizer, guided_upsampling  # noqa: E402
from oldfilm.apps.deoldify.predictor import DeOldifyPredictor  # noqa: E402
from oldfilm.apps.deoldify.smoothing import (  # noqa: E402
    OFFSETS,
    ShotColor,
    SmallFrame,
    shot_color,
    temporally_smoothed,
)
from oldfilm.networks import deoldify as networks  # noqa: E402
from tests.imaging.test_titles import title  # noqa: E402
from tests.parity import formula  # noqa: E402

FILMS = Path("../shared/data/films")
SIZES = ((320, 240), (720, 576), (1920, 1080))


@pytest.fixture(scope="module")
def predictor() -> DeOldifyPredictor:
    return DeOldifyPredictor(device="cpu", render_factor=3)


def scene(height: int = 70, width: int = 90, seed: int = 0) -> np.ndarray:
    """Make a smooth gray picture, float32 [h, w] in [0, 1]."""
    noise = np.random.default_rng(seed).random((9, 9), dtype=np.float32)
    return np.clip(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def test_luma_is_preserved(predictor) -> None:
    luma = np.random.default_rng(0).random((2, 65, 81, 1), dtype=np.float32)
    colored = predictor.predict(luma)
    assert colored.shape == (2, 65, 81, 3)
    assert colored.min() >= -1e-6
    assert colored.max() <= 1 + 1e-6
    np.testing.assert_allclose(colored @ LUMA_WEIGHTS, luma[..., 0], atol=2e-6)


def test_a_color_photograph_is_colored_from_its_luma(predictor) -> None:
    photograph = np.stack([scene(seed=i) for i in range(3)], 2)
    from_color = predictor.predict(photograph)
    from_gray = predictor.predict((photograph @ LUMA_WEIGHTS)[..., None])
    np.testing.assert_allclose(from_color, from_gray, atol=1e-5)


def test_intertitles_stay_gray(predictor) -> None:
    assert saturation(predictor.predict(title()[..., None])) < 1e-3


def test_uint8_input_gives_uint8_output(predictor) -> None:
    gray = np.full((48, 48, 3), 130, np.uint8)
    assert predictor.predict(gray).dtype == np.uint8


def test_only_the_channels_of_the_film_change(predictor) -> None:
    info = FilmInfo(480, 368, Fraction(16), 60, channels=1)
    assert predictor.describe(info) == FilmInfo(480, 368, Fraction(16), 60, channels=3)


def test_the_network_input_keeps_the_aspect_ratio(predictor) -> None:
    colorizer = LiteColorizer(predictor.graph, render_factor=6)
    assert colorizer.size(368, 480) == (128, 96)
    assert colorizer.size(480, 368) == (96, 128)
    assert colorizer.size(1, 1) == (96, 96)


def test_a_frame_does_not_depend_on_where_its_window_begins(predictor) -> None:
    film = np.stack([np.roll(scene(width=128), 3 * t, 1) for t in range(90)])[..., None]
    keeping = DeOldifyPredictor(device="cpu", render_factor=3, keep_tint=True)
    for chosen, frames in ((predictor, film), (keeping, tinted(film))):
        reach = OFFSETS[-1]
        all_at_once = chosen.restore(frames, slice(40, 48))
        alone = chosen.restore(frames[45 - reach : 45 + reach + 1], slice(reach, reach + 1))
        np.testing.assert_array_equal(alone[0], all_at_once[5])


def test_large_frames_have_fewer_neighbors(predictor) -> None:
    """Neighbors stay within their memory; three on either side are always seen."""
    windows = [predictor.window_for(FilmInfo(w, h, Fraction(16), 60)) for w, h in SIZES]
    assert [window.before for window in windows] == [window.after for window in windows]
    assert windows[0].before == OFFSETS[-1]
    assert windows[0].before > windows[1].before > windows[2].before == 3


def test_windows_and_the_whole_film_give_the_same_frames(predictor) -> None:
    film = np.stack([np.roll(scene(width=128), 2 * t, 1) for t in range(40)])[..., None]
    whole = predictor.restore(film, slice(0, 40))
    np.testing.assert_array_equal(predictor.predict(film), whole)


def test_a_color_that_comes_and_goes_is_steady_for_the_whole_shot() -> None:
    rng = np.random.default_rng(2)
    frames = []
    for t in range(64):
        tinge = np.full((70, 90, 2), 15 if t // 8 % 2 else -15, np.float32)
        frames.append(SmallFrame(scene() * np.float32(1 - 0.05 * rng.random()), tinge, 1))
    steady = [temporally_smoothed(frames, t, OFFSETS[-1]).mean() for t in range(64)]
    assert np.std(steady) < 15 / 3


def test_frames_are_colored_one_by_one_without_smoothing() -> None:
    predictor = DeOldifyPredictor(device="cpu", steady=False)
    assert predictor.window_for(FilmInfo(480, 368, Fraction(16), 60)) == Window()


def test_smoothing_averages_flickering_colors() -> None:
    luma = scene()
    rng = np.random.default_rng(1)
    flickering = [
        np.full((*luma.shape, 2), 10, np.float32) + rng.normal(0, 4, 2).astype(np.float32)
        for _ in range(7)
    ]
    frames = [SmallFrame(luma, chroma, 1) for chroma in flickering]
    np.testing.assert_allclose(temporally_smoothed(frames, 3, 3), np.mean(flickering, 0), atol=0.2)


def test_smoothing_follows_motion() -> None:
    lumas = [np.roll(scene(64, 96), 2 * t, 1) for t in range(3)]
    chromas = [np.stack([40 * luma, -40 * luma], 2) for luma in lumas]
    inner = slice(16, -16)
    frames = [SmallFrame(luma, chroma, 1) for luma, chroma in zip(lumas, chromas)]
    steady = temporally_smoothed(frames, 1, 3)[inner, inner]
    smeared = np.mean(chromas, 0)[inner, inner]
    truth = chromas[1][inner, inner]
    assert np.abs(steady - truth).mean() < 0.3 * np.abs(smeared - truth).mean()


def test_smoothing_does_not_mix_colors_across_an_undetected_cut() -> None:
    dark, bright = np.full((48, 64), 0.2, np.float32) * scene(48, 64), 1 - 0.3 * scene(48, 64, 3)
    red = np.full((48, 64, 2), 50, np.float32)
    frames = [SmallFrame(dark, np.zeros_like(red), 1), SmallFrame(bright, red, 1)]
    steady = temporally_smoothed(frames, 0, 3)
    assert np.abs(steady).mean() < 10


def balanced(chroma: np.ndarray, shot: ShotColor) -> np.ndarray:
    return LiteColorizer(lambda **_: None, render_factor=9).balanced(chroma, shot)


@pytest.mark.parametrize(("strength", "factor"), [(20, 1), (12, 1), (6, 1.682), (1, 2.5), (0, 2.5)])
def test_pale_shots_are_lifted_and_colorful_ones_stay(strength: float, factor: float) -> None:
    chroma = np.ones((8, 8, 2), np.float32)
    shot = ShotColor(strength, np.zeros(2, np.float32), 5)
    np.testing.assert_allclose(balanced(chroma, shot), factor, rtol=1e-3)


def test_a_film_with_one_strong_hue_loses_the_excess_and_gets_no_opposite_colors() -> None:
    chroma = np.float32([[[0, 30], [4, 12]], [[0, 6], [3, -5]]])
    less = ShotColor(20, np.float32([0, 12]), 2)
    np.testing.assert_allclose(
        balanced(chroma, less), [[[0, 27], [4, 9]], [[0, 3], [3, -5]]], atol=1e-5
    )
    doubtful = ShotColor(20, np.float32([0, 19]), 2)
    np.testing.assert_allclose(
        balanced(chroma, doubtful), [[[0, 16], [4, 0]], [[0, 0], [3, -5]]], atol=1e-5
    )
    weak = ShotColor(20, np.float32([0, 8]), 2)
    np.testing.assert_array_equal(balanced(chroma, weak), chroma)
    photograph = replace(doubtful, frames=1)
    np.testing.assert_array_equal(balanced(chroma, photograph), chroma)


def test_the_color_of_a_shot_is_that_of_its_frames_but_the_flat_ones() -> None:
    chromas = [np.full((8, 8, 2), value, np.float32) for value in (3, 4, 50)]
    frames = [SmallFrame(scene(8, 8), chroma, chroma.max() < 50) for chroma in chromas]
    color = shot_color(frames, 0, 2)
    assert color.strength == pytest.approx(5)
    np.testing.assert_allclose(color.mean, 3.5)
    assert color.frames == 2
    assert shot_color(frames, 2, 0).frames == 0


def test_colors_fade_in_the_dark() -> None:
    luma = np.linspace(0, 1, 96, dtype=np.float32)[None].repeat(64, 0)
    chroma = colors_of(constant_chroma(0.2, 0.1), luma)[0]
    assert np.ptp(chroma[60:], 0).max() < 1e-4
    assert chroma[60, 0] == pytest.approx(2 * chroma[60, 1], rel=1e-4)
    assert (np.diff(chroma[:, 0]) >= -1e-4).all()
    assert 22 * 0.25 < chroma[60, 0] - chroma[0, 0] < 22 * 0.35


def test_the_mean_color_of_a_picture_is_reduced_and_differences_stay() -> None:
    luma = np.ones((64, 96), np.float32)
    even = colors_of(constant_chroma(0.2, 0.1), luma)
    np.testing.assert_allclose(even[0, 0], [22 * MEAN_SHARE, 11 * MEAN_SHARE], rtol=1e-4)
    rows = np.linspace(-0.2, 0.2, 64, dtype=np.float32)  # The mean is gray.
    chroma = colors_of(lambda _: (rows[None, None, :, None].repeat(2, 1).repeat(96, 3),), luma)
    np.testing.assert_allclose(chroma[:, 0, 0], 110 * rows, rtol=1e-4)


def colors_of(network, luma: np.ndarray) -> np.ndarray:
    """Return a* and b* that a network of our own gives luma [h, w]."""
    return LiteColorizer(lambda **_: network, render_factor=9).chroma(luma)


def constant_chroma(*values: float):
    """Make a network that gives every pixel the same chroma."""

    def network(luma: np.ndarray) -> tuple[np.ndarray]:
        plane = np.array(values, np.float32)[None, :, None, None]
        return (np.broadcast_to(plane, (1, len(values), *luma.shape[2:])),)

    return network


def test_enlarged_chroma_follows_the_edges_of_luma() -> None:
    luma = np.full((96, 128), 0.2, np.float32)
    luma[:, 57:] = 0.8
    small = cv2.resize(luma, (32, 24), interpolation=cv2.INTER_AREA)
    chroma = np.where(small[..., None] > 0.5, 40, -40).astype(np.float32).repeat(2, 2)
    large = guided_upsampling(chroma, small, luma)
    assert np.abs(large[:, :54] + 40).max() < 4
    assert np.abs(large[:, 60:] - 40).max() < 4


def test_chroma_outside_the_gamut_is_reduced_and_luma_kept() -> None:
    luma = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    colored = with_luma(luma, np.full((8, 8, 2), (90, -90), np.float32))
    np.testing.assert_allclose(colored @ LUMA_WEIGHTS, luma, atol=2e-6)
    assert colored.min() >= -1e-6
    assert colored.max() <= 1 + 1e-6
    np.testing.assert_allclose(colored[0, 0], 0, atol=1e-6)
    np.testing.assert_allclose(colored[-1, -1], 1, atol=1e-6)


def test_artistic_colors_are_more_saturated(predictor) -> None:
    gray = scene()[..., None]
    vivid = DeOldifyPredictor(device="cpu", render_factor=3, artistic=True).predict(gray)
    assert saturation(vivid) > 1.1 * saturation(predictor.predict(gray))


def saturation(picture: np.ndarray) -> float:
    return float(np.ptp(picture, axis=2).mean())


def lab(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(picture, np.float32), cv2.COLOR_RGB2LAB)[..., 1:]


def middle() -> np.ndarray:
    """A picture of medium luma, in which no color leaves the gamut: float32 [70, 90, 1]."""
    return 0.35 + 0.3 * scene()[..., None]


@pytest.fixture(scope="module", params=["lite", "published"])
def colorize(request, published_weights):
    """Color one picture with options, by either kind of weights."""
    if request.param == "lite":
        return lambda picture, **options: DeOldifyPredictor(
            device="cpu", variant="lite", render_factor=3, **options
        ).predict(picture)
    return lambda picture, **options: SmallDeOldify(
        weight_path=published_weights, artistic=True, render_factor=3, device="cpu", **options
    ).predict(picture)


def test_saturation_is_a_factor_of_all_colors(colorize) -> None:
    gray = middle()
    plain = saturation(colorize(gray))
    assert saturation(colorize(gray, saturation=0.5)) == pytest.approx(plain / 2, rel=0.1)
    assert saturation(colorize(gray, saturation=0)) < 1e-4


def test_warmth_shifts_all_colors_toward_orange_or_blue(colorize) -> None:
    gray = middle()
    plain = lab(colorize(gray, saturation=0))
    warm = lab(colorize(gray, saturation=0, warmth=1)) - plain
    cold = lab(colorize(gray, saturation=0, warmth=-1)) - plain
    assert warm[..., 1].min() > 10
    assert cold[..., 1].max() < -10


def tinted(gray: np.ndarray) -> np.ndarray:
    """Dye the light areas of [h, w, 1] amber; black stays black."""
    return gray * np.array([1, 0.8, 0.45], np.float32)


def test_a_tinted_print_keeps_its_tint_if_asked(colorize) -> None:
    dyed = tinted(scene()[..., None])
    tint = lab(dyed)
    kept = lab(colorize(dyed, saturation=0, keep_tint=True))
    dropped = lab(colorize(dyed, saturation=0))
    assert np.abs(dropped).max() < 2
    assert np.abs(kept - tint).mean() < 0.15 * np.abs(tint).mean()


def test_colors_are_added_to_the_tint(predictor) -> None:
    dyed = tinted(middle())
    added = lab(
        DeOldifyPredictor(device="cpu", render_factor=3, keep_tint=True).predict(dyed)
    ) - lab(dyed)
    own = lab(predictor.predict(dyed))
    assert np.abs(added - own).mean() < 0.25 * np.abs(lab(dyed)).mean()


def test_keep_tint_changes_nothing_in_gray_film(predictor) -> None:
    gray = middle()
    keeping = DeOldifyPredictor(device="cpu", render_factor=3, keep_tint=True)
    np.testing.assert_array_equal(keeping.predict(gray), predictor.predict(gray))


@pytest.mark.parametrize("wrong", [{"saturation": -0.1}, {"saturation": 4}, {"warmth": 1.5}])
def test_a_saturation_or_warmth_out_of_range_is_refused(wrong) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong))):
        DeOldifyPredictor(device="cpu", **wrong)


def test_a_render_factor_of_zero_is_refused() -> None:
    with pytest.raises(OptionError, match="render_factor"):
        DeOldifyPredictor(device="cpu", render_factor=0)


class SmallDeOldify(DeOldifyPredictor):
    """A published variant with few channels."""

    def build(self, settings: dict) -> paddle.nn.Layer:
        return networks.Artistic(blocks=(1, 1, 1, 1), width=8)


@pytest.fixture(scope="module")
def published_weights(tmp_path_factory) -> str:
    network = networks.Artistic(blocks=(1, 1, 1, 1), width=8)
    made = formula.weights({name: value.shape for name, value in network.state_dict().items()})
    for name in made:
        if name.endswith(".weight_orig"):
            layer = name[: -len("weight_orig")] + "spectral_norm."
            v = made[layer + "weight_v"]
            u = made[name].reshape(len(made[name]), -1) @ v
            made[layer + "weight_u"] = np.float32(0.6) * u / u.dot(u)
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(made, file)
    return str(file)


@pytest.fixture(scope="module")
def published(published_weights) -> DeOldifyPredictor:
    return SmallDeOldify(
        weight_path=published_weights, artistic=True, render_factor=3, device="cpu"
    )


@pytest.mark.parametrize("size", [(1, 1), (33, 70), (97, 50)])
def test_published_weights_color_any_size_and_keep_luma(published, size) -> None:
    gray = np.random.default_rng(0).random((2, *size, 1), dtype=np.float32)
    colored = published.predict(gray)
    assert colored.shape == (2, *size, 3)
    if size != (1, 1):  # a single pixel is a flat frame
        assert saturation(colored[0]) > 0.01
    np.testing.assert_allclose(colored @ LUMA_WEIGHTS, gray[..., 0], atol=2e-6)
    np.testing.assert_allclose(published.predict(gray.repeat(3, 3)), colored, atol=2e-5)


def test_colors_of_published_weights_are_smoothed_too(published, published_weights) -> None:
    film = np.stack([scene(seed=0) * gain for gain in (0.98, 0.95, 1, 0.97)])[..., None]
    plain = SmallDeOldify(
        weight_path=published_weights, artistic=True, render_factor=3, device="cpu", steady=False
    )
    steady, flickering = published.predict(film), plain.predict(film)
    assert np.abs(np.diff(steady - film, axis=0)).mean() < (
        0.7 * np.abs(np.diff(flickering - film, axis=0)).mean()
    )


def test_a_frame_of_a_published_variant_does_not_depend_on_its_window(published) -> None:
    film = np.stack([np.roll(scene(width=128), 3 * t, 1) for t in range(9)])[..., None]
    all_at_once = published.restore(film, slice(0, 9))
    alone = published.restore(film[1:8], slice(3, 4))
    np.testing.assert_array_equal(alone[0], all_at_once[4])


def test_neighbors_shared_by_two_windows_are_colored_once(published_weights) -> None:
    runs = []

    class Counting(SmallDeOldify):
        def graph(self, part="", *, export=True, **inputs):
            network = super().graph(part, export=False)
            return lambda image: runs.append(1) or network(image)

    predictor = Counting(weight_path=published_weights, artistic=True, render_factor=2)
    film = np.stack([scene(seed=t) for t in range(20)])[..., None]
    predictor.predict(film)
    assert len(runs) == 20


def test_published_weights_take_colors_from_references_too(published, published_weights) -> None:
    color = np.clip(np.stack([middle()[..., 0] + d for d in (0.15, 0, -0.15)], 2), 0, 1)
    gray = (color @ LUMA_WEIGHTS)[..., None]
    referring = SmallDeOldify(
        weight_path=published_weights,
        artistic=True,
        render_factor=3,
        device="cpu",
        color_reference=color,
    )
    error = np.abs(lab(referring.predict(gray)) - lab(color)).mean()
    assert error < 0.5 * np.abs(lab(published.predict(gray)) - lab(color)).mean()


@pytest.mark.parametrize("variant", ["auto", "full", "artistic"])
def test_artistic_selects_the_artistic_weights(published_weights, variant) -> None:
    predictor = SmallDeOldify(weight_path=published_weights, artistic=True, variant=variant)
    assert predictor.variant == "artistic"
    assert predictor.render_factor == 32


def test_artistic_with_the_stable_weights_is_refused() -> None:
    with pytest.raises(OptionError, match="`variant=stable`"):
        DeOldifyPredictor(artistic=True, variant="stable", device="cpu")


def test_folding_a_network_twice_changes_nothing(published_weights) -> None:
    network = networks.Artistic(blocks=(1, 1, 1, 1), width=8)
    load_strictly(network, read_weights(Path(published_weights)), published_weights)
    network.fold()
    once = {name: value.numpy() for name, value in network.state_dict().items()}
    network.fold()
    for name, value in network.state_dict().items():
        np.testing.assert_allclose(value.numpy(), once[name], rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_colors_flicker_less_on_a_real_film() -> None:
    film = FILMS / "market-street-1906.mkv"
    if not film.exists():
        pytest.skip(f"{film} is not available")
    frames, core = read(film, 17), slice(3, 14)
    steady = DeOldifyPredictor(device="cpu").restore(frames, core)
    plain = DeOldifyPredictor(device="cpu", steady=False).restore(frames, core)
    gray = frames[core]
    assert chroma_flicker(steady, gray) < 0.6 * chroma_flicker(plain, gray)


def read(film: Path, count: int) -> np.ndarray:
    """Read the first frames as float32 [t, h, w, 1]."""
    with av.open(str(film)) as container:
        decoded = (frame.to_ndarray(format="gray") for frame in container.decode(video=0))
        return np.stack([next(decoded) for _ in range(count)])[..., None].astype(np.float32) / 255


def chroma_flicker(colored: np.ndarray, gray: np.ndarray) -> float:
    """Return the mean change of a* and b* between frames along the motion of the gray film."""
    chromas = [cv2.cvtColor(frame, cv2.COLOR_RGB2LAB)[..., 1:] for frame in colored]
    motions = [flow(a, b) for a, b in zip(gray, gray[1:])]
    moved = [warp(chroma, motion) for chroma, motion in zip(chromas[1:], motions)]
    return float(np.mean([np.abs(a - b).mean() for a, b in zip(chromas, moved)]))
