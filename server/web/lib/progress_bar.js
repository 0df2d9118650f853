/** A progress bar with words: shown all the time, spoken at each quarter, and not in one breath. */
import { hide, show } from "./page.js";
import { say } from "./words.js";

const SPOKEN_EVERY_MS = 3000;

export class ProgressBar {
  #page;
  #id;
  #bar;
  #said;
  #instead;
  #quarter = 0;
  #spokenAt = 0;

  /**
   * Elements by id: `<id>-progress` (all of it), `<id>-bar` (a progress element), `<id>-said`. `instead` has the focus when
   * what had it goes.
   */
  constructor(page, id, instead) {
    this.#page = page;
    this.#instead = instead;
    this.#id = id;
    this.#bar = document.getElementById(`${id}-bar`);
    this.#said = document.getElementById(`${id}-said`);
  }

  /** Appears, with these words spoken. */
  begin(words) {
    this.#quarter = 0;
    this.#spokenAt = performance.now();
    this.#bar.value = 0;
    this.#said.textContent = words;
    show(`${this.#id}-progress`, true);
    this.#page.speak(words);
  }

  /** `share` is 0 to 1. */
  at(share) {
    const percent = Math.floor(share * 100);
    this.#bar.value = percent;
    this.#said.textContent = say("photo_percent", { percent });
    const quarter = Math.floor(share * 4);
    const now = performance.now();
    if (quarter <= this.#quarter || quarter === 4 || now - this.#spokenAt < SPOKEN_EVERY_MS) return;
    this.#quarter = quarter;
    this.#spokenAt = now;
    this.#page.speak(this.#said.textContent);
  }

  /** Goes, with these words spoken, if any. */
  end(words = null) {
    hide(`${this.#id}-progress`, this.#instead);
    if (words) this.#page.speak(words);
  }
}
