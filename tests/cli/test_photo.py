"""`oldfilm photo` with real photographs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage import data

from oldfilm import pipeline
from oldfilm.cli.photo import main
from oldfilm.media import read_photograph
from oldfilm.repair.sharpen import Sharpen

pytest.importorskip("paddle")

from oldfilm.apps.old_photo import faces  # noqa: E402
from oldfilm.apps.old_photo.published import Published  # noqa: E402
from tests.apps import tiny  # noqa: E402
from tests.parity import formula  # noqa: E402

TOOL = Path(__file__).parents[2] / "tools" / "restore-photo.py"
MAPPING = {"channels": 8, "most": 16}
SMALL = {
    "detection": {"width": 4},
    "vae-a-quality": {"channels": 8},
    "vae-b-quality": {"channels": 8},
    "vae-b-scratch": {"channels": 8},
    "mapping-quality": MAPPING,
    "mapping-scratch": MAPPING,
}
FACES = {"face-256": {"width": 2}}


def install(
    small: dict, folder: Path, monkeypatch: pytest.MonkeyPatch, checked: bool = True
) -> None:
    """Replace published networks with small ones. checked: as in `tiny.replace_variants`."""
    variants = {
        name: (settings, tiny.formula_weights("old_photo", name, settings, gain=1.4))
        for name, settings in small.items()
    }
    tiny.replace_variants(monkeypatch, folder, "old_photo", variants, checked)
    faces.warn_once.cache_clear()


@pytest.fixture(autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    install(SMALL, tmp_path_factory.mktemp("weights"), monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three photographs among other files."""
    made = tmp_path / "photos"
    made.mkdir()
    for number, name in enumerate(("a.png", "b.jpg", "c.tif")):
        picture = formula.picture(name, (3, 40, 56 + 8 * number)).transpose(1, 2, 0)
        Image.fromarray(np.uint8(picture * 255)).save(made / name)
    (made / "list.txt").write_text("a, b, c")
    (made / ".hidden.png").write_bytes(b"")
    (made / "more").mkdir()
    return made


def restore(*arguments: object) -> int:
    return main([*map(str, arguments), "--cpu"])


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_folder_is_restored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert restore("--input", folder, "--output", output, "--with_scratch") == 0
    assert files(output) == ["a.png", "b.png", "c.tif"]
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [str(output / name) for name in files(output)]
    for text in (
        f"in    {folder / 'b.jpg'}",
        "64x40, color, 8 bits",
        "damaged",
        "OldPhoto (full)",
    ):
        assert text in shown.err
    before, after = (read_photograph(f / "a.png").image for f in (folder, output))
    assert after.shape == before.shape
    assert np.abs(after - before).mean() > 0.01


def test_quiet_prints_only_the_results(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore("--input", folder / "a.png", "--output", tmp_path / "x.png", "--quiet") == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (f"{tmp_path / 'x.png'}\n", "")


@pytest.mark.parametrize("scratched", [True, False])
def test_the_authors_flags_keep_the_steps_in_the_authors_folders(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scratched: bool
) -> None:
    """Paths may be relative."""
    monkeypatch.chdir(tmp_path)
    flags = ["--input_folder", "photos", "--output_folder", "./out", "--GPU", "-1"]
    flags += ["--checkpoint_name", "Setting_9_epoch_100"]
    assert main([*flags, *(["--with_scratch"] if scratched else [])]) == 0
    first = ["input_image", "origin", "restored_image"]
    if scratched:
        first += ["masks/input", "masks/mask"]
    expected = [f"stage_1_restore_output/{f}/{n}.png" for f in first for n in "abc"]
    expected += ["final_output/a.png", "final_output/b.png", "final_output/c.tif"]
    assert files(tmp_path / "out") == sorted(expected)
    stage_1 = tmp_path / "out" / "stage_1_restore_output"
    original = read_photograph(folder / "a.png").image
    assert np.array_equal(read_photograph(stage_1 / "origin" / "a.png").image, original)
    seen = read_photograph(stage_1 / "input_image" / "a.png").image
    if not scratched:
        assert np.array_equal(seen, original)
        return
    mask = read_photograph(stage_1 / "masks" / "mask" / "a.png").image
    assert mask.shape == (40, 56, 1)
    assert np.array_equal(seen, np.where(mask > 0, 1, original))


@pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no cascades")
def test_the_steps_of_a_face_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The steps around the face network, which the small networks would destroy."""
    install({**SMALL, **FACES}, tmp_path, monkeypatch)
    monkeypatch.setattr(Published, "restored", lambda self, image, mask: image)
    monkeypatch.setattr(faces.FaceEnhancer, "_painted", lambda self, face: face)
    Image.fromarray(data.astronaut()[:256, 80:336]).save(tmp_path / "a.png")
    assert restore("--input", tmp_path / "a.png", "--output", tmp_path / "out", "--keep_steps") == 0
    assert [name for name in files(tmp_path / "out") if not name.startswith("stage_1")] == [
        "final_output/a.png",
        "stage_2_detection_output/a_1.png",
        "stage_3_face_output/each_img/a_1.png",
    ]
    assert "1 face restored" in capsys.readouterr().err
    aligned = Image.open(tmp_path / "out" / "stage_2_detection_output" / "a_1.png")
    assert aligned.size == (256, 256)


def test_unreadable_files_are_reported_and_the_others_are_restored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "aa.jpg").write_text("a letter")
    (folder / "bb.png").touch()
    output = tmp_path / "out"
    assert restore("--input", folder, "--output", output) == 2
    assert files(output) == ["a.png", "b.png", "c.tif"]
    shown = capsys.readouterr()
    for name in ("aa.jpg", "bb.png"):
        (message,) = [
            line for line in shown.err.splitlines() if line.startswith(f"oldfilm: {folder / name}")
        ]
        assert "not a photograph" in message
    assert "3 of 5 restored; not " in shown.err


@pytest.mark.parametrize("start", [b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"])
def test_jpeg_xl_is_refused_by_name(start, tmp_path, capsys):
    (tmp_path / "a.jxl").write_bytes(start + bytes(100))
    assert restore("--input", tmp_path / "a.jxl", "--output", tmp_path / "out") == 2
    assert "a.jxl: JPEG XL is not read: convert it to PNG first" in capsys.readouterr().err


def test_weights_that_do_not_fit_are_reported_once(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    smaller, larger = tmp_path / "smaller", tmp_path / "larger"
    smaller.mkdir()
    larger.mkdir()
    install({**SMALL, "vae-a-quality": {"channels": 4}}, smaller, monkeypatch)
    install(SMALL, larger, monkeypatch, checked=False)
    name = "tiny-old_photo-vae-a-quality.safetensors"
    (smaller / name).replace(larger / name)
    assert restore("--input", folder, "--output", tmp_path / "out", "--quiet") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not fit" in line


def test_existing_results_are_replaced_only_if_asked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "b.png").write_text("mine")
    assert restore("--input", folder, "--output", output, "--compare") == 2
    assert (output / "b.png").read_text() == "mine"
    assert "b.png exists: --overwrite replaces it" in capsys.readouterr().err
    assert files(output) == ["a.png", "a_compare.png", "b.png", "c.tif", "c_compare.png"]
    assert Image.open(output / "a_compare.png").size == (112, 40)
    assert restore("--input", folder, "--output", output, "--overwrite") == 0
    assert (output / "b.png").read_bytes()[:4] == b"\x89PNG"


def test_a_photograph_is_never_overwritten_by_its_result(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "a.png").read_bytes()
    assert restore("--input", folder, "--output", folder, "--overwrite") == 2
    assert (folder / "a.png").read_bytes() == before
    assert "is the source itself" in capsys.readouterr().err


def test_photographs_that_differ_only_in_their_suffix_have_separate_results(
    folder: Path, tmp_path: Path
) -> None:
    Image.open(folder / "a.png").save(folder / "a.jpg")
    assert restore("--input", folder, "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.jpg.png", "a.png.png", "b.png", "c.tif"]


def test_numbered_photographs_are_not_a_film(folder: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in (1, 2, 3):
        Image.open(folder / "a.png").save(scans / f"scan{number}.png")
    assert restore("--input", scans, "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["scan1.png", "scan2.png", "scan3.png"]


@pytest.mark.parametrize("kind", ["16 bits", "alpha", "gray", "gray and alpha", "palette", "CMYK"])
def test_photographs_of_all_kinds(kind: str, tmp_path: Path) -> None:
    colors = formula.picture(kind, (40, 56, 3))
    colors = np.uint8(colors * 255)
    source = tmp_path / "a.png"
    if kind == "16 bits":
        source = tmp_path / "a.tif"
        cv2.imwrite(str(source), colors.astype(np.uint16) * 257)
    elif kind == "CMYK":
        source = tmp_path / "a.jpg"
        Image.fromarray(colors).convert("CMYK").save(source)
    else:
        picture = Image.fromarray(colors)
        if "gray" in kind:
            picture = picture.convert("L")
        if "alpha" in kind:
            picture.putalpha(Image.fromarray(colors[..., 0]))
        if kind == "palette":
            picture = picture.quantize(64)
        picture.save(source)
    assert restore("--input", source, "--output", tmp_path / "out") == 0
    (made,) = (tmp_path / "out").iterdir()
    before, after = read_photograph(source), read_photograph(made)
    assert after.image.shape[:2] == (40, 56)
    assert after.image.shape[2] == (3 if kind == "gray and alpha" else before.image.shape[2])
    assert after.bits == before.bits == (16 if kind == "16 bits" else 8)
    assert (after.alpha is None) == ("alpha" not in kind)
    if "alpha" in kind:
        assert np.array_equal(after.alpha, before.alpha)


def test_the_exif_orientation_is_applied_and_other_exif_data_is_kept(
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Ernemann"
    picture = np.uint8(formula.picture("turned", (40, 56, 3)) * 255)
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif)
    assert restore("--input", tmp_path / "a.jpg", "--output", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.png") as result:
        assert result.size == (40, 56)
        assert result.getexif()[271] == "Ernemann"
        assert 274 not in result.getexif()


def test_a_chain_of_stages_keeps_exif_data_and_color_profile(
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Ernemann"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = np.uint8(formula.picture("chain", (40, 56, 3)) * 255)
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, icc_profile=icc)
    for name in ("b.png", "b.jpg", "b.tif"):
        summary = pipeline.restore(tmp_path / "a.jpg", [Sharpen()], tmp_path / name)
        assert summary.notes == ()
        with Image.open(tmp_path / name) as result:
            assert result.size == (40, 56)
            assert result.getexif()[271] == "Ernemann"
            assert result.getexif().get(274, 1) == 1
            assert result.info["icc_profile"] == icc


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--input"),
        (["--input", "nowhere"], "nowhere: no such file or folder"),
        (["--input", "empty"], "empty: this folder has no photographs"),
        (["--input", "film.mp4"], "video-enhance.py"),
        (["--input", "photos", "--output", "one.png"], "one file, but there are 3 photographs"),
        (["--input", "photos", "--GPU", "all"], "--GPU all: give a number"),
        (["--input", "photos", "photos"], "2 photographs are called a.png"),
        (["--input", "photos/a.png", "--output", "b.png", "--keep_steps"], "give a folder"),
    ],
)
def test_wrong_options_are_reported_in_one_line(
    arguments: Sequence[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "film.mp4").touch()
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    (line,) = [line for line in lines if "left out, because it cannot be restored" not in line]
    assert line.startswith("oldfilm: ")
    assert message in line


def test_the_tool_has_help() -> None:
    shown = subprocess.run(
        [sys.executable, TOOL, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(TOOL.parent.parent)},
    ).stdout
    for flag in ("--with_scratch", "--HR", "--input_folder", "--keep_steps"):
        assert flag in shown
