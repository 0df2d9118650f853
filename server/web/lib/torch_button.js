/** The button that asks for the other person's light: a wish, so it is pressed at once and let go if it cannot be told. */
import { say } from "./words.js";

export class TorchButton {
  #page;
  #calls;
  #button = document.getElementById("torch");

  constructor(page, calls) {
    this.#page = page;
    this.#calls = calls;
    page.onClick("torch", () => this.#ask());
  }

  reset() {
    this.#press(false);
  }

  async #ask() {
    const on = this.#button.getAttribute("aria-pressed") !== "true";
    this.#press(on);
    this.#page.speak(say(on ? "torch_asked_on" : "torch_asked_off"));
    try {
      await this.#calls.current?.control("torch", on);
    } catch {
      this.#press(!on);
      this.#page.speak(say("not_sent"), { urgent: true });
    }
  }

  #press(on) {
    this.#button.setAttribute("aria-pressed", String(on));
  }
}
