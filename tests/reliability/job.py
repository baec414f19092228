"""Run a job in its own process: `python -m tests.reliability.job SOURCE OUTPUT LENGTH STAGE...`.

LENGTH: maximum frames per segment. A worker restores them, as on the command line. The stages are
those of oldfilm, also as STAGE/ENGINE, and two more: Darker, and Limited, which does the same, but
leaves hardly any free memory at its 10th frame. A chain with Limited runs without a worker.
"""

import contextlib
import functools
import sys

import psutil

from oldfilm import pipeline
from oldfilm.api import predictors
from oldfilm.errors import OldfilmError
from tests.reliability import job
from tests.reliability.stages import Darker, Meanwhile


def no_more_memory():
    import resource

    used = psutil.Process().memory_info().vms + (32 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (used, used))


def chain(names):
    ours = {"Darker": Darker(), "Limited": Meanwhile(no_more_memory)}
    return [ours[name] if name in ours else predictor(*name.split("/")) for name in names]


def predictor(name, engine="auto"):
    options = {"variant": "lite", "device": "cpu", "network_engine": engine}
    return predictors([name], options)[0]


def restore(source, output, length, *names):
    options = pipeline.RestoreOptions(segment_frames=int(length), deinterlace="off")
    opened = contextlib.nullcontext()
    if "Limited" not in names:  # A worker could not unpickle a function of __main__.
        opened = pipeline.LocalExecutor(functools.partial(job.chain, names), 1)
    with opened as executor:
        pipeline.restore(source, chain(names), output, options, executor=executor)


if __name__ == "__main__":
    try:
        restore(*sys.argv[1:])
    except OldfilmError as error:
        sys.exit(str(error))
