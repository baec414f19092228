"""Restores a film: analysis, segments, joining, and everything that comes with the picture."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from oldfilm import media
from oldfilm.errors import MediaError, OptionError, written
from oldfilm.pipeline.chain import Chain
from oldfilm.pipeline.checkpoint import Manifest, Plan
from oldfilm.pipeline.completed_jobs import is_completed, recall, remember
from oldfilm.pipeline.excerpt import excerpt_frames
from oldfilm.pipeline.executors.base import (
    Executor,
    InProcessExecutor,
    JobSpec,
    SegmentTask,
    TaskProgress,
)
from oldfilm.pipeline.fingerprint import SourceFiles, chain_fingerprint, diff, job_fingerprint
from oldfilm.pipeline.free_space import COPIES, check_free_space, expected_bytes, free_bytes
from oldfilm.pipeline.options import RestoreOptions
from oldfilm.pipeline.report import (
    ANALYZING,
    JOINING,
    RESTORING,
    UP_TO_DATE,
    JobProgress,
    Needs,
    Progress,
    Restoration,
    Summary,
    restoring,
    stage_seconds,
)
from oldfilm.pipeline.results import Results, claim, claim_extras, frames_next_to, result_path
from oldfilm.pipeline.segments import Segment, segments
from oldfilm.pipeline.workdir import WorkDir, open_workdir
from oldfilm.stage import FilmFacts, FingerprintValue, Stage
from oldfilm.system.files import remove_leftovers, replace_folder, sync
from oldfilm.system.memory import available_memory
from oldfilm.system.threads import threads


class FilmJob:
    """Sends a film through a chain, segment by segment."""

    def __init__(
        self,
        source: Path,
        stages: Sequence[Stage],
        output: Path | Results,
        options: RestoreOptions,
        progress: Progress,
        executor: Executor | None,
    ) -> None:
        """Probe the film and choose the path of the result; the arguments are those of `restore`.

        Raises:
            MediaError: the film cannot be read.
            OptionError: the options do not suit the film.
        """
        self.source = source
        self.files = SourceFiles(media.numbered_frames(source) if source.is_dir() else [source])
        film = media.Film.open(source, options.input_fps)
        self.film, notes = media.deinterlaced(film, _deinterlacing(stages, options))
        self.source_notes = [*film.notes, *notes]
        if film.numbered:
            self.source_notes += media.sequence_notes(film.numbered)
        self.settings = media.EncodeSettings(options.codec, options.crf, options.pix_fmt)
        self.pattern: str | None = None
        if isinstance(output, Path):
            self.pattern = output.name if media.is_pattern(output) else None
            suffix = media.default_suffix(self.settings)
            output = Results(result_path(source, stages, output, suffix, options))
        self.results, self.path = output, output.path
        if not self.pattern:
            _check_holds_film(self.path, source)
        if film.numbered and film.alpha and not self._keeps_alpha:
            self.source_notes.append(media.LOST_ALPHA)
        self.stages = stages
        self.options = options
        self.progress = progress
        self.executor = executor

    def restore(self) -> Summary:
        """Restore the film, or resume a stopped job."""
        started, options = time.monotonic(), self.options
        if options.audio is not None:
            media.first_sound(options.audio)  # Fails now, not after hours of work.
        claim_extras(options, self._targets, self.source)
        chain = Chain(self.stages, self.film.info)
        replaces = self.results.replaces
        with open_workdir(self.path, options.work_dir, options.restart, wait=replaces) as work:
            may_replace = options.overwrite or work.finished.publishing
            asks_again = may_replace or options.restart
            if not asks_again and is_completed(lambda: self._fingerprint, self._targets):
                return self._finished_earlier(started)
            if self.pattern and self.path.resolve() != self.source.resolve():
                media.check_replaceable(self.path / self.pattern)
            claim(self._targets, self.source, may_replace or replaces)
            remove_leftovers(self.path)
            trial = self._try_encoder(chain, work)
            plan = self._plan(chain, work)
            chain = Chain(self.stages, replace(self.film.info, frames=len(plan.part)))
            if self.executor is None:  # Otherwise the stages run in workers only.
                chain.analyze(plan.facts)
            video, notes = self._video(chain, plan, work)
            notes = [*plan.notes, *notes, *self._publish(chain, plan.part, video, work)]
            self.progress(JobProgress(JOINING, chain.result.frames, chain.result.frames))
            restoration = self._restoration(chain, started, plan, work)
            remember(self._fingerprint, self._targets, restoration)
        if trial.padding:
            notes.append(trial.padding)
        return self._summary(chain, started, notes, restoration)

    def _finished_earlier(self, started: float) -> Summary:
        """Return the summary of a job that an earlier run has finished."""
        restoration = recall(self.path)
        frames = restoration.frames if restoration else self.film.frames
        chain = Chain(self.stages, replace(self.film.info, frames=frames))
        return self._summary(chain, started, [UP_TO_DATE], restoration)

    def _restoration(self, chain: Chain, started: float, plan: Plan, work: WorkDir) -> Restoration:
        return Restoration(
            seconds=time.monotonic() - started,
            stage_seconds=stage_seconds(chain),
            frames=len(plan.part),
            start=plan.part.start / self.film.rate,
            cuts=plan.facts.cuts,
            repairs=work.finished.video.repairs if work.finished.video else {},
        )

    @cached_property
    def _fingerprint(self) -> Mapping[str, FingerprintValue]:
        fields = self.film.deinterlacer and str(self.film.deinterlacer)
        settings = {**self.options.deciding_frames(), "fields": fields}
        return job_fingerprint(self.files, Chain(self.stages, self.film.info), settings)

    def _try_encoder(self, chain: Chain, work: WorkDir) -> media.Encoder:
        """Encode a few frames, so that settings that do not work fail before the work."""
        path = work.scratch / f"trial{self._segment_suffix}"
        trial = self.job_spec(chain).encoder(path, chain.result)
        trial.check()
        return trial

    def _plan(self, chain: Chain, work: WorkDir) -> Plan:
        """Take the plan of an earlier run of this job, or analyze the film and begin the job.

        Raises:
            MachineError: the disk is too small.
            OptionError: the earlier run was another job.
        """
        if work.manifest is not None:
            changed = diff(work.manifest.fingerprint, self._fingerprint)
            if not changed:
                self._check_excerpt(work.manifest.plan.part)
                return work.manifest.plan
            if not self.results.replaces:
                raise OptionError(
                    f"{self.path}: a job for this result was started with other settings "
                    f"({'; '.join(changed)}): use those to resume it, or start over with "
                    "`restart=True`."
                )
        destination, options = self._destination(self.path), self.options
        check_free_space(
            work.folder,
            chain.result,
            destination,
            options.codec,
            options.duration,
            options.save_frames,
        )
        part, facts, notes = self._analyze()
        self._check_excerpt(part)
        chain = Chain(self.stages, replace(self.film.info, frames=len(part)))
        cuts = [round(cut * self.film.rate) for cut in facts.cuts]
        divided = segments(len(part), cuts, chain.before, chain.after, options.segment_frames)
        self.files.check()
        per_network = self.executor.threads if self.executor else threads()
        plan = Plan(part, facts, tuple(divided), per_network, tuple(notes))
        work.begin(Manifest(self._fingerprint, plan))
        return plan

    def job_spec(self, chain: Chain, plan: Plan | None = None) -> JobSpec:
        """Return what a worker needs to restore segments of a plan; by default of no plan yet."""
        plan = plan or Plan(range(self.film.frames), FilmFacts(), ())
        return JobSpec(
            film=self.film,
            part=plan.part,
            facts=plan.facts,
            height=self.options.height,
            settings=self.settings,
            destination=self._destination(self.path),
            fingerprint=chain_fingerprint(chain),
            threads=plan.threads,
            memory=chain.memory,
            on_gpu=chain.on_gpu,
        )

    def segment_name(self, segment: Segment) -> str:
        """Return the name of the file of a segment."""
        return f"{segment.start:08d}{self._segment_suffix}"

    @property
    def _segment_suffix(self) -> str:
        destination = self._destination(self.path)
        return media.segment_suffix(destination, self.settings, self.film.alpha)

    @property
    def _keeps_alpha(self) -> bool:
        """Whether the result holds the alpha channel of the film."""
        return media.keeps_alpha(self._destination(self.path), self.settings, self.film.bits)

    def _analyze(self) -> tuple[range, FilmFacts, list[str]]:
        """Analyze the film.

        Returns the source frames to restore, the facts of that part, whose first frame is at time
        0, and notes on the source.
        """
        analysis = media.analyze(
            self.film, lambda done, total: self.progress(JobProgress(ANALYZING, done, total))
        )
        part, rate = self.part_of(analysis.frames), self.film.rate
        offset, end = part.start / rate, part.stop / rate
        facts = FilmFacts(
            cuts=tuple(t - offset for t in analysis.facts.cuts if offset < t < end),
            repeats=frozenset(t - offset for t in analysis.facts.repeats if offset < t),
            brightness=analysis.facts.brightness[part.start : part.stop],
            start=offset,
        )
        return part, facts, [*self.source_notes, *analysis.notes]

    def _check_excerpt(self, part: range) -> None:
        """Refuse an excerpt that is not in the part to restore, before the work."""
        if self.options.excerpt:
            chain = Chain(self.stages, replace(self.film.info, frames=len(part)))
            excerpt_frames(chain.result, part.start / self.film.rate, self.options.excerpt_time)

    def part_of(self, frames: int) -> range:
        """The frames that the options `start` and `duration` select from a film of `frames`.

        Raises:
            OptionError: they select no frame.
        """
        rate, options = self.film.rate, self.options
        start, stop = math.ceil((options.start or 0) * rate), frames
        if options.duration is not None:
            stop = min(stop, start + math.ceil(options.duration * rate))
        if start < stop:
            return range(start, stop)
        given = {"start": options.start, "duration": options.duration}
        named = " and ".join(
            f"`{name}={written(value)}`" for name, value in given.items() if value is not None
        )
        raise OptionError(
            f"{named}: no frame is left of {self.source}, which lasts "
            f"{float(frames / rate):.2f} seconds."
        )

    def _video(self, chain: Chain, plan: Plan, work: WorkDir) -> tuple[Path, list[str]]:
        """Restore all segments and join them; returns the video and notes on the work."""
        total = chain.result.frames
        name = f"video{self._segment_suffix}"
        if work.is_intact(name, work.finished.video):
            self.progress(JobProgress(RESTORING, total, total))
            return work.folder / name, [_resumed_note(total, total)]
        tasks, resumed = self._remaining_tasks(chain, plan, work)
        notes = [_resumed_note(resumed, total)] if resumed else []
        if not resumed:  # The first frame of a long chain may take a minute.
            self.progress(restoring(chain, 0))
        for task, finished in self._run_tasks(chain, plan, tasks, resumed, work):
            self.files.check()
            self._check_complete(chain, task, finished)
            start, frames = task.segment.start, finished.frames
            work.commit(start, task.path, frames, task.pictures, finished.repairs)
            notes += finished.notes
        self.progress(JobProgress(JOINING, 0, total))
        paths = [work.folder / self.segment_name(segment) for segment in plan.segments]
        media.join(paths, work.scratch / name, chain.result.rate)
        return work.commit_video(work.scratch / name, total, paths), notes

    def _remaining_tasks(
        self, chain: Chain, plan: Plan, work: WorkDir
    ) -> tuple[list[SegmentTask], int]:
        """The tasks that are left to do, and how many frames an earlier run has restored."""
        tasks, resumed = [], 0
        for segment in plan.segments:
            name, pictures = self.segment_name(segment), self._pictures_of(chain, segment, work)
            found = work.finished.segments.get(segment.start)
            if found and work.is_intact(name, found, pictures):
                resumed += found.frames
                self.progress(restoring(chain, resumed))
            else:
                tasks.append(SegmentTask(segment, work.scratch / name, pictures))
        return tasks, resumed

    def _check_complete(self, chain: Chain, task: SegmentTask, finished: TaskProgress) -> None:
        """Make sure that the source had as many frames as in the analysis: its disk may fail.

        Raises:
            MediaError: it had fewer.
        """
        start, stop = task.segment.start, task.segment.stop
        expected = chain.result_frames(stop) - chain.result_frames(start)
        if finished.frames != expected:
            raise MediaError(
                f"{self.source}: frames {start + 1} to {stop} gave {finished.frames} frames, not "
                f"{expected}: the file can no longer be read as before."
            )

    def _run_tasks(
        self, chain: Chain, plan: Plan, tasks: Sequence[SegmentTask], done: int, work: WorkDir
    ) -> Iterator[tuple[SegmentTask, TaskProgress]]:
        """Run the tasks and yield each as it finishes.

        done: frames that an earlier run has restored.
        """
        needs = self._needs(chain, len(tasks), work)
        frames = dict.fromkeys((task.segment for task in tasks), 0)
        executor = self.executor or InProcessExecutor(chain)
        with contextlib.closing(executor.run(self.job_spec(chain, plan), tasks)) as updates:
            for task, progress in updates:
                added = progress.frames - frames[task.segment]
                frames[task.segment] = progress.frames
                chain.add(progress.work)
                if progress.finished:
                    yield task, progress
                    needs = self._needs(chain, len(tasks), work)
                if added:
                    done += added
                    self.progress(restoring(chain, done, needs))

    def _needs(self, chain: Chain, tasks: int, work: WorkDir) -> Needs:
        """What the job takes; measured, once a segment is finished."""
        options, files = self.options, work.finished.segments.values()
        destination = self._destination(self.path)
        expected = expected_bytes(chain.result, destination, options.codec).usual
        if files:
            frames = sum(file.frames for file in files)
            expected = COPIES * sum(file.bytes for file in files) / frames * chain.result.frames
        workers = min(self.executor.count if self.executor else 1, tasks)
        free, memory = free_bytes(work.folder), chain.memory * workers
        return Needs(expected, free, memory, available_memory())

    def _pictures_of(self, chain: Chain, segment: Segment, work: WorkDir) -> tuple[Path, ...]:
        """Paths for the frames of a segment, if they are saved as pictures."""
        if not self.options.save_frames:
            return ()
        work.pictures.mkdir(exist_ok=True)
        first, stop = chain.result_frames(segment.start), chain.result_frames(segment.stop)
        numbers = range(first + self.results.first_number, stop + self.results.first_number)
        return tuple(work.pictures / (self._frames.name % number) for number in numbers)

    def _publish(self, chain: Chain, part: range, video: Path, work: WorkDir) -> list[str]:
        """Add the source's other tracks and rename everything into place; returns notes."""
        if self.options.compare:
            comparison = work.staging / self._comparison.name
            media.compare(self.film, part.start, video, comparison, chain.result.slowdown)
            sync(comparison)
        # Numbered pictures are written in place, where they may replace older ones.
        finished = self.path if self.pattern else work.staging / self.path.name
        if self.pattern:
            work.begin_publishing()
        notes = self._mux(chain, part, video, finished)
        self.files.check()
        work.begin_publishing()
        if self.options.compare:
            comparison.replace(self._comparison)
        if self.options.save_frames:
            self._publish_pictures(work)
        if finished != self.path:
            finished.replace(self.path)
        sync(self.path.parent)
        return notes

    def _mux(self, chain: Chain, part: range, video: Path, finished: Path) -> list[str]:
        """Add the sound and the other tracks of the source to the video; returns notes."""
        is_whole, rate = len(part) == self.film.frames, self.film.rate
        return media.mux(
            video,
            None if self.film.numbered else self.film,
            self._destination(finished),
            chain.result.rate,
            audio=self.options.audio,
            keep_audio=self.options.keep_audio,
            start=part.start / rate,
            duration=None if is_whole else len(part) / rate,
            slowdown=chain.result.slowdown,
            scan=next((p for p in self.film.numbered[:1] if p.suffix.lower() == ".dpx"), None),
        )

    def _publish_pictures(self, work: WorkDir) -> None:
        if not work.pictures.exists():  # An earlier run has already moved them.
            return
        folder = work.pictures
        if work.staging != work.scratch:
            folder = Path(shutil.copytree(folder, work.staging / "frames"))
            for picture in folder.iterdir():
                sync(picture)
        replace_folder(folder, self._frames.parent)

    def _destination(self, path: Path) -> Path:
        """The path of the result as `media` takes it: a pattern for numbered pictures."""
        return path / self.pattern if self.pattern else path

    @property
    def _targets(self) -> list[Path]:
        """The files and folders that the job writes."""
        targets = [self.path]
        if self.options.save_frames:
            targets.append(self._frames.parent)
        if self.options.compare:
            targets.append(self._comparison)
        return targets

    @property
    def _frames(self) -> Path:
        return self.results.frames or frames_next_to(self.path)

    @property
    def _comparison(self) -> Path:
        return self.path.with_name(f"{self.path.stem}_compare.mp4")

    def _summary(
        self,
        chain: Chain,
        started: float,
        notes: Sequence[str],
        restoration: Restoration | None,
    ) -> Summary:
        return Summary(
            source=self.source,
            path=self.path,
            before=chain.info,
            after=chain.result,
            seconds=time.monotonic() - started,
            stage_seconds=stage_seconds(chain),
            notes=tuple(notes),
            compare=self._comparison if self.options.compare else None,
            frames=str(self._frames) if self.options.save_frames else None,
            job=self._fingerprint,
            restoration=restoration,
        )


def _deinterlacing(stages: Sequence[Stage], options: RestoreOptions) -> str:
    """The value of `deinterlace`, with what a stage asks for.

    Raises:
        OptionError: option and stage contradict each other, or the stage is not the first.
    """
    asked = [stage.fields for stage in stages if stage.fields]
    if not asked:
        return options.deinterlace
    if options.deinterlace == "off":
        raise OptionError("`deinterlace=off` contradicts the stage Deinterlace: leave out one.")
    if not stages[0].fields:
        raise OptionError("only the source has fields, so Deinterlace comes first in a chain.")
    return "double" if "double" in (options.deinterlace, *asked) else "on"


def _check_holds_film(path: Path, source: Path) -> None:
    """Raise OptionError if the result at `path` can hold a single frame only."""
    if media.holds_film(path, source):
        return
    pattern = path.with_suffix("") / media.FRAMES_PATTERN
    raise OptionError(
        f"{source} has many frames, but {path} holds one: give the name of a film, or "
        f"{pattern} for numbered pictures."
    )


def _resumed_note(frames: int, total: int) -> str:
    return f"{frames} of {total} frames had been restored by an earlier run"
