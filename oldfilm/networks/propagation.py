"""How the video networks go through a clip, without a framework.

Every network is a set of steps: layers that take and return features of single frames. Here they
are applied in order, on tensors, or on arrays if each step is an exported graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from operator import attrgetter
from typing import Any

Features = Any
"""A tensor or an array: [n, c, h, w]."""

Steps = Callable[[str], Callable[..., Any]]
"""Returns a step by its attribute path in the network. A step with one result returns it bare."""

BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")
"""Branches of BasicVSR++, in order; each takes the features of all branches before it."""

FAST = 32
"""Pixels. Where the second block of RIFE 4.0 corrects both flows by more than this, the frames move
faster than its blocks can see, and all blocks run at half of their size."""

ALL = slice(None)
"""All frames of a clip."""


def steps_of(network: Any) -> Steps:
    """Return the steps of a network itself, for tensors."""
    return lambda path: attrgetter(path)(network)


def propagate(
    step: Callable[[Features, Features, Features], Features],
    frames: Sequence[Features],
    hidden: Features,
) -> Iterator[Features]:
    """Yield the features of each frame and those before it, as `basicvsr.Propagation` makes them.

    frames: in the direction of propagation. hidden: the features before the first, all 0.
    """
    neighbor = frames[0]
    for frame in frames:
        hidden = step(frame, neighbor, hidden)
        neighbor = frame
        yield hidden


def basicvsr(
    steps: Steps, frames: Sequence[Features], nothing: Features, core: slice = ALL
) -> Iterator[Features]:
    """Yield the enlarged frames of a clip, with the steps of `basicvsr.BasicVSRNet`.

    frames: RGB [n, 3, h, w] in [0, 1]. nothing: features [n, mid_channels, h, w], all 0. core: the
    frames to enlarge; the others are only seen.
    """
    later = list(propagate(steps("backward_step"), frames[::-1], nothing))[::-1]
    earlier = propagate(steps("forward_step"), frames, nothing)
    wanted = range(len(frames))[core]
    for i, features in enumerate(zip(later, earlier, frames)):
        if i in wanted:
            yield steps("reconstruction")(*features)


def ppmsvsr(steps: Steps, frames: Sequence[Features], core: slice = ALL) -> Iterator[Features]:
    """Yield the enlarged frames of a clip, with the steps of `ppmsvsr.PPMSVSR`.

    frames: RGB [n, 3, h, w] in [0, 1]; h and w at least 64. core: as in `basicvsr`.
    """
    to_next, to_previous = _flows(steps("spynet"), frames)
    spatial = [steps("feat_extract")(frame) for frame in frames]
    known = [[fused] for fused in _fused(steps, spatial, to_next, to_previous)]
    later = _carried(steps, "stage2_backward", spatial, known, to_next)
    earlier = _carried(steps, "stage2_forward", spatial, known, to_previous)
    guides = [steps("guide")(*seen, *made) for *seen, made in zip(frames, spatial, known)]
    _carried(steps, "stage3_backward", guides, known, to_next, later)
    del later
    _carried(steps, "stage3_forward", guides, known, to_previous, earlier)
    del earlier, guides
    for i in range(len(frames))[core]:
        yield steps("enlargement")(frames[i], spatial[i], *known[i])


def _flows(
    flow: Callable[[Features, Features], Features], frames: Sequence[Features]
) -> tuple[list[Features], list[Features]]:
    """Return the flow [n, 2, h, w] of each frame to the next and the previous one, or None."""
    pairs = list(zip(frames, frames[1:]))
    to_next = [flow(frame, after) for frame, after in pairs]
    to_previous = [flow(after, frame) for frame, after in pairs]
    return [*to_next, None], [None, *to_previous]


def _fused(
    steps: Steps,
    spatial: Sequence[Features],
    to_next: Sequence[Features],
    to_previous: Sequence[Features],
) -> Iterator[Features]:
    """Stage 1 of PP-MSVSR: fuse the features of each frame with those of its aligned neighbors."""
    for i, current in enumerate(spatial):
        parts = [current]
        for j, flow in ((i + 1, to_next[i]), (i - 1, to_previous[i])):
            known = flow is not None
            parts.append(steps("stage1_align")(spatial[j], current, flow) if known else 0 * current)
        yield steps("stage1_blocks")(*parts)


def _carried(
    steps: Steps,
    name: str,
    guides: Sequence[Features],
    known: list[list[Features]],
    flows: Sequence[Features],
    samplings: Sequence[Any] | None = None,
) -> list[Any]:
    """Stages 2 and 3 of PP-MSVSR: propagate in one direction, and append the features to `known`.

    guides: for each frame, the features to align to. known: for each frame, its features so far.
    flows: from each frame to the one before it in this direction. samplings: the result of stage 2
    for this direction. Returns the sampling (offsets and mask) of the alignment at each frame.
    """
    found: list[Any] = [None] * len(guides)
    order = range(len(guides))
    carried = 0 * guides[0]
    for i in reversed(order) if name.endswith("backward") else order:
        if flows[i] is not None:
            seen = (carried, guides[i], flows[i])
            if samplings is None:
                carried, *found[i] = steps(f"deform_align.{name}")(*seen)
            else:
                carried = steps(f"deform_align.{name}")(*seen, *samplings[i])
        carried = steps(f"backbone.{name}")(guides[i], *known[i], carried)
        known[i].append(carried)
    return found


def basicvsr_plus_plus(
    steps: Steps, frames: Sequence[Features], core: slice = ALL
) -> Iterator[Features]:
    """Yield the enlarged frames of a clip, with the steps of `basicvsr_plus_plus.BasicVSRPlusPlus`.

    frames: RGB [n, 3, h, w] in [0, 1]. core: as in `basicvsr`.
    """
    to_next, to_previous = _flows(steps("spynet"), frames)
    known = [[steps("feat_extract")(frame)] for frame in frames]
    for branch in BRANCHES:
        if branch.startswith("backward"):
            found = _twice_aligned(steps, branch, known[::-1], to_next[::-1])[::-1]
        else:
            found = _twice_aligned(steps, branch, known, to_previous)
        for features, new in zip(known, found):
            features.append(new)
    for i in range(len(frames))[core]:
        yield steps("enlargement")(frames[i], *known[i])


def _twice_aligned(
    steps: Steps,
    branch: str,
    known: Sequence[Sequence[Features]],
    flows: Sequence[Features],
) -> list[Features]:
    """Propagate features through the clip along one branch of BasicVSR++.

    known: for each frame, in the branch's order, its own features and those of earlier branches.
    flows: from each frame but the first to the frame before it in that order.
    Returns features [n, mid_channels, h, w] of each frame.
    """
    nothing = 0 * known[0][0]
    found: list[Features] = []
    for i, features in enumerate(known):
        hidden = nothing
        if i:
            flow = flows[i]
            before, far_flow = nothing, 0 * flow
            if i > 1:
                before, far_flow = found[-2], steps("far_flow")(flow, flows[i - 1])
            seen = (features[0], found[-1], before, flow, far_flow)
            hidden = steps(f"deform_align_{branch}")(*seen)
        found.append(steps(f"backbone_{branch}")(*features, hidden))
    return found


def iconvsr(
    steps: Steps,
    frames: Sequence[Features],
    keyframes: Set[int],
    reach: int,
    core: slice = ALL,
) -> Iterator[Features]:
    """Yield the enlarged frames of a clip, with the steps of `iconvsr.IconVSR`.

    frames: RGB [n, 3, h, w] in [0, 1]; h, w: multiples of 4. keyframes: see `keyframes_of`.
    reach: neighbors on either side that a keyframe's features are taken from. core: as in
    `basicvsr`.
    """
    refills = {i: steps("edvr")(*_around(frames, i, reach)) for i in sorted(keyframes)}
    hidden = nothing = 0 * refills[0]
    later = []
    for i in reversed(range(len(frames))):
        if i + 1 < len(frames):
            hidden = steps("moved")(hidden, frames[i], frames[i + 1])
        if i in refills:
            hidden = steps("backward_refill")(hidden, refills[i])
        hidden = steps("backward_resblocks")(frames[i], hidden)
        later.append(hidden)
    hidden = nothing
    for i, frame in enumerate(frames):
        if i:
            hidden = steps("moved")(hidden, frame, frames[i - 1])
        if i in refills:
            hidden = steps("forward_refill")(hidden, refills[i])
        hidden = steps("forward_resblocks")(frame, later.pop(), hidden)
        if i in range(len(frames))[core]:
            yield steps("enlargement")(hidden, frame)


def keyframes_of(count: int, number: int, stride: int) -> set[int]:
    """Return the indices of IconVSR's keyframes among `count` frames.

    They are the first and the last frame, and those whose number in the shot is a multiple of
    the stride. number: number of the first frame in its shot.
    """
    regular = {i for i in range(count) if (number + i) % stride == 0}
    return {0, count - 1} | regular


def _around(frames: Sequence[Features], index: int, reach: int) -> list[Features]:
    """Return a frame and its neighbors, `reach` on either side.

    Beyond the ends are frames that are not in the window of that end: 4, 3 | 0, 1, 2, ... and
    ... | -4, -5. A clip that is too short for that repeats its other end.
    """
    last = len(frames) - 1
    before = [min(2 * reach - i, last) for i in range(reach)]
    after = [max(last - reach - 1 - i, 0) for i in range(reach)]
    padded = [*before, *range(last + 1), *after]
    return [frames[i] for i in padded[index : index + 2 * reach + 1]]


def edvr(
    steps: Steps, frames: Sequence[Features], windows: Iterable[Sequence[int]]
) -> Iterator[Features]:
    """Yield the enlarged center frame of each window, with the steps of `edvr.EDVRNet`.

    frames: RGB [n, 3, h, w] in [0, 1]; h, w: multiples of 4. windows: numbers of frames.
    """
    levels: dict[int, Any] = {}
    for window in windows:
        levels = {i: levels.get(i) or steps("levels")(frames[i]) for i in window}
        center = window[len(window) // 2]
        aligned = [steps("PCDModule")(*levels[i], *levels[center]) for i in window]
        yield steps("enlargement")(*aligned, frames[center])


def deepremaster(
    steps: Steps, luma: Features, near: Features | None, far: Features | None
) -> Features:
    """Color the frames of one block, with the steps of `deepremaster.NetworkC`.

    Arguments and result as those of `NetworkC.forward`.
    """
    eighth = steps("start")(luma)
    if near is not None:
        eighth = steps("stattn1")(eighth, near)
    sixteenth = steps("down2")(eighth)
    if far is not None:
        sixteenth = steps("stattn2")(sixteenth, far)
    sixteenth = steps("conv1")(sixteenth)
    sixteenth = steps("selfattn1")(sixteenth, sixteenth)
    eighth = steps("up1")(sixteenth, steps("flat")(eighth))
    eighth = steps("selfattn2")(eighth, eighth)
    return steps("coloring")(eighth)


def rife_4(steps: Steps, both: Features, features: Sequence[Features], time: Features) -> Features:
    """Interpolate a frame, with the steps of `rife_4.IFNet`.

    both: two frames, RGB in [0, 1], concatenated: [1, 6, h, w]. features: of `rife_4.ContextNet`,
    each of both frames, concatenated. time: [1, 1, h, w], the same everywhere.
    """
    pace = "usual"
    motion, change = _coarse(steps, pace, both, time)
    if min(_largest(change[:, 1:3]), _largest(change[:, 3:])) > FAST:
        pace = "fast"
        motion, change = _coarse(steps, pace, both, time)
    for number in (2, 3):
        motion = motion + change
        change = steps(f"{pace}.{number}")(steps("warp")(both, motion[:, 1:]), time, motion)
    motion = motion + change
    flow = motion[:, 1:]
    warped = steps("warp")(both, flow)
    moved = []
    for level in features:
        flow = _halved(flow)
        moved.append(steps("warp")(level, flow))
    return steps("refinement")(both, warped, motion, *moved)


def _coarse(steps: Steps, pace: str, both: Features, time: Features) -> tuple[Features, Features]:
    """Return the motion that the first block of RIFE 4.0 finds, and how the second changes it."""
    motion = steps(f"{pace}.0")(both, time)
    return motion, steps(f"{pace}.1")(steps("warp")(both, motion[:, 1:]), time, motion)


def _halved(flow: Features) -> Features:
    """Return a flow at half of its size, in pixels of that size."""
    rows = flow[:, :, ::2] + flow[:, :, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]) / 8


def _largest(x: Features) -> float:
    return max(float(x.max()), -float(x.min()))
