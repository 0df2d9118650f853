"""What the phone sends: its pictures, tones, echoes and files."""

from __future__ import annotations

import fractions
from pathlib import Path

import av
import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from infra.phone.files import FileFrames, MediaFileError
from infra.phone.sinks import brightness_of
from infra.phone.tracks import ClockPicture, Echo, Tone, file_media


async def picture_from(track: ClockPicture) -> VideoFrame:
    frame = await track.recv()
    assert isinstance(frame, VideoFrame)
    return frame


class TestPicture:
    async def test_moves_and_is_paced(self) -> None:
        track = ClockPicture()
        one, two = await picture_from(track), await picture_from(track)
        assert (one.width, one.height) == (640, 480)
        assert bytes(one.planes[0]) != bytes(two.planes[0])
        assert (one.pts, two.pts) == (0, 6000)
        assert one.time_base == fractions.Fraction(1, 90_000)
        assert track.flows(within_s=1)

    async def test_ends_with_the_connection(self) -> None:
        track = ClockPicture()
        track.stop()
        with pytest.raises(MediaStreamError):
            await track.recv()

    def test_brightness_is_that_of_the_screen(self) -> None:
        frame = VideoFrame(64, 48, "yuv420p")
        for plane, value in zip(frame.planes, (235, 128, 128), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        assert brightness_of(frame) > 250
        for plane, value in zip(frame.planes, (12, 0, 0), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        assert 70 < brightness_of(frame) < 110, "green beyond what Y says"


def sound(value: int) -> AudioFrame:
    frame = AudioFrame("s16", "stereo", 960)
    frame.planes[0].update(value.to_bytes(2, "little", signed=True) * 1920)
    frame.sample_rate = 48_000
    return frame


def samples(frame: AudioFrame | VideoFrame) -> set[int]:
    assert isinstance(frame, AudioFrame)
    return set(memoryview(frame.planes[0]).cast("B").cast("h")[: 2 * frame.samples])


class TestSound:
    async def test_the_tone_is_heard(self) -> None:
        assert max(samples(await Tone().recv())) > 1000

    async def test_the_echo_repeats_after_its_delay_and_else_is_silent(self) -> None:
        echo = Echo(delay_s=0.04)
        assert samples(await echo.recv()) == {0}
        for _ in range(4):
            echo.hear(sound(500))
        assert samples(await echo.recv()) == {500}
        for _ in range(10):
            last = samples(await echo.recv())
        assert last == {0}

    async def test_the_echo_keeps_only_so_much(self) -> None:
        echo = Echo(delay_s=0)
        for value in range(200):
            echo.hear(sound(value))
        assert min(samples(await echo.recv())) >= 200 - 61


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """A second of grey at 10 frames a second, 1280 by 720, with half a second of sound."""
    path = tmp_path / "movie.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libvpx", rate=10)
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        audio = container.add_stream("libopus", rate=48_000)
        for count in range(10):
            picture = VideoFrame(1280, 720, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            picture.pts, picture.time_base = count, fractions.Fraction(1, 10)
            container.mux(video.encode(picture))
        for count in range(25):
            frame = sound(100)
            frame.pts, frame.time_base = count * 960, fractions.Fraction(1, 48_000)
            container.mux(audio.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return path


class TestFiles:
    def test_pictures_fit_and_begin_again_at_the_end(self, movie: Path) -> None:
        frames = FileFrames.open(movie, "video")
        assert frames is not None
        due = []
        for _ in range(25):
            frame, due_s = frames.next()
            assert isinstance(frame, VideoFrame)
            assert (frame.width, frame.height) == (640, 360)
            due.append(due_s)
        assert due == sorted(due)
        assert 2.2 < due[-1] < 2.6
        frames.close()
        with pytest.raises(MediaFileError):
            frames.next()

    def test_sound_comes_in_even_pieces(self, movie: Path) -> None:
        frames = FileFrames.open(movie, "audio")
        assert frames is not None
        pieces = [frames.next() for _ in range(60)]
        assert {piece.samples for piece, _ in pieces if isinstance(piece, AudioFrame)} == {960}
        assert pieces[-1][1] == pytest.approx(59 * 0.02)
        frames.close()

    async def test_as_media_of_a_call(self, movie: Path) -> None:
        media = file_media(movie)
        assert media.video is not None
        assert media.audio is not None
        assert isinstance(await media.video.recv(), VideoFrame)
        assert isinstance(await media.audio.recv(), AudioFrame)
        media.stop()
        with pytest.raises(MediaStreamError):
            await media.video.recv()

    def test_what_is_no_media_file_says_so(self, tmp_path: Path) -> None:
        nonsense = tmp_path / "notes.txt"
        nonsense.write_text("nothing to see")
        with pytest.raises(MediaFileError, match=r"notes\.txt"):
            file_media(nonsense)
