"""The answer for a video as text for people, or as JSON for programs."""

from typing import Any

from lift_flax.command_line import percent
from lift_flax.errors import shown
from lift_flax.predict.answers import ClipAnswer, VideoAnswer

_IN_FIRST_LINE = 5  # events; where there are more, all of them follow, one a line


def as_json(answer: VideoAnswer) -> dict[str, Any]:
    """Returns what --json prints for a video (docs/use.md has its fields)."""
    if answer.error:
        return {"video": answer.video, "error": answer.error}
    parts = {"events": answer.events} if answer.is_long else {}
    parts |= {"timeline": answer.timeline} if len(answer.timeline) > 1 else {}
    return {
        "video": answer.video,
        "label": answer.label,
        "probability": round(answer.probability, 6),
        "sure": answer.sure,
        "probabilities": {
            name: round(float(share), 6) for name, share in zip(answer.classes, answer.probabilities, strict=True)
        },
        **{name: [_clip_json(clip) for clip in clips] for name, clips in parts.items()},
        "notes": list(answer.notes),
        "decode_ms": round(answer.decode_ms, 1),
        "model_ms": round(answer.model_ms, 1),
    }


def _clip_json(clip: ClipAnswer) -> dict[str, Any]:
    times = {"start": round(clip.start, 3), "end": round(clip.end, 3)}
    return {**times, "label": clip.label, "probability": round(clip.probability, 6), "sure": clip.sure}


def as_text(answer: VideoAnswer, top: int) -> str:
    """Returns what is printed for people: a line for a video, its events where they are many, and each note.

    Args:
      top: classes that are named of a video that is not long, or of one without an event that is sure.
    """
    if answer.error:
        return f"{shown(answer.video)}: error: {answer.error}"
    events = answer.events if answer.is_long else []
    clips = f"{len(answer.timeline)} clips, each " if len(answer.timeline) > 1 else ""
    times = f"{clips}{answer.decode_ms:.0f} ms to read, {answer.model_ms:.0f} ms to compute"
    lines = [f"{shown(answer.video)}: {_headline(answer, events, top)}   ({times})"]
    if len(events) > _IN_FIRST_LINE:
        lines += [f"  {clock(event.start)} to {clock(event.end)}  {named(event)}" for event in events]
    lines += [f"  note: {note}" for note in answer.notes]
    return "\n".join(lines)


def _headline(answer: VideoAnswer, events: list[ClipAnswer], top: int) -> str:
    """The events that are sure; without any, the likeliest classes."""
    sure = [event for event in events if event.sure]
    if not sure:
        shares = ", ".join(f"{shown(name)} {percent(share)}" for name, share in answer.top_k(top))
        return shares if answer.sure and not events else f"unsure: {shares}"
    said = [f"{named(event)} {clock(event.start)} to {clock(event.end)}" for event in sure[:_IN_FIRST_LINE]]
    more = len(sure) - len(said)
    return ", ".join(said) + (f" and {more} more" if more else "")


def named(clip: ClipAnswer) -> str:
    """Its class with its probability, and before it whether that is unsure."""
    return f"{'' if clip.sure else 'unsure: '}{shown(clip.label)} {percent(clip.probability)}"


def clock(seconds: float) -> str:
    """Seconds of a video as minutes and seconds, and hours where there are any."""
    minutes, seconds = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:04.1f}" if hours else f"{minutes}:{seconds:04.1f}"
