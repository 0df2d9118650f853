/** The button that asks for the other person's light: a wish, so it is pressed at once and let go if it cannot be done. */
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

  follow(call) {
    this.#press(false);
    call.on("control_state", ({ name, value, available }) => name === "torch" && this.#told(value === true, available));
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

  #told(on, available) {
    this.#press(on && available);
    this.#page.speak(say(available ? `torch_is_${on ? "on" : "off"}` : "torch_unavailable"));
  }

  #press(on) {
    this.#button.setAttribute("aria-pressed", String(on));
  }
}
