/** The buttons that ask the other person's camera to come closer or go back, and what that camera answers. */
import { say } from "./words.js";

const STEP = 1.5;
const LARGEST = 100;

export class ZoomButtons {
  #page;
  #calls;
  #factor = 1;

  constructor(page, calls) {
    this.#page = page;
    this.#calls = calls;
    page.onClick("zoom-in", () => this.#ask(this.#factor * STEP));
    page.onClick("zoom-out", () => this.#ask(this.#factor / STEP));
  }

  follow(call) {
    this.#factor = 1;
    call.on("control_state", ({ name, value, available }) => name === "zoom" && this.#told(value, available));
  }

  async #ask(factor) {
    const wish = Math.min(Math.max(1, Math.round(factor * 100) / 100), LARGEST);
    this.#page.speak(say(factor > this.#factor ? "zoom_asked_in" : "zoom_asked_out"));
    try {
      await this.#calls.current?.control("zoom", wish);
    } catch {
      this.#page.speak(say("not_sent"), { urgent: true });
    }
  }

  #told(value, available) {
    if (available) this.#factor = value;
    this.#page.speak(available ? say("zoom_is", { factor: Math.round(value * 10) / 10 }) : say("zoom_unavailable"));
  }
}
