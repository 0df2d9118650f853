"""Frames from a media file, one kind at a time, begun again at its end. Everything here blocks: call it in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import av
import av.container
from av import AudioFrame, AudioResampler, VideoFrame

LARGEST = (640, 480)
"""Pictures are made to fit into this: encoding is done by this process."""
STILL_S = 0.2
"""A picture without times, such as a photo, is shown so often."""


class MediaFileError(Exception):
    """The file cannot be read as media."""


class FileFrames:
    """The frames of one stream, each with the second at which it is due since the first."""

    def __init__(self, container: av.container.InputContainer, kind: str) -> None:
        self.kind = kind
        self._container = container
        self._resampler = AudioResampler("s16", "stereo", 48_000, 960)
        self._frames = self._decode()
        self._round_began_s = 0.0
        self._due_s = 0.0
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, path: Path, kind: str) -> FileFrames | None:
        """None when the file has no stream of this kind."""
        try:
            container = av.open(str(path), timeout=10)
        except (av.FFmpegError, OSError) as error:
            raise MediaFileError(f"{path.name}: {error.strerror or 'not a media file'}") from error
        if any(stream.type == kind for stream in container.streams):
            return cls(container, kind)
        container.close()
        return None

    def next(self) -> tuple[AudioFrame | VideoFrame, float]:
        """The next frame. Raises `MediaFileError` when there is none, or after `close`."""
        with self._lock:
            if self._closed:
                raise MediaFileError("closed")
            for _ in range(2):
                if (frame := next(self._frames, None)) is not None:
                    return frame
                self._container.seek(0)
                self._round_began_s = self._due_s
                self._frames = self._decode()
            raise MediaFileError("no frames")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._container.close()

    def _decode(self) -> Iterator[tuple[AudioFrame | VideoFrame, float]]:
        try:
            if self.kind == "video":
                yield from map(self._picture, self._container.decode(video=0))
            else:
                for frame in self._container.decode(audio=0):
                    yield from self._sounds(frame)
        except av.FFmpegError as error:
            raise MediaFileError("the file is damaged") from error

    def _picture(self, frame: VideoFrame) -> tuple[VideoFrame, float]:
        due_s = self._due_s if frame.pts is None else self._round_began_s + max(0.0, frame.time)
        lasts_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else STILL_S
        self._due_s = due_s + lasts_s
        scale = min(1.0, LARGEST[0] / frame.width, LARGEST[1] / frame.height)
        width, height = (max(2, round(side * scale) // 2 * 2) for side in (frame.width, frame.height))
        return frame.reformat(width, height, "yuv420p"), due_s

    def _sounds(self, frame: AudioFrame) -> Iterator[tuple[AudioFrame, float]]:
        frame.pts = None  # its own times may have holes; the count of samples has none
        for part in self._resampler.resample(frame):
            due_s, self._due_s = self._due_s, self._due_s + part.samples / 48_000
            yield part, due_s
