"""The server of the page."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from oldfilm.app.jobs import JobQueue
from oldfilm.app.workspace import Limits, Workspace
from oldfilm.errors import MachineError, OptionError
from oldfilm.system.locks import locked

_THREADS = 40
"""Requests that are answered at the same time."""


def serve(
    folder: Path,
    limits: Limits,
    host: str = "127.0.0.1",
    port: int | None = None,
    ready: Callable[[str], None] = print,
) -> None:
    """Serve the page until the process is interrupted.

    folder: of uploads and results. port: by default the first free one from 7860. ready: called
    with the address of the page.

    Raises:
        OptionError: Gradio is not installed, or another server uses the folder.
        MachineError: the port is in use.
    """
    workspace = Workspace(folder, limits)

    def busy() -> None:
        raise OptionError(f"`folder={folder}`: another `oldfilm app` uses it: give another one.")

    # Gradio keeps uploads in this folder, and serves files of this folder only.
    os.environ["GRADIO_TEMP_DIR"] = str(workspace.folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    build = _page_builder()
    with locked(workspace.folder / "server", busy), contextlib.closing(JobQueue(workspace)) as jobs:
        jobs.start()
        build(jobs, host, port, ready)
        threading.Event().wait()


def _page_builder() -> Callable[..., None]:
    """Return what launches the page; Gradio is imported only here.

    Raises:
        OptionError: Gradio is not installed.
    """
    try:
        import gradio as gr
    except ImportError:
        raise OptionError("the page needs Gradio: `pip install 'oldfilm[app]'`.") from None
    from oldfilm.app.page import Page

    for name in ("httpx", "uvicorn.error"):  # They log every request and closed connection.
        logging.getLogger(name).setLevel(logging.WARNING)

    def launch(jobs: JobQueue, host: str, port: int | None, ready: Callable[[str], None]) -> None:
        blocks = Page(jobs).build()
        blocks.queue(default_concurrency_limit=_THREADS)
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                max_file_size=jobs.workspace.limits.bytes,
                max_threads=_THREADS,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                run_history=False,
                footer_links=[],
                allowed_paths=[],
                _frontend=False,  # else Gradio gives up on a machine too busy to answer in 3 s
                theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            )
        except OSError as error:
            raise MachineError(f"`host={host}`, `port={port}`: {error}") from error
        ready(address)

    return launch
