/** How light the other side's picture is, once a second, on a canvas of a few pixels: a covered camera is all dark. */
const LOOK_MS = 1000;
const WIDTH = 16;
const HEIGHT = 12;
const LOOKS = 2;

export class PictureLight {
  #video;
  #canvas = null;
  #frames = 0;
  #seen = [];
  #timer = null;

  constructor(video) {
    this.#video = video;
  }

  follow(call) {
    this.stop();
    if (call.view.mode !== "video") return;
    this.#timer = setInterval(() => {
      call.luma = call.view.state === "connected" ? this.#look() : null;
    }, LOOK_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#seen = [];
  }

  /** The lightest of the last looks, so that a hand passing by is nobody's business; null when no new frame came. */
  #look() {
    const { totalVideoFrames: frames } = this.#video.getVideoPlaybackQuality();
    const isNew = frames !== this.#frames && this.#video.videoWidth > 0;
    this.#frames = frames;
    this.#seen = isNew ? [...this.#seen.slice(1 - LOOKS), this.#measure()] : [];
    return this.#seen.length === LOOKS ? Math.max(...this.#seen) : null;
  }

  /** Mean luma (Rec. 601), 0 to 255. */
  #measure() {
    this.#canvas ??= Object.assign(document.createElement("canvas"), { width: WIDTH, height: HEIGHT });
    const context = this.#canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(this.#video, 0, 0, WIDTH, HEIGHT);
    const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) sum += 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
    return Math.min(Math.round((sum / (WIDTH * HEIGHT)) * 10) / 10, 255);
  }
}
