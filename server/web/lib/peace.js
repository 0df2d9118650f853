/**
 * "Leave me in peace": buttons for how long, and while it lasts until when, with a button that ends it.
 *
 * Events: `began`; `ended`, by the person or by itself.
 */
import { NetworkError } from "./api.js";
import { Emitter } from "./emitter.js";
import { show } from "./page.js";
import { say, when } from "./words.js";

const HOUR_MS = 3_600_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class Peace extends Emitter {
  #page;
  #availability;
  #now;
  #timer = null;
  #until = null;
  #choices = document.getElementById("peace-choices");
  #said = document.getElementById("peace-said");

  constructor(page, availability, now) {
    super();
    this.#page = page;
    this.#availability = availability;
    this.#now = now;
    availability.on("changed", () => this.#show());
    for (const choice of this.#choices.querySelectorAll("button")) {
      choice.addEventListener("click", () => this.#begin(choice.dataset.hours ? choice.dataset.hours * HOUR_MS : null));
    }
    page.onClick("ask-again", () => this.#askAgain());
  }

  get isOn() {
    return this.#until !== null;
  }

  /** In words, until when it lasts; while it is on. */
  get words() {
    const until = this.#until;
    return until === Infinity ? say("peace_open") : say("peace_until", { when: when(new Date(until).toISOString()) });
  }

  /** Gives whether it is over; says so when it cannot be ended. */
  async end() {
    return this.#try(() => this.#availability.endPeace());
  }

  forget() {
    clearTimeout(this.#timer);
  }

  async #begin(ms) {
    if (await this.#try(() => this.#availability.beginPeace(ms))) document.getElementById("ask-again").focus();
  }

  async #askAgain() {
    if (await this.end()) this.#choices.querySelector("button").focus();
  }

  async #try(change) {
    try {
      await change();
      return true;
    } catch (error) {
      this.#page.speak(say(error instanceof NetworkError ? "no_server" : "not_saved"), { urgent: true });
      return false;
    }
  }

  #show() {
    const was = this.isOn;
    this.#until = this.#availability.peaceUntil; // asked once: it may end between two questions
    const { isOn } = this;
    this.#choices.hidden = isOn;
    show("ask-again", isOn);
    this.#said.textContent = isOn ? this.words : say("peace_hint");
    this.#watch();
    if (isOn !== was) this.emit(isOn ? "began" : "ended");
  }

  /** It ends by itself. Timers reach no further than some weeks. */
  #watch() {
    clearTimeout(this.#timer);
    if (!this.isOn || this.#until === Infinity) return;
    this.#timer = setTimeout(() => this.#show(), Math.min(this.#until - this.#now() + 1, LONGEST_TIMER_MS));
  }
}
