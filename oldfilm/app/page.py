"""The page, built from Gradio's components. Everything that works is in `jobs` and `workspace`."""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from oldfilm.app.jobs import RUNNING, JobQueue, Status, frame_at, with_hints
from oldfilm.app.texts import CHINESE, ENGLISH, TEXTS, clock, language_of, text
from oldfilm.app.workspace import (
    DONE,
    FAILED,
    NEW,
    STOPPED,
    WAITING,
    ColorHint,
    Comparison,
    Project,
    RefusedError,
    Settings,
)
from oldfilm.apps import STAGES
from oldfilm.apps.presets import presets
from oldfilm.errors import OldfilmError
from oldfilm.pipeline import JOINING, JobProgress

HEIGHTS = (480, 720, 1080, 2160)
"""Heights of the result that the page offers."""

TICK_SECONDS = 1.0

_HIDDEN: dict[str, Any] = {"show_progress": "hidden", "queue": False}
_PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""Of events that programs do not call."""
_VISITOR_KEY = "oldfilm-visitor"
_SECRET = "oldfilm"  # noqa: S105 (the browser stores the visitor's own name; this hides nothing)


class Page:
    """The page of a server."""

    def __init__(self, jobs: JobQueue) -> None:
        self.jobs, self.workspace = jobs, jobs.workspace

    def build(self) -> gr.Blocks:
        """Build the components and connect them."""
        with gr.Blocks(title="oldfilm", analytics_enabled=False) as blocks:
            self.visitor = gr.BrowserState("", storage_key=_VISITOR_KEY, secret=_SECRET)
            self.seen, self.shown = gr.State(None), gr.State([])
            self.hints, self.size = gr.State([]), gr.State((1, 1))
            with gr.Row():
                with gr.Column(min_width=280):  # On a phone, it is a row of its own.
                    self.intro = gr.Markdown(elem_id="intro")
                languages = [("English", ENGLISH), ("中文", CHINESE)]
                self.language = gr.Radio(
                    languages, value=ENGLISH, show_label=False, scale=0, min_width=220
                )
            with gr.Row():
                with gr.Column(scale=2):
                    self._add_choices()
                with gr.Column(scale=3):
                    self._add_results()
            self.timer = gr.Timer(TICK_SECONDS)
            self._connect(blocks)
        return blocks

    def _add_choices(self) -> None:
        """Add what a visitor fills in."""
        self.upload = gr.File(height=170, elem_id="upload")
        with gr.Row():
            self.film = gr.Dropdown([], interactive=True, scale=4, elem_id="film")
            self.delete = gr.Button(scale=1, min_width=80, elem_id="delete")
        self.preset = gr.Dropdown(["", *presets()], value="silent-film", elem_id="preset")
        self.order = gr.Dropdown(list(STAGES), multiselect=True, elem_id="order")
        with gr.Row():
            self.height = gr.Dropdown([("", 0)], value=0, elem_id="height")
            self.duration = gr.Number(0, minimum=0, elem_id="duration")
        with gr.Accordion(open=False, elem_id="hints") as self.accordion:
            self.hints_info = gr.Markdown()
            with gr.Row():
                self.moment = gr.Slider(0, 1, 0, step=0.01, elem_id="moment")
                self.color = gr.ColorPicker("#c8642a", elem_id="color")
            self.frame = gr.Image(interactive=False, buttons=[], elem_id="frame")
            self.clear = gr.Button(elem_id="clear")
        with gr.Row():
            self.preview = gr.Button(elem_id="preview")
            self.restore = gr.Button(variant="primary", elem_id="restore")

    def _add_results(self) -> None:
        """Add what the page shows."""
        self.status = gr.HTML(elem_id="status")
        with gr.Row():
            self.cancel = gr.Button(visible=False, variant="stop", elem_id="cancel")
            self.resume = gr.Button(visible=False, elem_id="resume")
        self.compare = gr.ImageSlider(
            type="filepath", interactive=False, max_height=620, elem_id="compare"
        )
        self.which = gr.Radio([], visible=False, elem_id="which")
        self.video = gr.Video(interactive=False, visible=False, elem_id="result")
        with gr.Row():
            self.download = gr.DownloadButton(visible=False, elem_id="download")
            self.report = gr.DownloadButton(visible=False, elem_id="report")
        self.notes = gr.Markdown(elem_id="notes")

    def _connect(self, blocks: gr.Blocks) -> None:
        """Connect events."""
        who = [self.visitor, self.film, self.language]
        chosen = [self.preset, self.order, self.height, self.duration, self.hints]
        results = [self.video, self.download, self.report, self.notes]
        state = [self.seen, self.status, self.cancel, self.resume, *self._pictures, *results]
        project = [self.moment, self.frame, self.size, *chosen]
        load = blocks.load(self._load, [self.visitor], [self.visitor, self.language], **_PRIVATE)
        films = load.then(self._films, who, [self.film], **_PRIVATE)
        films.then(self._translate, [self.language], self._labeled, **_PRIVATE)
        self.language.input(self._translate, [self.language], self._labeled, **_PRIVATE)
        self.upload.upload(
            self._uploaded,
            [self.upload, self.visitor, self.language],
            [self.upload, self.film],
            **_PRIVATE,
        )
        self.film.change(self._chosen, who, project, **_PRIVATE).then(
            self._update, [gr.State(None), *who], state, **_PRIVATE, **_HIDDEN
        )
        self.delete.click(self._deleted, who, [self.film], **_PRIVATE)
        self._connect_hints(who)
        self.preview.click(
            self._preview,
            [*who, *chosen],
            self._pictures,
            concurrency_limit=1,
            show_progress="full",
            show_progress_on=[self.compare],
            **_PRIVATE,
        )
        self.restore.click(self._restore, [*who, *chosen], [], **_PRIVATE)
        self.resume.click(self._resume, who, [], **_PRIVATE)
        self.cancel.click(self._cancel, who, [], **_PRIVATE, **_HIDDEN)
        self.which.input(
            self._picked, [self.which, self.shown], [self.compare], **_PRIVATE, **_HIDDEN
        )
        self.timer.tick(self._update, [self.seen, *who], state, **_PRIVATE, **_HIDDEN)

    def _connect_hints(self, who: list[Any]) -> None:
        """Connect the events of the frame on which a visitor places colors."""
        placed = [self.frame, self.size]
        self.moment.release(self._frame, [*who, self.moment, self.hints], placed, **_PRIVATE)
        clicked = [*who, self.moment, self.color, self.hints, self.size]
        self.frame.select(self._hinted, clicked, [self.hints, self.frame], **_PRIVATE, **_HIDDEN)
        self.clear.click(self._cleared, [*who, self.moment], [self.hints, *placed], **_PRIVATE)

    @property
    def _pictures(self) -> list[Any]:
        """The components that show a preview."""
        return [self.compare, self.which, self.shown]

    @property
    def _labeled(self) -> list[Any]:
        """The components with texts, in the order of `_translate`."""
        return [
            *(self.intro, self.upload, self.film, self.delete, self.preset, self.order),
            *(self.height, self.duration, self.accordion, self.hints_info, self.moment),
            *(self.color, self.frame, self.clear, self.preview, self.restore, self.resume),
            *(self.cancel, self.compare, self.which, self.video, self.download, self.report),
        ]

    def _translate(self, language: str) -> list[Any]:
        """Return the texts of the components."""
        say, limits = functools.partial(text, language), self.workspace.limits
        sizes = {"gigabytes": limits.bytes / 1e9, "minutes": limits.seconds / 60}
        unchanged = (say("unchanged"), 0)
        return [
            gr.update(value=say("intro", hours=limits.hours)),
            gr.update(label=say("upload", **sizes)),
            gr.update(label=say("films")),
            gr.update(value=say("delete")),
            gr.update(label=say("preset"), choices=[(say("own"), ""), *zip(presets(), presets())]),
            gr.update(label=say("order"), info=say("order_info")),
            gr.update(label=say("height"), choices=[unchanged, *zip(map(str, HEIGHTS), HEIGHTS)]),
            gr.update(label=say("duration")),
            gr.update(label=say("hints")),
            gr.update(value=say("hints_info")),
            *(gr.update(label=say(key)) for key in ("moment", "color", "frame")),
            *(gr.update(value=say(key)) for key in ("clear", "preview", "restore", "resume")),
            gr.update(value=say("cancel")),
            *(gr.update(label=say(key)) for key in ("compare", "which", "result")),
            *(gr.update(value=None, label=say(key)) for key in ("download", "report")),
        ]

    def _load(self, visitor: str, request: gr.Request) -> tuple[str, str]:
        """Recognize a visitor, or give a new one a name."""
        try:
            self.workspace.projects(visitor)
        except RefusedError:
            visitor = self.workspace.new_visitor()
        return visitor, language_of(request.headers.get("accept-language"))

    def _films(self, visitor: str, film: str | None, language: str) -> Any:
        """Return the films of a visitor as choices; the newest is chosen unless `film` exists."""
        projects = self.workspace.projects(visitor)
        choices = [(f"{each.record.name} ({each.record.about})", each.id) for each in projects]
        known = [name for _, name in choices]
        chosen = film if film in known else next(iter(known), None)
        return gr.update(choices=choices, value=chosen)

    def _uploaded(self, file: str, visitor: str, language: str) -> tuple[Any, Any]:
        project = _tried(language, self.workspace.add, visitor, Path(file))
        return None, self._films(visitor, project.id, language)

    def _deleted(self, visitor: str, film: str, language: str) -> Any:
        _tried(language, self.jobs.remove, self._project(visitor, film, language))
        return self._films(visitor, None, language)

    def _project(self, visitor: str, film: str | None, language: str) -> Project:
        if not film:
            raise gr.Error(text(language, "nothing"), print_exception=False)
        return _tried(language, self.workspace.project, visitor, film)

    def _chosen(self, visitor: str, film: str | None, language: str) -> list[Any]:
        """Show a film that was chosen: its first frame, and its settings."""
        if not film:
            return [gr.update(maximum=1, value=0), None, (1, 1), *[gr.update()] * 4, []]
        project = self._project(visitor, film, language)
        settings = project.record.settings
        hints = list(settings.hints) if settings else []
        image = _tried(language, frame_at, project, 0)
        moment = gr.update(maximum=max(0.01, project.record.seconds), value=0)
        shown = [moment, with_hints(image, hints, 0), image.shape[1::-1]]
        if settings is None:
            preset = "photo" if project.record.is_photograph else gr.update()
            return [*shown, preset, [], 0, 0, hints]
        chosen = [settings.preset, list(settings.order), settings.height or 0]
        return [*shown, *chosen, settings.duration or 0, hints]

    def _frame(
        self, visitor: str, film: str, language: str, moment: float, hints: list[ColorHint]
    ) -> tuple[Any, tuple[int, int]]:
        image = _tried(language, frame_at, self._project(visitor, film, language), moment)
        return with_hints(image, hints, moment), (image.shape[1], image.shape[0])

    def _hinted(
        self,
        visitor: str,
        film: str,
        language: str,
        moment: float,
        color: str,
        hints: list[ColorHint],
        size: tuple[int, int],
        event: gr.SelectData,
    ) -> tuple[list[ColorHint], Any]:
        """Add a hint where the visitor clicked."""
        x, y = (100 * (at + 0.5) / side for at, side in zip(event.index, size))
        hints = [*hints, ColorHint(moment, x, y, _hexadecimal(color))]
        return hints, self._frame(visitor, film, language, moment, hints)[0]

    def _cleared(
        self, visitor: str, film: str, language: str, moment: float
    ) -> tuple[list[ColorHint], Any, tuple[int, int]]:
        return [], *self._frame(visitor, film, language, moment, [])

    def _preview(
        self,
        visitor: str,
        film: str,
        language: str,
        preset: str,
        order: list[str],
        height: int,
        duration: float,
        hints: list[ColorHint],
        progress: gr.Progress = gr.Progress(),  # noqa: B008 (Gradio recognizes it by its default)
    ) -> list[Any]:
        project = self._project(visitor, film, language)
        if project.record.is_photograph:
            raise gr.Error(text(language, "photograph"), print_exception=False)

        def report(reached: JobProgress) -> None:
            part = text(language, reached.part) if reached.part in TEXTS else reached.part
            progress((reached.done, reached.total), desc=part)

        settings = _settings(preset, order, height, duration, hints)
        shown = _tried(language, self.jobs.preview, project, settings, progress=report)
        return _pictures(project, shown)

    def _restore(self, visitor: str, film: str, language: str, *chosen: Any) -> None:
        project = self._project(visitor, film, language)
        _tried(language, self.jobs.submit, project, _settings(*chosen))

    def _resume(self, visitor: str, film: str, language: str) -> None:
        project = self._project(visitor, film, language)
        if project.record.settings is not None:
            _tried(language, self.jobs.submit, project, project.record.settings)

    def _cancel(self, visitor: str, film: str, language: str) -> None:
        _tried(language, self.jobs.cancel, self._project(visitor, film, language))

    def _picked(self, which: int, shown: Sequence[tuple[str, str, str]]) -> Any:
        return shown[which][1:]

    def _update(self, seen: Any, visitor: str, film: str | None, language: str) -> list[Any]:
        """Show how far the job is, and its results once it ends. seen: what the page shows."""
        project = self._found(visitor, film)
        status = self.jobs.status(project) if project else Status(NEW)
        now = (film, language, status, project and project.record.asked)
        if now == seen:
            return [gr.skip()] * 11
        shown = [now, _described(project, status, language), *_buttons(status.state)]
        if seen is not None and (seen[0], seen[2].state) == (film, status.state):
            return [*shown, *[gr.skip()] * 7]
        pictures = [gr.skip()] * 3
        if seen is None or status.state == DONE:
            pictures = _pictures(project, project.record.comparisons if project else ())
        return [*shown, *pictures, *_results(project, language)]

    def _found(self, visitor: str, film: str | None) -> Project | None:
        try:
            return self.workspace.project(visitor, film) if film else None
        except RefusedError:
            return None


def _tried(language: str, action: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call `action`; errors appear on the page in one line."""
    try:
        return action(*arguments, **named)
    except RefusedError as error:
        sentence = text(language, error.reason, **error.facts)
        raise gr.Error(sentence, print_exception=False) from None
    except OldfilmError as error:
        raise gr.Error(html.escape(str(error)), print_exception=False) from None


def _settings(
    preset: str | None,
    order: list[str] | None,
    height: int | None,
    duration: float | None,
    hints: list[ColorHint],
) -> Settings:
    return Settings(
        preset or "", tuple(order or ()), height or None, duration or None, tuple(hints)
    )


def _pictures(project: Project | None, shown: Sequence[Comparison]) -> list[Any]:
    """Updates of the slider, the choice of its frame, and the state with all frames."""
    folder = project.pictures if project else Path()
    rows = [(one.caption, str(folder / one.before), str(folder / one.after)) for one in shown]
    first = rows[0][1:] if rows else None
    choices = [(caption, index) for index, (caption, *_) in enumerate(rows)]
    which = gr.update(choices=choices, value=0 if rows else None, visible=len(rows) > 1)
    return [gr.update(value=first), which, rows]


def _results(project: Project | None, language: str) -> list[Any]:
    """Updates of the player, the two downloads and the notes."""
    if project is None or not project.record.result:
        return [gr.update(value=None, visible=False)] * 3 + [gr.update(value="")]
    record = project.record
    result, report = project.results / record.result, project.results / record.report
    notes = [text(language, "notes"), *(f"- {html.escape(note)}" for note in record.notes)]
    is_film = not record.is_photograph
    return [
        gr.update(value=str(result) if is_film else None, visible=is_film),
        gr.update(value=str(result), label=text(language, "download"), visible=True),
        gr.update(value=str(report), label=text(language, "report"), visible=True),
        gr.update(value="\n".join(notes) if record.notes else ""),
    ]


def _buttons(state: str) -> list[Any]:
    """Updates of Cancel and Resume."""
    return [
        gr.update(visible=state in (WAITING, RUNNING)),
        gr.update(visible=state in (STOPPED, FAILED)),
    ]


def _described(project: Project | None, status: Status, language: str) -> str:
    """Return the state of a job as HTML."""
    error = project.record.error if project else ""
    progress = status.progress
    if status.state != RUNNING:
        sentence = text(language, f"state_{status.state}", ahead=status.ahead, error=error)
        return f"<p>{html.escape(sentence)}</p>" if sentence else ""
    if progress is None:
        return f"<p>{text(language, 'state_starting')}</p><progress></progress>"
    if progress.part == JOINING and progress.done >= progress.total:
        return f"<p>{text(language, 'state_finishing')}</p><progress></progress>"
    left = text(language, "left", time=clock(status.left)) if status.left else ""
    part = text(language, progress.part)
    facts = {"done": progress.done, "total": progress.total, "left": left}
    bar = f'<progress style="width:100%" value="{progress.done}" max="{progress.total}"></progress>'
    return f"<p>{text(language, 'state_running', part=part, **facts)}</p>{bar}"


def _hexadecimal(color: str) -> str:
    """Return a color as #rrggbb; Gradio also writes it as rgba(r, g, b, a)."""
    if color.startswith("#"):
        return color[:7]
    red, green, blue = (round(float(part)) for part in re.findall(r"[\d.]+", color)[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"
