"""What the page says, in English and Chinese."""

from __future__ import annotations

from typing import Any

ENGLISH, CHINESE = "en", "zh"

TEXTS = {
    "intro": (
        "# oldfilm\nRestore an old film or photograph. Only you see it here, and it is deleted "
        "{hours:g} hours after its last job.",
        "# oldfilm\n修复老电影和老照片。文件只有您能看到，"
        "最后一次任务结束 {hours:g} 小时后自动删除。",
    ),
    "upload": (
        "1. Drop a film or photograph (up to {gigabytes:g} GB and {minutes:g} minutes)",
        "1. 拖入电影或照片（最大 {gigabytes:g} GB，最长 {minutes:g} 分钟）",
    ),
    "films": ("Your films", "您的影片"),
    "delete": ("Delete", "删除"),
    "preset": ("2. Preset", "2. 预设"),
    "own": ("your own stages", "自选步骤"),
    "order": ("Stages in this order", "步骤（按此顺序执行）"),
    "order_info": (
        "In place of those of the preset. They run in the order in which you pick them.",
        "代替预设中的步骤，按选择的先后顺序执行。",
    ),
    "height": ("Height of the result", "输出高度"),
    "unchanged": ("unchanged", "不变"),
    "duration": ("Only the first seconds (0: all)", "只修复开头的秒数（0 表示全部）"),
    "hints": ("Color hints (for DeOldify)", "颜色提示（用于 DeOldify）"),
    "hints_info": (
        "Choose a moment and a color, then click on the frame. The shot keeps the color.",
        "选择时刻和颜色，然后在画面上点击。整个镜头都会保持该颜色。",
    ),
    "moment": ("Moment in seconds", "时刻（秒）"),
    "color": ("Color", "颜色"),
    "frame": ("Click where the color belongs", "点击该颜色所在的位置"),
    "clear": ("Remove all hints", "清除全部提示"),
    "preview": ("3. Preview", "3. 预览"),
    "restore": ("4. Restore", "4. 开始修复"),
    "resume": ("Resume", "继续"),
    "cancel": ("Cancel", "取消"),
    "compare": ("Before and after", "修复前后对比"),
    "which": ("Frame", "画面"),
    "result": ("Result", "结果"),
    "download": ("Download", "下载结果"),
    "report": ("Report", "下载报告"),
    "notes": ("**Notes**", "**说明**"),
    "state_new": ("", ""),
    "state_waiting": ("Waiting; {ahead} before yours.", "排队中，前面还有 {ahead} 个任务。"),
    "state_running": (
        "{part}: {done} of {total} frames{left}",
        "{part}：{done} / {total} 帧{left}",
    ),
    "state_starting": ("Starting …", "正在启动 …"),
    "state_finishing": ("Writing the report …", "正在写报告 …"),
    "state_stopped": (
        "Canceled. What was finished is kept: Resume continues there.",
        "已取消。已完成的部分已保留，点击“继续”可接着修复。",
    ),
    "state_failed": ("Failed: {error}", "失败：{error}"),
    "state_done": ("Done.", "完成。"),
    "short_new": ("", ""),
    "short_waiting": ("waiting", "排队中"),
    "short_running": ("running", "修复中"),
    "short_stopped": ("canceled", "已取消"),
    "short_failed": ("failed", "失败"),
    "short_done": ("done", "完成"),
    "left": (", {time} left", "，剩余 {time}"),
    "Analyzing": ("Analyzing", "分析"),
    "Restoring": ("Restoring", "修复"),
    "Joining": ("Joining", "合成"),
    "Previewing": ("Previewing", "预览"),
    "nothing": ("Drop a film or photograph first.", "请先拖入电影或照片。"),
    "photograph": (
        "A photograph is restored in seconds: press Restore.",
        "照片只需几秒即可修复：请直接点击“开始修复”。",
    ),
    "bytes": (
        "{name} is too large: at most {gigabytes} GB.",
        "{name} 太大：最大 {gigabytes} GB。",
    ),
    "seconds": (
        "{name} lasts {minutes} minutes: at most {most} are accepted.",
        "{name} 长 {minutes} 分钟：最长 {most} 分钟。",
    ),
    "gone": (
        "This film is not on the server: upload it again.",
        "服务器上没有这部影片：请重新上传。",
    ),
    "films_limit": (
        "{films} films are here already: delete one first.",
        "已有 {films} 部影片：请先删除一部。",
    ),
    "busy": (
        "This film is being restored: cancel first.",
        "这部影片正在修复中：请先取消。",
    ),
    "full": ("Too many films wait: try again later.", "排队的任务太多：请稍后再试。"),
    "canceled": ("The preview was canceled.", "预览已取消。"),
}
"""Each sentence in English and Chinese, by key."""


def text(language: str, key: str, **facts: Any) -> str:
    """Return a sentence. language: ENGLISH or CHINESE. facts: what it names."""
    return TEXTS[key][language == CHINESE].format(**facts)


def language_of(accepted: str | None) -> str:
    """Return the language of a page from the browser's header Accept-Language."""
    first = (accepted or "").split(",")[0].strip().lower()
    return CHINESE if first.startswith("zh") else ENGLISH


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
