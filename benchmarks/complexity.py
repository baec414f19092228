"""Count the parameters and operations of the networks in configs/, as a Markdown table.

    python benchmarks/complexity.py [CONFIG ...]

A multiplication and an addition count as two operations. Counted are convolutions (including
deformable and transposed ones) and matrix products, but not resizing, warping, sums or activations.
They are not computed: each is replaced by zeros of its output shape.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import paddle
import yaml
from paddle import Tensor, nn

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

CLIP = 10
"""Frames of a clip for recurrent networks, which return as many."""


class Counter:
    """Replaces Paddle's operators by ones that count."""

    def __init__(self) -> None:
        self.operations = 0
        names = "conv2d", "conv2d_transpose", "deformable_conv", "linear", "bmm", "matmul"
        self._real = {name: getattr(paddle._C_ops, name) for name in names}

    def __enter__(self) -> Counter:
        for name in self._real:
            setattr(paddle._C_ops, name, getattr(self, name))
        return self

    def __exit__(self, *_: object) -> None:
        for name, real in self._real.items():
            setattr(paddle._C_ops, name, real)

    def conv2d(self, x: Tensor, weight: Tensor, *rest: object) -> Tensor:
        strides, paddings, algorithm, dilations, *others = rest
        # Let Paddle compute the shape, on a single channel.
        thin = (x[:, :1], weight[:1, :1], strides, paddings, algorithm, dilations, 1, *others[1:])
        return self._convolved(self._real["conv2d"](*thin).shape, weight)

    def deformable_conv(self, x: Tensor, offset: Tensor, weight: Tensor, *rest: object) -> Tensor:
        return self._convolved(offset.shape, weight)

    def _convolved(self, shape: list[int], weight: Tensor) -> Tensor:
        """Return zeros of the output shape; each value costs the products of one window."""
        made = paddle.zeros([shape[0], weight.shape[0], *shape[2:]])
        self.operations += 2 * made.size * math.prod(weight.shape[1:])
        return made

    def conv2d_transpose(self, x: Tensor, weight: Tensor, *rest: object) -> Tensor:
        self.operations += 2 * int(x.size) * math.prod(weight.shape[1:])
        return self._real["conv2d_transpose"](x, weight, *rest)

    def linear(self, x: Tensor, weight: Tensor, *_: object) -> Tensor:
        made = paddle.zeros([*x.shape[:-1], weight.shape[1]])
        self.operations += 2 * int(made.size) * weight.shape[0]
        return made

    def bmm(self, x: Tensor, y: Tensor) -> Tensor:
        return self.matmul(x, y)

    def matmul(self, x: Tensor, y: Tensor, *rest: object, **named: object) -> Tensor:
        across, back = rest or [named.get(f"transpose_{name}", False) for name in "xy"]
        batch = paddle.broadcast_shape(x.shape[:-2], y.shape[:-2])
        size = x.shape[-1 if across else -2], y.shape[-2 if back else -1]
        made = paddle.zeros([*batch, *size])
        self.operations += 2 * int(made.size) * x.shape[-2 if across else -1]
        return made


def frame(*size: int, channels: int = 3) -> Tensor:
    return paddle.zeros([1, channels, *size])


def clip(network: nn.Layer, frames: int = CLIP) -> None:
    network(paddle.zeros([1, frames, 3, *SMALL]))


def clip_with_flow(network: nn.Layer) -> None:
    flow = paddle.zeros([1, CLIP - 1, 2, *SMALL])
    network(paddle.zeros([1, CLIP, 3, *SMALL]), flow, flow)


def dain(network: nn.Layer) -> None:
    """Interpolate one frame: flow and depth of both neighbors, then `DAIN.forward`."""
    picture = frame(*BETWEEN)
    network.flownets(picture, picture)
    network.flownets(picture, picture)
    network.depthNet(picture)
    network.depthNet(picture)
    trunk = network.initScaleNets_filter(frame(*BETWEEN, channels=6))
    network.initScaleNets_filter1(trunk)
    network.initScaleNets_filter2(trunk)
    parts = [frame(*BETWEEN, channels=channels) for channels in (4, 4, 6, 4, 32)]
    network(*parts, paddle.full([1, 1, 1, 1], 0.5))


def dain_lite(network: nn.Layer) -> None:
    network(*[frame(*BETWEEN, channels=channels) for channels in (12, 4, 2, 1)])


def rife(network: nn.Layer) -> None:
    picture = frame(*BETWEEN)
    features = network.encode(picture), network.encode(picture)
    network(picture, picture, *features, paddle.full([1, 1, 1, 1], 0.5))


def pair(network: nn.Layer) -> None:
    picture = frame(*BETWEEN)
    network(picture, picture, paddle.full([1, 1, 1, 1], 0.5))


def deep_remaster(network: nn.Layer) -> None:
    """A block of five frames, and the features of one reference."""
    luma = network.modelR(paddle.zeros([5, 1, 368, 480]))
    near = network.modelC.reffeatnet1(frame(256, 256))
    network.modelC(luma, near, network.modelC.reffeatnet2(near))


def face(network: nn.Layer) -> None:
    """Restore one face, at the size of the network's largest features."""
    side = 4 * 2 ** (len(network.encoders) - 1)
    network(frame(side, side))


def old_photo_lite(network: nn.Layer) -> None:
    """Run the two detectors and the restorer once each, at the size of the photograph."""
    picture = frame(*PHOTOGRAPH)
    network.detector(picture, picture)
    network.creases(picture, picture)
    network.restorer(picture, picture, frame(*PHOTOGRAPH, channels=1))


def mapping(network: nn.Layer) -> None:
    network(frame(*(side // 4 for side in PHOTOGRAPH), channels=64))


def scratch_mapping(network: nn.Layer) -> None:
    """Map features of a photograph whose upper left quarter is damaged."""
    height, width = PHOTOGRAPH
    mask = frame(height, width, channels=1)
    mask[:, :, : height // 2, : width // 2] = 1
    network(frame(height // 4, width // 4, channels=64), mask)


SMALL = 96, 128
"""Height and width of frames to enlarge."""

BETWEEN = 256, 448
"""Height and width of Vimeo-90K's frames."""

PHOTOGRAPH = 256, 384
"""Height and width of a photograph to restore."""

RUNS: dict[str, tuple[Callable[[nn.Layer], object], float, str]] = {
    "basicvsr.BasicVSRNet": (clip, CLIP, "128x96 -> 512x384"),
    "basicvsr_plus_plus.BasicVSRPlusPlus": (clip, CLIP, "128x96 -> 512x384"),
    "iconvsr.IconVSR": (clip, CLIP, "128x96 -> 512x384"),
    "ppmsvsr.PPMSVSR": (clip, CLIP, "128x96 -> 512x384"),
    "ppmsvsr_lite.PPMSVSRLite": (clip_with_flow, CLIP, "128x96 -> 512x384, flow not counted"),
    "edvr.EDVRNet": (lambda network: clip(network, 5), 1, "five of 128x96 -> 512x384"),
    "rrdbnet.RRDBNet": (lambda network: network(frame(*SMALL)), 1, "128x96 -> 512x384"),
    "srvgg.SRVGGNetCompact": (lambda network: network(frame(*SMALL)), 1, "128x96 -> 512x384"),
    "mprnet.MPRNet": (lambda network: network(frame(*PHOTOGRAPH)), 1, "384x256"),
    "nafnet.NAFNet": (lambda network: network(frame(*PHOTOGRAPH)), 1, "384x256"),
    # A sixteenth of the photograph: SwinIR looks at each window alone, and is slow in full.
    "swinir.SwinIR": (lambda network: network(frame(64, 96)), 1 / 16, "384x256"),
    "invdn.InvDN": (
        lambda network: network(frame(*PHOTOGRAPH), frame(*PHOTOGRAPH)),
        1,
        "384x256, one of eight positions",
    ),
    "aotgan.InpaintGenerator": (
        lambda network: network(frame(*PHOTOGRAPH), frame(*PHOTOGRAPH, channels=1)),
        1,
        "384x256",
    ),
    "midas.MidasNet": (lambda network: network(frame(*PHOTOGRAPH)), 1, "384x256"),
    "gpen.GPENGenerator": (face, 1, "one face"),
    "deblur_lite.DeblurLite": (
        lambda network: network(frame(*PHOTOGRAPH, channels=1)),
        1,
        "384x256",
    ),
    "deoldify.Stable": (lambda network: network(frame(512, 512)), 1, "512x512 (render factor 32)"),
    "deoldify.Artistic": (
        lambda network: network(frame(512, 512)),
        1,
        "512x512 (render factor 32)",
    ),
    "deoldify_lite.DeOldifyLite": (
        lambda network: network(frame(128, 192, channels=1)),
        1,
        "192x128 (render factor 9, one of two looks)",
    ),
    "deepremaster.DeepRemaster": (deep_remaster, 5, "480x368, one reference of 256x256"),
    "dain.DAIN": (dain, 1, "between two of 448x256"),
    "dain_lite.DAINLite": (dain_lite, 1, "between two of 448x256, flow not counted"),
    "rife.IFNet": (rife, 1, "between two of 448x256"),
    "rife_4.IFNet": (pair, 1, "between two of 448x256"),
    "super_slomo.SuperSloMo": (pair, 1, "between two of 448x256"),
    "old_photo_lite.OldPhotoLite": (old_photo_lite, 1, "384x256, all three networks"),
    "old_photo_scratches.ScratchDetector": (
        lambda network: network(frame(*PHOTOGRAPH, channels=1)),
        1,
        "384x256",
    ),
    "old_photo_restoration.VAE": (
        lambda network: network(frame(*PHOTOGRAPH)),
        1,
        "384x256, encoder and decoder",
    ),
    "old_photo_restoration.Mapping": (mapping, 1, "384x256"),
    "old_photo_restoration.ScratchMapping": (scratch_mapping, 1, "384x256, a quarter damaged"),
    "old_photo_restoration.PatchMapping": (scratch_mapping, 1, "384x256, a quarter damaged"),
    "old_photo_faces.FaceGenerator": (
        lambda network: network(frame(256, 256)),
        1,
        "one face of 256x256",
    ),
}
"""How to run a network, the frames that it returns, and their size; by `network` in configs/."""


def built(variant: dict) -> nn.Layer:
    module, _, layer = variant["network"].rpartition(".")
    network = getattr(import_module(f"oldfilm.networks.{module}"), layer)
    network = network(**(variant.get("settings") or {}))
    if hasattr(network, "fold"):
        network.fold()
    network.eval()
    return network


def parameters(network: nn.Layer) -> int:
    """Count the parameters of a network as it runs, with spectral norm folded."""
    # Paddle counts running means of normalization as parameters, but not as trainable ones.
    return sum(int(p.size) for p in network.parameters() if p.trainable)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "config", nargs="*", metavar="CONFIG", help="such as ppmsvsr; all by default"
    )
    names = parser.parse_args().config or sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    print(
        "| model | variant | parameters, millions | GFLOPs per frame | size |\n"
        "|---|---|---:|---:|---|"
    )
    known: dict[str, str] = {}
    for name in names:
        stated = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
        for variant, facts in stated["variants"].items():
            key = f"{facts['network']} {facts.get('settings')}"
            if key not in known:
                known[key] = row(facts)
            print(f"| {stated['name']} | {variant} | {known[key]} |", flush=True)


def row(facts: dict) -> str:
    network = built(facts)
    run, frames, size = RUNS[facts["network"]]
    with paddle.no_grad(), Counter() as counter:
        run(network)
    return f"{parameters(network) / 1e6:.2f} | {counter.operations / frames / 1e9:.1f} | {size}"


if __name__ == "__main__":
    main()
