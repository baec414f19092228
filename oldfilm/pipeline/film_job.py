"""One job: a film or a photograph, a chain, a result."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from oldfilm import media
from oldfilm.errors import MachineError, MediaError, OptionError, from_os
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.checkpoint import Manifest, Plan
from oldfilm.pipeline.completed_jobs import is_completed, remember
from oldfilm.pipeline.executors.base import (
    Executor,
    InProcessExecutor,
    JobSpec,
    SegmentTask,
    TaskProgress,
    sized,
)
from oldfilm.pipeline.fingerprint import SourceFiles, chain_fingerprint, diff, job_fingerprint
from oldfilm.pipeline.free_space import check_free_space
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.resize import Resize
from oldfilm.pipeline.segments import Segment, segments
from oldfilm.pipeline.windows import Span
from oldfilm.pipeline.workdir import WorkDir, open_workdir
from oldfilm.stage import FilmFacts, FilmInfo, FingerprintValue, Frame, Stage
from oldfilm.system.files import sync
from oldfilm.system.threads import threads

ANALYZING, RESTORING, JOINING = "Analyzing", "Restoring", "Joining"


_DONE = "nothing was made: an earlier run has done this very job"


@dataclass(frozen=True)
class JobProgress:
    """How far a job is.

    part: ANALYZING, RESTORING or JOINING. done, total: frames. speeds: frames a second that each
    stage makes while it works.
    """

    part: str
    done: int
    total: int
    speeds: dict[str, float] = field(default_factory=dict)


Progress = Callable[[JobProgress], None]


@dataclass(frozen=True)
class Summary:
    """What came in, what went out, and how long it took.

    notes: plain sentences on what could not be kept as it was. frames: pattern of the saved frames.
    """

    source: Path
    path: Path
    before: FilmInfo
    after: FilmInfo
    seconds: float
    stage_seconds: dict[str, float]
    notes: tuple[str, ...] = ()
    compare: Path | None = None
    frames: str | None = None


def restore(
    source: str | Path,
    stages: Sequence[Stage],
    output: str | Path = "output",
    options: RestoreOptions | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Summary:
    """Send a film or a photograph through a chain of stages.

    source: a film, a photograph, or a folder of numbered frames. output: a folder, or the result's
    own path when it ends in a film's, picture's or GIF's extension; `folder/%08d.png` for a folder
    of numbered pictures. executor: what restores a film's segments; by default this process, one
    after the other. They change none of the frames.

    Nothing is written under the result's name before it is complete. Where an earlier run of the
    same job was stopped, its finished segments are taken, and the result is the same.

    Raises:
        MediaError: the source cannot be read, or the result not be written.
        OptionError: options that cannot work on this source, or are not those of the earlier run.
    """
    source, options = Path(source), options or RestoreOptions()
    job = (source, sized(stages, options.height), Path(output), options)
    try:
        if media.is_photograph(source):
            return _Photograph(*job).restore()
        return _Film(*job, progress or _silent, executor).restore()
    except OSError as error:
        raise from_os(str(error.filename or output), error) from error
    except (MemoryError, RuntimeError, cv2.error) as error:
        if not _is_short_of_memory(error):
            raise
        raise MachineError(f"{source}: this machine's memory does not hold its frames.") from error


def _is_short_of_memory(error: Exception) -> bool:
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    return isinstance(error, MemoryError) or "start new thread" in str(error)


def _silent(report: JobProgress) -> None:
    pass


def result_path(
    source: Path, stages: Sequence[Stage], output: Path, suffix: str, label: str | None = None
) -> Path:
    """Return `<output>/<name>_<Stage>_<Stage>_out<suffix>`, or `output` if it names a file.

    label: replaces the names of the stages.
    """
    if output.name == media.FRAMES_PATTERN:
        return output.parent
    if is_result_path(output):
        return output
    stem = source.name if source.is_dir() else source.stem
    names = label or "_".join(stage.name for stage in stages if not isinstance(stage, Resize))
    return output / f"{stem}_{names}_out{suffix}"


def is_result_path(output: Path) -> bool:
    """Whether `--output` names the result itself, not a folder."""
    return output.suffix.lower() in media.RESULT_SUFFIXES and not output.is_dir()


def _deinterlacing(stages: Sequence[Stage], options: RestoreOptions) -> str:
    """What is asked of the decoder, by the options or by a stage.

    Raises:
        OptionError: they contradict each other, or such a stage comes after others.
    """
    asked = [stage.fields for stage in stages if stage.fields]
    if not asked:
        return options.deinterlace
    if options.deinterlace == "off":
        raise OptionError("--deinterlace off, but Deinterlace is a stage: leave out one of them.")
    if not stages[0].fields:
        raise OptionError("fields can only be seen in the source: Deinterlace comes first.")
    return "double" if "double" in (options.deinterlace, *asked) else "on"


def _claim(path: Path, source: Path, overwrite: bool) -> None:
    """Refuse a result that exists, or that is the source itself."""
    if path.exists():
        if path.resolve() == source.resolve():
            raise MediaError(f"{path} is the source itself: give another --output.")
        if not overwrite:
            raise MediaError(f"{path} exists: give --overwrite to replace it, or another --output.")
    path.parent.mkdir(parents=True, exist_ok=True)


class _Photograph:
    """A photograph goes through the chain as a film of one frame."""

    def __init__(
        self, source: Path, stages: Sequence[Stage], output: Path, options: RestoreOptions
    ) -> None:
        if any(stage.fields for stage in stages):
            raise OptionError(f"{source} is a photograph: leave Deinterlace out, it is for films.")
        self.source = source
        self.path = result_path(source, stages, output, ".png", options.label)
        self.stages = stages
        self.options = options

    def restore(self) -> Summary:
        began = time.monotonic()
        photograph = media.read_photograph(self.source)
        height, width, channels = photograph.image.shape
        chain = Chain(self.stages, FilmInfo(width, height, Fraction(1), 1, channels))
        if chain.result.frames != 1:
            raise OptionError(
                f"{self.source} is a photograph: leave DAIN out, it makes new frames."
            )
        compare = None
        if self.options.compare:
            compare = self.path.with_name(f"{self.path.stem}_compare.png")
        targets = [path for path in (self.path, compare) if path]
        job = job_fingerprint(SourceFiles([self.source]), chain, self.options.deciding_frames())
        again = self.options.overwrite or self.options.restart
        if not again and is_completed(lambda: job, targets):
            return self._summary(chain, began, compare, [_DONE])
        for path in targets:
            _claim(path, self.source, self.options.overwrite)
        chain.analyze(FilmFacts())
        frame = Frame(photograph.image, Fraction(0))
        (restored,) = chain.run([frame], Span(Fraction(0), Fraction(1)))
        notes = media.write_photograph(
            self.path,
            restored.image,
            alpha=_resized(photograph.alpha, restored.image),
            bits=photograph.bits,
            exif=photograph.exif,
            icc=photograph.icc,
        )
        if compare:
            media.write_photograph(compare, media.side_by_side(frame.image, restored.image))
        remember(job, targets)
        return self._summary(
            chain, began, compare, [*([photograph.damage] if photograph.damage else []), *notes]
        )

    def _summary(
        self, chain: Chain, began: float, compare: Path | None, notes: Sequence[str]
    ) -> Summary:
        return Summary(
            source=self.source,
            path=self.path,
            before=chain.info,
            after=chain.result,
            seconds=time.monotonic() - began,
            stage_seconds=_stage_seconds(chain),
            notes=tuple(notes),
            compare=compare,
        )


class _Film:
    """A film goes through the chain segment by segment."""

    def __init__(
        self,
        source: Path,
        stages: Sequence[Stage],
        output: Path,
        options: RestoreOptions,
        progress: Progress,
        executor: Executor | None,
    ) -> None:
        self.source = source
        given = media.numbered_frames(source) if source.is_dir() else [source]
        self.files = SourceFiles(given)
        film = media.Film.open(source, options.input_fps)
        self.film, self.told = media.deinterlaced(film, _deinterlacing(stages, options))
        self.settings = media.EncodeSettings(options.codec, options.crf, options.pix_fmt)
        suffix = media.default_suffix(self.settings)
        self.path = result_path(source, stages, output, suffix, options.label)
        self.pictures = output.name == media.FRAMES_PATTERN
        if not self.pictures and media.is_photograph(self.path):
            raise OptionError(
                f"{source} has many frames, {self.path} holds one: give a film's name, "
                f"or {self.path.with_suffix('') / media.FRAMES_PATTERN} for numbered pictures."
            )
        self.stages = stages
        self.options = options
        self.progress = progress
        self.executor = executor

    def restore(self) -> Summary:
        began = time.monotonic()
        if self.options.audio is not None:
            media.first_sound(self.options.audio)  # not only when all the work is done
        chain = Chain(self.stages, self.film.info)
        with open_workdir(self.path, self.options.work_dir, self.options.restart) as work:
            replaceable = self.options.overwrite or work.finished.publishing
            targets = list(self._targets())
            if (
                not replaceable
                and not self.options.restart
                and is_completed(lambda: self._job, targets)
            ):
                return self._summary(chain, began, [_DONE])
            for path in targets:
                _claim(path, self.source, replaceable)
            trial = self._job_spec(chain).encoder(
                work.scratch / f"trial{self._segment_suffix}", chain.result
            )
            trial.check()
            if work.manifest is None:
                check_free_space(
                    work.folder,
                    chain.result,
                    self._written_to(self.path),
                    self.options.codec,
                    self.options.duration,
                )
            plan = self._plan(chain, work)
            chain = Chain(self.stages, replace(self.film.info, frames=len(plan.part)))
            if self.executor is None:  # otherwise its workers analyze chains of their own
                chain.analyze(plan.facts)
            video, told = self._video(chain, plan, work)
            notes = [*plan.notes, *told, *self._assemble(chain, plan.part, video, work)]
            self.progress(JobProgress(JOINING, chain.result.frames, chain.result.frames))
            remember(self._job, targets)
        if any(trial.padded):
            columns, rows = trial.padded
            notes.append(
                f"{columns} columns and {rows} rows were repeated at the right and the "
                "bottom: this pixel format takes even sizes only (--pix_fmt yuv444p takes any)"
            )
        return self._summary(chain, began, notes)

    @cached_property
    def _job(self) -> Mapping[str, FingerprintValue]:
        settings = {
            **self.options.deciding_frames(),
            "fields": self.film.deinterlacer and str(self.film.deinterlacer),
        }
        return job_fingerprint(self.files, Chain(self.stages, self.film.info), settings)

    def _plan(self, chain: Chain, work: WorkDir) -> Plan:
        """What an earlier run of this job has found; else what the analysis finds.

        Raises:
            OptionError: the earlier run was another job.
        """
        job = self._job
        if work.manifest is not None:
            changed = diff(work.manifest.fingerprint, job)
            if not changed:
                return work.manifest.plan
            raise OptionError(
                f"{self.path}: this job was begun differently ({'; '.join(changed)}): "
                "go on with what it had, or give --restart to begin anew."
            )
        part, facts, notes = self._analyze()
        chain = Chain(self.stages, replace(self.film.info, frames=len(part)))
        cuts = [round(cut * self.film.rate) for cut in facts.cuts]
        length = self.options.segment_frames
        stretches = segments(len(part), cuts, chain.before, chain.after, length)
        self.files.check()
        computing = self.executor.threads if self.executor else threads()
        plan = Plan(part, facts, tuple(stretches), computing, tuple(notes))
        work.begin(Manifest(job, plan))
        return plan

    def _job_spec(self, chain: Chain, plan: Plan | None = None) -> JobSpec:
        plan = plan or Plan(range(self.film.frames), FilmFacts(), ())
        return JobSpec(
            film=self.film,
            part=plan.part,
            facts=plan.facts,
            height=self.options.height,
            settings=self.settings,
            destination=self._written_to(self.path),
            fingerprint=chain_fingerprint(chain),
            threads=plan.threads,
            memory=chain.memory,
            on_gpu=chain.on_gpu,
        )

    def _piece_name(self, segment: Segment) -> str:
        return f"{segment.start:08d}{self._segment_suffix}"

    @property
    def _segment_suffix(self) -> str:
        return media.segment_suffix(self._written_to(self.path), self.settings)

    def _analyze(self) -> tuple[range, FilmFacts, list[str]]:
        """The source frames to restore, and the facts of that part, its first frame at time 0."""
        analysis = media.analyze(
            self.film, lambda done, total: self.progress(JobProgress(ANALYZING, done, total))
        )
        rate, options = self.film.rate, self.options
        start = math.ceil((options.start or 0) * rate)
        stop = analysis.frames
        if options.duration is not None:
            stop = min(stop, start + math.ceil(options.duration * rate))
        if start >= stop:
            raise OptionError(
                f"--start and --duration leave no frame of {self.source}, "
                f"which lasts {float(analysis.frames / rate):.2f} seconds."
            )
        part, offset = range(start, stop), start / rate
        facts = FilmFacts(
            cuts=tuple(t - offset for t in analysis.facts.cuts if offset < t < stop / rate),
            repeats=frozenset(t - offset for t in analysis.facts.repeats if offset < t),
            brightness=analysis.facts.brightness[start:stop],
        )
        damage = [note for note in (analysis.truncated, analysis.damage) if note]
        return part, facts, [*self.told, *damage]

    def _video(self, chain: Chain, plan: Plan, work: WorkDir) -> tuple[Path, list[str]]:
        """All segments in one file, and what is to be said of how they were made."""
        total = chain.result.frames
        name = f"video{self._segment_suffix}"
        if work.is_intact(name, work.finished.video):
            self.progress(JobProgress(RESTORING, total, total))
            return work.folder / name, [_taken(total, total)]
        tasks, taken = [], 0
        for segment in plan.segments:
            pictures = self._pictures_of(chain, segment, work)
            found = work.finished.segments.get(segment.start)
            if found and work.is_intact(self._piece_name(segment), found, pictures):
                taken += found.frames
                self.progress(_restoring(chain, taken))
            else:
                tasks.append(
                    SegmentTask(segment, work.scratch / self._piece_name(segment), pictures)
                )
        notes = [_taken(taken, total)] if taken else []
        for task, finished in self._run_tasks(chain, plan, tasks, taken):
            self.files.check()
            self._check_complete(chain, task, finished)
            work.commit(task.segment.start, task.path, finished.frames, task.pictures)
            notes += finished.notes
        self.progress(JobProgress(JOINING, 0, total))
        pieces = [work.folder / self._piece_name(segment) for segment in plan.segments]
        media.join(pieces, work.scratch / name, chain.result.rate)
        return work.commit_video(work.scratch / name, total, pieces), notes

    def _check_complete(self, chain: Chain, task: SegmentTask, finished: TaskProgress) -> None:
        """A source may end earlier than it did in the analysis, where its disk has failed."""
        start, stop = task.segment.start, task.segment.stop
        expected = chain.made_of(stop) - chain.made_of(start)
        if finished.frames != expected:
            raise MediaError(
                f"{self.source}: of the source's frames {start} to {stop} came {finished.frames} "
                f"frames, not {expected}: it can no longer be read as it could before."
            )

    def _run_tasks(
        self, chain: Chain, plan: Plan, tasks: Sequence[SegmentTask], done: int
    ) -> Iterator[tuple[SegmentTask, TaskProgress]]:
        """Yield tasks as they finish. done: frames that earlier runs have restored."""
        frames = dict.fromkeys((task.segment for task in tasks), 0)
        executor = self.executor or InProcessExecutor(chain)
        with contextlib.closing(executor.run(self._job_spec(chain, plan), tasks)) as updates:
            for task, progress in updates:
                more = progress.frames - frames[task.segment]
                frames[task.segment] = progress.frames
                chain.add(progress.work)
                if progress.finished:
                    yield task, progress
                if more:
                    done += more
                    self.progress(_restoring(chain, done))

    def _pictures_of(self, chain: Chain, segment: Segment, work: WorkDir) -> tuple[Path, ...]:
        """Where the frames of a segment are saved; nowhere where they are not to be."""
        if not self.options.save_frames:
            return ()
        work.pictures.mkdir(exist_ok=True)
        numbers = range(chain.made_of(segment.start) + 1, chain.made_of(segment.stop) + 1)
        return tuple(work.pictures / (media.FRAMES_PATTERN % number) for number in numbers)

    def _assemble(self, chain: Chain, part: range, video: Path, work: WorkDir) -> list[str]:
        """Add the source's tracks to the pictures, and give everything its final name."""
        rate, result, options = self.film.rate, chain.result, self.options
        if options.compare:
            compare = work.staging / self._compare.name
            media.compare(self.film, part.start, video, compare, result.slowdown)
            sync(compare)
        # A folder of pictures is written in place: only there can be seen what it would replace.
        finished = self.path if self.pictures else work.staging / self.path.name
        if self.pictures:
            work.begin_publishing()
        whole = len(part) == self.film.frames
        notes = media.mux(
            video,
            None if self.film.numbered else self.film,
            self._written_to(finished),
            result.rate,
            audio=options.audio,
            keep_audio=options.keep_audio,
            start=part.start / rate,
            duration=None if whole else len(part) / rate,
            slowdown=result.slowdown,
        )
        self.files.check()
        work.begin_publishing()
        if options.compare:
            compare.replace(self._compare)
        if options.save_frames:
            self._place_pictures(work)
        if finished != self.path:
            finished.replace(self.path)
        sync(self.path.parent)
        return notes

    def _place_pictures(self, work: WorkDir) -> None:
        if not work.pictures.exists():  # an earlier run came as far as this
            return
        made = work.pictures
        if work.staging != work.scratch:
            made = Path(shutil.copytree(made, work.staging / "frames"))
            for picture in made.iterdir():
                sync(picture)
        shutil.rmtree(self._frames_folder, ignore_errors=True)
        made.replace(self._frames_folder)

    def _written_to(self, path: Path) -> Path:
        """The result as `media` takes it."""
        return path / media.FRAMES_PATTERN if self.pictures else path

    def _targets(self) -> Iterator[Path]:
        yield self.path
        if self.options.save_frames:
            yield self._frames_folder
        if self.options.compare:
            yield self._compare

    @property
    def _frames_folder(self) -> Path:
        return self.path.with_name(f"{self.path.stem}_frames")

    @property
    def _saved(self) -> str:
        return str(self._frames_folder / media.FRAMES_PATTERN)

    @property
    def _compare(self) -> Path:
        return self.path.with_name(f"{self.path.stem}_compare.mp4")

    def _summary(self, chain: Chain, began: float, notes: Sequence[str]) -> Summary:
        return Summary(
            source=self.source,
            path=self.path,
            before=chain.info,
            after=chain.result,
            seconds=time.monotonic() - began,
            stage_seconds=_stage_seconds(chain),
            notes=tuple(notes),
            compare=self._compare if self.options.compare else None,
            frames=self._saved if self.options.save_frames else None,
        )


def _resized(alpha: np.ndarray | None, image: np.ndarray) -> np.ndarray | None:
    """A photograph's transparency, at the size of its restored picture."""
    if alpha is None:
        return None
    return cv2.resize(alpha, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _taken(frames: int, total: int) -> str:
    return f"{frames} of {total} frames had been restored by an earlier run"


def _restoring(chain: Chain, done: int) -> JobProgress:
    speeds = {
        link.stage.name: link.frames / link.seconds for link in chain.links if link.seconds > 0
    }
    return JobProgress(RESTORING, done, chain.result.frames, speeds)


def _stage_seconds(chain: Chain) -> dict[str, float]:
    return {link.stage.name: link.seconds for link in chain.links}
