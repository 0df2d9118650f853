/**
 * Why this side's picture or sound stands still although nothing broke: the contract's `paused`.
 *
 * Events: `change` (cause, before): each null, `user`, `background` or `phone_call`, also when the person's own wish changed
 * and something else stands in its way; `returned`: the page is in front again.
 */
import { Emitter } from "./emitter.js";

/**
 * A microphone that the system took while the page is in front is a phone call's; a page behind another, or a locked
 * screen, loses its camera.
 */
export function pauseCause({ user, hidden, leaving, audioMuted, videoMuted }) {
  const inBackground = leaving || (hidden && videoMuted);
  if (inBackground) return "background";
  if (audioMuted) return "phone_call";
  return user ? "user" : null;
}

export class Pauses extends Emitter {
  #tracks;
  #byUser = false;
  #leaving = false;
  #cause = null;

  /** `tracks()` gives `{audio, video}`, the local tracks or null. */
  constructor(tracks) {
    super();
    this.#tracks = tracks;
    const leaving = (value) => () => {
      this.#leaving = value;
      this.#look();
    };
    for (const [target, type] of [[window, "pagehide"], [document, "freeze"]]) target.addEventListener(type, leaving(true));
    for (const [target, type] of [[window, "pageshow"], [document, "resume"]]) target.addEventListener(type, leaving(false));
    document.addEventListener("visibilitychange", () => this.#visible());
  }

  get cause() {
    return this.#cause;
  }

  get byUser() {
    return this.#byUser;
  }

  set byUser(value) {
    this.#byUser = value;
    this.#look({ told: true });
  }

  /** The system mutes a track whose source it took, and unmutes it when it gives it back. */
  watch(track) {
    track.addEventListener("mute", () => this.#look());
    track.addEventListener("unmute", () => this.#look());
    this.#look();
  }

  #visible() {
    const visible = document.visibilityState === "visible";
    if (visible) this.#leaving = false;
    this.#look();
    if (visible) this.emit("returned");
  }

  #look({ told = false } = {}) {
    const { audio, video } = this.#tracks();
    const before = this.#cause;
    this.#cause = pauseCause({
      user: this.#byUser,
      hidden: document.visibilityState === "hidden",
      leaving: this.#leaving,
      audioMuted: isTaken(audio),
      videoMuted: isTaken(video),
    });
    if (told || this.#cause !== before) this.emit("change", this.#cause, before);
  }
}

function isTaken(track) {
  return track?.readyState === "live" && track.muted;
}
