/** This side's own pause, in words: the button that stops the picture, and what a phone call or a locked screen did. */
import { say } from "./words.js";

const UNWANTED = ["phone_call", "background"];

export class OwnPauses {
  #page;
  #media;
  #button = document.getElementById("pause-video");
  #inCall;

  /** `inCall()`: whether there is anybody to whom it matters. */
  constructor(page, media, inCall) {
    this.#page = page;
    this.#media = media;
    this.#inCall = inCall;
    this.#button?.addEventListener("click", () => this.#switch());
    media.pauses.on("change", (cause, before) => this.#changed(cause, before));
  }

  #switch() {
    const paused = !this.#media.pauses.byUser;
    this.#media.setVideoPaused(paused);
    const words = say(paused ? "video_paused" : "video_resumed");
    if (this.#inCall()) this.#page.status(words); // else what stands there would still say that the camera is seen
    this.#page.speak(words);
  }

  #changed(cause, before) {
    if (this.#button) {
      const paused = this.#media.pauses.byUser;
      this.#button.dataset.active = String(paused);
      this.#button.textContent = say(paused ? "resume_video" : "pause_video");
    }
    if (!this.#inCall()) return;
    if (cause === "phone_call") this.#page.speak(say("own_phone_call"));
    else if (UNWANTED.includes(before) && !UNWANTED.includes(cause)) this.#page.speak(say("own_back"));
  }
}
