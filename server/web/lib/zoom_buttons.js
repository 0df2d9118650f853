/** The buttons that ask the other person's camera to come closer or go back, and what that camera answers. */
import { say } from "./words.js";

const STEP = 1.5;
const LARGEST = 100;

export class ZoomButtons {
  #page;
  #calls;
  #factor = 1;
  #way = "in";

  constructor(page, calls) {
    this.#page = page;
    this.#calls = calls;
    page.onClick("zoom-in", () => this.#ask("in", this.#factor * STEP));
    page.onClick("zoom-out", () => this.#ask("out", this.#factor / STEP));
  }

  follow(call) {
    this.#factor = 1;
    call.on("control_state", ({ name, value, available }) => name === "zoom" && this.#told(value, available));
  }

  async #ask(way, factor) {
    this.#way = way;
    const wish = Math.min(Math.max(1, Math.round(factor * 100) / 100), LARGEST);
    this.#page.speak(say(`zoom_asked_${way}`));
    try {
      await this.#calls.current?.control("zoom", wish);
    } catch {
      this.#page.speak(say("not_sent"), { urgent: true });
    }
  }

  #told(value, available) {
    const changed = available && value !== this.#factor;
    if (available) this.#factor = value;
    this.#page.speak(changed ? say("zoom_is", { factor: Math.round(value * 10) / 10 }) : say(`zoom_unavailable_${this.#way}`));
  }
}
