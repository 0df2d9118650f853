/**
 * Words for what the volunteer sees (the contract's `picture`): frozen, all dark, paused, well again. Each is spoken once;
 * a pause is not, for whoever paused says so.
 *
 * Elements by id: picture-note, picture-words; on the volunteer's page also picture-covered, one tap to say it.
 */
import { show } from "./page.js";
import { hasWord, say } from "./words.js";

export class PictureWords {
  #page;
  #state = "ok";

  constructor(page) {
    this.#page = page;
  }

  follow(call) {
    this.stop();
    call.on("picture", ({ state }) => this.#told(call, state));
  }

  stop() {
    this.#state = "ok";
    show("picture-note", false);
  }

  #told(call, state) {
    const { side } = call.view;
    const before = this.#state;
    if (state === before || !hasWord(`picture_${state}_${side}`)) return;
    this.#state = state;
    const words = say(`picture_${state}_${side}`);
    document.getElementById("picture-words").textContent = words;
    show("picture-note", state !== "ok");
    if (document.getElementById("picture-covered")) show("picture-covered", state === "dark");
    const isPause = state === "paused" || (state === "ok" && before === "paused");
    if (!isPause) this.#page.speak(words, { urgent: state !== "ok" });
    if (state === "frozen" && side === "requester") call.repair(); // one side is enough, and theirs is the picture
  }
}
