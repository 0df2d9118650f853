"""What the phone receives: takes every frame, so that nothing piles up, and keeps what is worth telling."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, VideoFrame

MEASURE_EVERY_S = 0.5
_SAMPLE = (32, 24)
"""Size to which a picture is shrunk to be measured."""


class Sink:
    """Counts frames. `first` is set with the first one."""

    def __init__(self) -> None:
        self.frames = 0
        self.got_at = -math.inf
        """`time.monotonic()` of the last frame."""
        self.first = asyncio.Event()
        self._measured_at = -math.inf

    def flows(self, *, within_s: float) -> bool:
        return time.monotonic() - self.got_at < within_s

    async def drain(self, track: MediaStreamTrack) -> None:
        """Take frames until the track ends."""
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self.got_at = time.monotonic()
            self.frames += 1
            if isinstance(frame, AudioFrame | VideoFrame):
                self.take(frame)
            self.first.set()

    def take(self, frame: AudioFrame | VideoFrame) -> None:
        """Look at a frame; quick, it runs between packets."""

    def _is_time_to_measure(self) -> bool:
        if self.got_at - self._measured_at < MEASURE_EVERY_S:
            return False
        self._measured_at = self.got_at
        return True


class VideoSink(Sink):
    """Size and brightness of what is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 0
        self.height = 0
        self.brightness = 0.0
        """Mean luma, 0 (black) to 255, measured twice a second."""

    def take(self, frame: AudioFrame | VideoFrame) -> None:
        if not isinstance(frame, VideoFrame):
            return
        resized = (frame.width, frame.height) != (self.width, self.height)
        self.width, self.height = frame.width, frame.height
        if resized or self._is_time_to_measure():
            self.brightness = brightness_of(frame)


class AudioSink(Sink):
    """Loudness of what is heard, passed on to `hear`."""

    def __init__(self, hear: Callable[[AudioFrame], None] | None = None) -> None:
        super().__init__()
        self.loudest = 0
        """Largest 16-bit sample heard, of every eighth."""
        self._hear = hear

    def take(self, frame: AudioFrame | VideoFrame) -> None:
        if not isinstance(frame, AudioFrame):
            return
        if frame.format.name == "s16":
            samples = memoryview(frame.planes[0]).cast("B").cast("h")[: frame.samples : 8].tolist()
            self.loudest = max(self.loudest, max(samples), -min(samples))
        if self._hear is not None:
            self._hear(frame)


def brightness_of(frame: VideoFrame) -> float:
    """Mean luma (Rec. 601, 0 to 255) of what a screen would show.

    Not of the frame's own Y plane: of colours no screen can show it says nothing (Chromium's test camera is one, bright
    green with hardly any Y).
    """
    small = frame.reformat(_SAMPLE[0], _SAMPLE[1], "rgb24", interpolation="AREA")
    plane = small.planes[0]
    pixels = memoryview(plane).cast("B")
    rows = [pixels[y * plane.line_size : y * plane.line_size + 3 * small.width] for y in range(small.height)]
    red, green, blue = (sum(sum(row[first::3]) for row in rows) for first in range(3))
    return (0.299 * red + 0.587 * green + 0.114 * blue) / (small.width * small.height)
