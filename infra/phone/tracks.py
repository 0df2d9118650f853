"""What the phone sends: a moving picture with a clock, a tone, an echo, a file. PyAV's frames, paced in real time."""

from __future__ import annotations

import asyncio
import fractions
import math
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, AudioResampler, VideoFrame

from infra.phone.files import FileFrames, MediaFileError

VIDEO_CLOCK_HZ = 90_000
AUDIO_RATE_HZ = 48_000
AUDIO_STEP_S = 0.02
AUDIO_SAMPLES = int(AUDIO_RATE_HZ * AUDIO_STEP_S)
PICTURE_FPS = 15
FALLEN_BEHIND_S = 0.5
"""After a pause of the process this much late, time is skipped: nothing is sent in a burst."""


class PacedTrack(MediaStreamTrack):
    """A live source. Subclasses give each frame with the time it is due; `sent_at` tells what really flows."""

    def __init__(self, kind: str, clock_hz: int) -> None:
        super().__init__()
        self.kind = kind
        self.sent_at = -math.inf
        """`time.monotonic()` of the last frame handed out."""
        self._clock_hz = clock_hz
        self._started: float | None = None

    async def next_frame(self) -> tuple[AudioFrame | VideoFrame, float]:
        """The next frame and when it is due, in seconds since the first."""
        raise NotImplementedError

    def flows(self, *, within_s: float) -> bool:
        return time.monotonic() - self.sent_at < within_s

    async def recv(self) -> AudioFrame | VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        frame, due_s = await self.next_frame()
        now = time.monotonic()
        if self._started is None or now - self._started - due_s > FALLEN_BEHIND_S:
            self._started = now - due_s
        await asyncio.sleep(max(0.0, self._started + due_s - now))
        if self.readyState != "live":
            raise MediaStreamError
        frame.pts = round(due_s * self._clock_hz)
        frame.time_base = fractions.Fraction(1, self._clock_hz)
        self.sent_at = time.monotonic()
        return frame


class ClockPicture(PacedTrack):
    """640 by 480: grey bars, a square on its way across them, and the time of day to the hundredth of a second."""

    def __init__(self, *, width: int = 640, height: int = 480, brightness: float = 1.0) -> None:
        super().__init__("video", VIDEO_CLOCK_HZ)
        self.brightness = brightness
        self._width, self._height = width, height
        self._count = 0

    async def next_frame(self) -> tuple[VideoFrame, float]:
        count, self._count = self._count, self._count + 1
        return self._draw(count), count / PICTURE_FPS

    def _draw(self, count: int) -> VideoFrame:
        frame = VideoFrame(self._width, self._height, "yuv420p")
        luma, *chroma = frame.planes
        stride = luma.line_size
        bar = bytes(round((40 + 22 * (x * 8 // self._width)) * self.brightness) for x in range(self._width))
        pixels = bytearray((bar + bytes(stride - self._width)) * self._height)
        light = round(235 * self.brightness)
        side = self._height // 6
        x = (count * 8) % (self._width - side)
        _fill(pixels, stride, x, self._height // 2, side, side, light)
        _write_clock(pixels, stride, self._width, light, datetime.now().astimezone())
        luma.update(bytes(pixels))
        for plane, value in zip(chroma, (110, 150), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        return frame


# Which of the segments top, upper left, upper right, middle, lower left, lower right, bottom make each digit.
_SEGMENTS = (
    "1110111",
    "0010010",
    "1011101",
    "1011011",
    "0111010",
    "1101011",
    "1101111",
    "1010010",
    "1111111",
    "1111011",
)


def _write_clock(pixels: bytearray, stride: int, width: int, light: int, now: datetime) -> None:
    text = f"{now:%H:%M:%S}.{now.microsecond // 10_000:02d}"
    unit = width // 80  # a digit is 4 by 8 units, a sign takes 6
    for index, sign in enumerate(text):
        left, top = unit * (6 + 6 * index), unit * 6
        if not sign.isdigit():
            for y in (2, 6) if sign == ":" else (7,):
                _fill(pixels, stride, left + unit, top + unit * y, unit, unit, light)
            continue
        shapes = ((0, 0, 4, 1), (0, 0, 1, 4), (3, 0, 1, 4), (0, 3, 4, 1), (0, 4, 1, 4), (3, 4, 1, 4), (0, 7, 4, 1))
        for (x, y, w, h), lit in zip(shapes, _SEGMENTS[int(sign)], strict=True):
            if lit == "1":
                _fill(pixels, stride, left + unit * x, top + unit * y, unit * w, unit * h, light)


def _fill(pixels: bytearray, stride: int, x: int, y: int, width: int, height: int, value: int) -> None:
    row = bytes([value]) * width
    for line in range(y, y + height):
        pixels[line * stride + x : line * stride + x + width] = row


class Tone(PacedTrack):
    """A soft 400 Hz beep of 0.3 s every second."""

    def __init__(self, *, level: int = 6000) -> None:
        super().__init__("audio", AUDIO_RATE_HZ)
        wave = (round(level * math.sin(2 * math.pi * 400 * n / AUDIO_RATE_HZ)) for n in range(AUDIO_SAMPLES))
        self._beep = array("h", (sample for value in wave for sample in (value, value))).tobytes()
        self._count = 0

    async def next_frame(self) -> tuple[AudioFrame, float]:
        count, self._count = self._count, self._count + 1
        due_s = count * AUDIO_STEP_S
        return _sound(self._beep if due_s % 1 < 0.3 else None), due_s


class Echo(PacedTrack):
    """What `hear` was given, a moment later; silence otherwise. Holds two seconds at most."""

    def __init__(self, *, delay_s: float = 0.8) -> None:
        super().__init__("audio", AUDIO_RATE_HZ)
        self._delay_frames = round(delay_s / AUDIO_STEP_S)
        self._heard: deque[AudioFrame] = deque(maxlen=self._delay_frames + 60)
        self._speaking = False
        self._resampler = AudioResampler("s16", "stereo", AUDIO_RATE_HZ, AUDIO_SAMPLES)
        self._count = 0

    def hear(self, frame: AudioFrame) -> None:
        """A frame from the other side, in whatever format."""
        self._heard.extend(self._resampler.resample(frame))

    async def next_frame(self) -> tuple[AudioFrame, float]:
        count, self._count = self._count, self._count + 1
        self._speaking = bool(self._heard) and (self._speaking or len(self._heard) > self._delay_frames)
        return self._heard.popleft() if self._speaking else _sound(None), count * AUDIO_STEP_S


def _sound(samples: bytes | None) -> AudioFrame:
    """20 ms of interleaved 16-bit stereo; None is silence."""
    frame = AudioFrame("s16", "stereo", AUDIO_SAMPLES)
    frame.planes[0].update(samples or bytes(frame.planes[0].buffer_size))
    frame.sample_rate = AUDIO_RATE_HZ
    return frame


class FileTrack(PacedTrack):
    """The picture or the sound of a file, over and over, read frame by frame in a thread."""

    def __init__(self, frames: FileFrames) -> None:
        super().__init__(frames.kind, VIDEO_CLOCK_HZ if frames.kind == "video" else AUDIO_RATE_HZ)
        self._frames = frames

    async def next_frame(self) -> tuple[AudioFrame | VideoFrame, float]:
        try:
            return await asyncio.to_thread(self._frames.next)
        except MediaFileError as error:
            raise MediaStreamError from error

    def stop(self) -> None:
        super().stop()
        self._frames.close()


@dataclass(frozen=True, slots=True)
class Media:
    """What one side sends in one attempt; tracks serve one peer connection and end with it."""

    audio: PacedTrack | None = None
    video: PacedTrack | None = None
    hear: Callable[[AudioFrame], None] | None = None
    """Gets the other side's sound."""

    def stop(self) -> None:
        for track in (self.audio, self.video):
            if track is not None:
                track.stop()


def clock_media(brightness: float = 1.0) -> Media:
    """The moving picture and the tone."""
    return Media(Tone(), ClockPicture(brightness=brightness))


def echo_media() -> Media:
    """What is heard, back again."""
    echo = Echo()
    return Media(echo, None, echo.hear)


def file_media(path: Path) -> Media:
    """A file's picture and sound; the tone where it has no sound. Blocks while opening; raises `MediaFileError`."""
    video, audio = FileFrames.open(path, "video"), FileFrames.open(path, "audio")
    return Media(FileTrack(audio) if audio else Tone(), FileTrack(video) if video else None)
