"""A job in a process of its own: `python -m tests.reliability.job SOURCE OUTPUT LENGTH STAGE...`.

LENGTH: frames of a segment. Beside all stages of ours there is Darker, and Limited, which does the
same; but when it makes its 10th frame, there is hardly more memory than is taken by then.
"""

import sys

import psutil

from oldfilm import pipeline
from oldfilm.apps.chains import predictors
from oldfilm.errors import OldfilmError
from tests.reliability.stages import Darker, Meanwhile


def no_more_memory():
    import resource

    taken = psutil.Process().memory_info().vms + (32 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (taken, taken))


def chain(names):
    ours = {"Darker": Darker(), "Limited": Meanwhile(no_more_memory)}
    for name in names:
        if name in ours:
            yield ours[name]
        else:
            yield from predictors([name], {"variant": "lite", "device": "cpu"})


def restore(source, output, length, *names):
    options = pipeline.Options(segment_frames=int(length), deinterlace="off")
    pipeline.restore(source, list(chain(names)), output, options)


if __name__ == "__main__":
    try:
        restore(*sys.argv[1:])
    except OldfilmError as error:
        sys.exit(str(error))
