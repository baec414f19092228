"""Measure how fast the networks run, on every engine, as a Markdown table.

    python benchmarks/performance.py
    python benchmarks/performance.py PPMSVSR:full BasicVSR:full --size 180x144 --frames 10
    python benchmarks/performance.py PPMSVSR:full --paddlegan ../PaddleGAN

Every engine has a process of its own. The processes take turns, so that other work on the machine
slows down all of them. In between, a large matrix product measures what the machine can do. The
columns are the best seconds per frame, the CPU time of that run, GFLOP/s (see complexity.py), their
share of the rate of the matrix product, the peak memory of the process without the export, and the
largest difference from the result of the first engine, relative to its largest value. Networks
without a file of weights get pseudo-random ones.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIDE = 2048
"""Of the square matrices."""

PADDLEGAN = {
    "PPMSVSR": ("msvsr", "MSVSR", {}),
    "BasicVSR": ("basicvsr", "BasicVSRNet", {}),
    "BasicVSRPlusPlus": ("basicvsr_plus_plus", "BasicVSRPlusPlus", {}),
    "IconVSR": ("iconvsr", "IconVSR", {}),
    "EDVR": (
        "edvr",
        "EDVRNet",
        {"in_nf": 3, "out_nf": 3, "scale_factor": 4, "nf": 128, "nframes": 5, "groups": 8}
        | {"front_RBs": 5, "back_RBs": 40, "center": None, "predeblur": False, "HR_in": False}
        | {"w_TSA": True},
    ),
    "RealSR": ("rrdb_net", "RRDBNet", {"in_nc": 3, "out_nc": 3, "nf": 64, "nb": 23}),
}
"""Module, class and arguments of PaddleGAN's own networks."""

OPTIONS = {
    "DeOldify": {"render_factor": 20, "steady": False},
    "DeepRemaster": {"colorization": True},
}
"""Options of predictors, by stage."""

ONE = {"RealSR": 1, "ESRGAN": 1, "DeOldify": 2, "DAIN": 2, "RIFE": 2, "SuperSloMo": 2, "EDVR": 5}
"""Frames of the clip, for stages that do not need many."""


@dataclass(frozen=True)
class Task:
    """What one process measures."""

    stage: str
    variant: str
    engine: str
    frames: int
    width: int
    height: int
    folder: str
    paddlegan: str = ""

    def clip(self) -> np.ndarray:
        """Return gray shapes that move by a pixel a frame: float32 [t, h, w, 3]."""
        import cv2

        rng = np.random.default_rng(1)
        wide = cv2.GaussianBlur(rng.random((self.height, self.width + self.frames)), (0, 0), 3)
        wide = np.float32((wide - wide.min()) / np.ptp(wide))
        frames = [wide[:, i : i + self.width] for i in range(self.frames)]
        return np.repeat(np.stack(frames)[..., None], 3, axis=3)


def ours(task: Task) -> Callable[[], np.ndarray]:
    """Return a function that restores the clip with a predictor of oldfilm."""
    from oldfilm.apps import predictor_class

    kind = predictor_class(task.stage)
    options = {**OPTIONS.get(task.stage, {}), "variant": task.variant, "device": "cpu"}
    options["weight_path"] = weights(kind.config, task)
    predictor = kind(**options, network_engine=task.engine)
    clip = task.clip()
    return lambda: predictor.predict(clip)


def weights(config: str, task: Task) -> str | None:
    """Return a file of pseudo-random weights, or None if the variant has a file."""
    from oldfilm.apps.base import build_network
    from oldfilm.weights import model
    from oldfilm.weights.search import find_standard

    variant = model(config).variant(task.variant)
    if find_standard(model(config), variant) is not None:
        return None
    path = Path(task.folder) / f"{config}-{variant.name}.safetensors"
    if not path.is_file():
        from safetensors.numpy import save_file

        rng = np.random.default_rng(0)
        made = {}
        for name, value in build_network(variant.network, variant.settings).state_dict().items():
            made[name] = value.numpy()
            if made[name].ndim > 1 and "spynet.mean" not in name and "spynet.std" not in name:
                width = np.sqrt(0.5 / np.prod(made[name].shape[1:]))
                made[name] = rng.normal(0, width, made[name].shape).astype(np.float32)
        save_file(made, path)
    return str(path)


def theirs(task: Task) -> Callable[[], np.ndarray]:
    """Return a function that runs PaddleGAN's network on the clip, as its users start it."""
    import paddle

    root = Path(task.paddlegan) / "ppgan"
    for name in ("ppgan", "ppgan.models", "ppgan.models.generators", "ppgan.utils"):
        package = types.ModuleType(name)  # Their own __init__ imports all that they ever needed.
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    module, layer, arguments = PADDLEGAN[task.stage]
    found = importlib.import_module(f"ppgan.models.generators.{module}")
    network = getattr(found, layer)(**arguments)
    network.eval()
    frames = np.ascontiguousarray(task.clip().transpose(0, 3, 1, 2))
    clip = paddle.to_tensor(frames if task.stage == "RealSR" else frames[None])

    def run() -> np.ndarray:
        with paddle.no_grad():
            made = network(clip)
        return (made[-1] if isinstance(made, (list, tuple)) else made).numpy()

    return run


def measure(task: Task) -> None:
    """Answer every line of standard input with the measurements of one run."""
    run = theirs(task) if task.paddlegan else ours(task)
    expected = Path(task.folder) / f"{task.stage}-{task.variant}-{task.frames}.npy"
    if not task.paddlegan:
        run()  # exports
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        made = run()
        facts = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        facts["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if not expected.is_file():
            np.save(expected, made)
        known = np.load(expected)
        if known.shape == made.shape and not task.paddlegan:
            facts["error"] = float(np.abs(made - known).max() / np.abs(known).max())
        print(json.dumps(facts), flush=True)


def count(task: Task) -> None:
    """Print the operations of one run."""
    from oldfilm.engine.device import import_paddle

    import_paddle()
    from complexity import Counter

    run = ours(task)
    with Counter() as counter:
        run()
    print(json.dumps(counter.operations))


class Process:
    """A process that measures, and waits for its turn."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.runs: list[dict[str, float]] = []
        command = [sys.executable, __file__, "--task", json.dumps(vars(task))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, **pipes)
        while (line := self._process.stdout.readline()) and line != "ready\n":
            pass

    def turn(self) -> None:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.runs.append(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def rate() -> float:
    """Return the operations per second of a large matrix product."""
    a = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)
    start = time.perf_counter()
    a @ a
    return 2 * SIDE**3 / (time.perf_counter() - start)


def rows(tasks: list[Task], runs: int) -> Iterator[str]:
    """Measure one variant on all its engines; yield a row of the table for each."""
    counted = subprocess.run(
        [sys.executable, __file__, "--count", json.dumps(vars(tasks[0]) | {"engine": "paddle"})],
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    operations = json.loads(counted.splitlines()[-1]) if counted else 0
    processes = [Process(task) for task in tasks]
    rates = []
    for _ in range(runs):
        for process in processes:
            rates.append(rate())
            process.turn()
    for process in processes:
        task = process.task
        best = min(process.runs, key=lambda run: run["wall"])
        speed = operations / best["wall"]
        yield (
            f"| {task.stage} | {task.variant} | {task.engine} | {task.frames} of "
            f"{task.width}x{task.height} | {best['wall'] / task.frames:.2f} | "
            f"{best['cpu'] / task.frames:.2f} | {speed / 1e9:.0f} | "
            f"{speed / max(rates):.0%} | {best['memory'] / 2**30:.2f} | "
            f"{best.get('error', float('nan')):.0e} |"
        )
        process.close()


def variants(names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield stages and variants: those named, or all."""
    from oldfilm.apps import PREDICTORS, predictor_class
    from oldfilm.weights import model

    for name in names or PREDICTORS:
        stage, _, variant = name.partition(":")
        known = model(predictor_class(stage).config).variants
        yield from ((stage, each) for each in ([variant] if variant else known))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", metavar="STAGE[:VARIANT]", help="all by default")
    parser.add_argument("--engines", nargs="+", default=["onnx", "paddle"], metavar="ENGINE")
    parser.add_argument("--size", default="180x144", metavar="WxH")
    parser.add_argument("--frames", type=int, default=10, help="frames of a clip")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--paddlegan", default="", metavar="PATH", help="a checkout of PaddleGAN")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--count", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.task:
        return measure(Task(**json.loads(given.task)))
    if given.count:
        return count(Task(**json.loads(given.count)))
    width, height = map(int, given.size.split("x"))
    print(
        "| stage | variant | engine | clip | s/frame | CPU s/frame | GFLOP/s | share | GiB "
        "| error |\n"
        "|---|---|---|---|---:|---:|---:|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for stage, variant in variants(given.name):
            frames = min(given.frames, ONE.get(stage, given.frames))
            facts = (frames, width, height, folder)
            tasks = [Task(stage, variant, engine, *facts) for engine in given.engines]
            if given.paddlegan and stage in PADDLEGAN:
                tasks.append(Task(stage, variant, "PaddleGAN", *facts, given.paddlegan))
            for row in rows(tasks, given.runs):
                print(row, flush=True)
    return None


if __name__ == "__main__":
    main()
