/**
 * The camera and microphone of this device, and why they are not there when they are not.
 *
 * Events: `change` (the tracks are other ones now), `lost` (kind: unplugged or taken by another program).
 */
import { Emitter } from "./emitter.js";
import { Pauses } from "./pauses.js";

const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const VIDEO = {
  facingMode: { ideal: "environment" }, // what is in front of the person, not their face
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30 },
  zoom: true, // without asking, a browser gives no zoom
};

/** Why a camera or microphone cannot be had: refused | missing | busy | insecure. */
export class MediaProblem extends Error {
  constructor(kind, reason, cause) {
    super(`${kind} ${reason}`, { cause });
    this.name = "MediaProblem";
    this.kind = kind;
    this.reason = reason;
  }
}

const REASONS = {
  NotAllowedError: "refused",
  SecurityError: "refused",
  NotFoundError: "missing",
  OverconstrainedError: "missing",
  NotReadableError: "busy",
  AbortError: "busy",
};

async function open(kind, constraints) {
  if (!navigator.mediaDevices?.getUserMedia) throw new MediaProblem(kind, "insecure");
  try {
    return await navigator.mediaDevices.getUserMedia(constraints);
  } catch (error) {
    throw new MediaProblem(kind, REASONS[error.name] ?? "busy", error);
  }
}

function letGo(track) {
  if (!track) return;
  track.onended = null;
  track.stop();
}

export class LocalMedia extends Emitter {
  audio = null;
  video = null;
  stream = null;
  /** Why the picture or the sound stands still, when it is not broken. */
  pauses = new Pauses(() => this);
  #muted = false;
  #opening = null;
  /** How often all was let go: what was being opened then is nobody's any more. */
  #closed = 0;

  constructor() {
    super();
    this.pauses.on("returned", () => this.#missWhatEnded());
  }

  get muted() {
    return this.#muted;
  }

  /** Own side only: the other side hears silence, the connection stays. */
  setMuted(muted) {
    this.#muted = muted;
    if (this.audio) this.audio.enabled = !muted;
  }

  /** Own side only, too: the camera stays open and the connection as it is, and no picture goes. */
  setVideoPaused(paused) {
    this.pauses.byUser = paused;
    this.emit("change");
  }

  /** The track that goes to the other side, or null. */
  outgoing(kind) {
    return kind === "video" && this.pauses.byUser ? null : this[kind];
  }

  /**
   * Camera and microphone with one question to the person. Gives the problem with the microphone, or null: without it
   * one can still be helped. Throws `MediaProblem` when there is no camera.
   */
  async openCamera() {
    if (this.video?.readyState === "live") return null;
    try {
      await this.#open("camera", { audio: AUDIO, video: VIDEO });
      return null;
    } catch (error) {
      if (error.reason === "insecure") throw error;
      return this.#openApart();
    }
  }

  async #openApart() {
    if (!(await this.#open("camera", { video: VIDEO }))) return null;
    try {
      await this.openMicrophone();
      return null;
    } catch (problem) {
      return problem;
    }
  }

  /** Throws `MediaProblem`. Asked twice at once, it opens one. */
  async openMicrophone() {
    if (this.audio?.readyState === "live") return;
    const opening = (this.#opening ??= this.#open("microphone", { audio: AUDIO }));
    try {
      await opening;
    } finally {
      if (this.#opening === opening) this.#opening = null;
    }
  }

  /** Gives whether it is kept. When all was let go meanwhile, what comes is let go too, and what fails is no problem. */
  async #open(kind, constraints) {
    const closed = this.#closed;
    try {
      const stream = await open(kind, constraints);
      if (closed === this.#closed) this.#keep(stream);
      else for (const track of stream.getTracks()) track.stop();
    } catch (problem) {
      if (closed === this.#closed) throw problem;
    }
    return closed === this.#closed;
  }

  /** Turns the camera's light on or off. Gives whether it has one. */
  async setTorch(on) {
    if (!this.video?.getCapabilities?.().torch) return false;
    await this.video.applyConstraints({ advanced: [{ torch: on }] });
    return true;
  }

  /** How many times nearer than at its widest the camera shows things; null: it has no zoom. */
  get zoom() {
    const range = this.#zoomRange;
    return range && this.video.getSettings().zoom / range.unit;
  }

  /** Comes as near to the factor as the camera can. Gives the factor it has now; null: it has no zoom. */
  async setZoom(factor) {
    const range = this.#zoomRange;
    if (!range) return null;
    await this.video.applyConstraints({ advanced: [{ zoom: Math.min(Math.max(factor * range.unit, range.min), range.max) }] });
    return this.zoom;
  }

  /** Cameras number their zoom as they like: `unit` is their number for 1. */
  get #zoomRange() {
    const { min, max } = this.video?.getCapabilities?.().zoom ?? {};
    return max > min ? { min, max, unit: min > 0 ? min : 1 } : null;
  }

  /** Lets go what a request of this mode has no use for: it was opened for another wish, perhaps. */
  keepFor(mode) {
    if (mode === "text") this.close();
    else if (mode === "voice" && this.video) this.#closeCamera();
  }

  #closeCamera() {
    letGo(this.video);
    this.video = null;
    this.stream = new MediaStream([this.audio].filter(Boolean));
    this.emit("change");
  }

  close() {
    this.#closed += 1;
    this.#opening = null;
    for (const track of [this.audio, this.video]) letGo(track);
    this.audio = this.video = this.stream = null;
    this.#muted = false;
    this.pauses.byUser = false;
  }

  /** A phone call may have taken the camera or the microphone for good. */
  #missWhatEnded() {
    for (const track of [this.audio, this.video]) if (track?.readyState === "ended") this.emit("lost", track.kind);
  }

  #keep(stream) {
    for (const track of stream.getTracks()) {
      if (this[track.kind] === track) continue;
      this[track.kind]?.stop();
      this[track.kind] = track;
      track.onended = () => this.emit("lost", track.kind);
      this.pauses.watch(track);
    }
    if (this.audio) this.audio.enabled = !this.#muted;
    this.stream = new MediaStream([this.audio, this.video].filter(Boolean));
    this.emit("change");
  }
}
