/** The screen for what stands in the way: true words, and the buttons that lead on. */
import { show } from "./page.js";
import { say } from "./words.js";

export class Troubles {
  #page;
  #session;
  #buttons = Array.from(document.querySelectorAll('[data-view="problem"] button'), (button) => button.id);

  constructor(page, session) {
    this.#page = page;
    this.#session = session;
  }

  /** `actions`: ids of the buttons of the problem section that help here. */
  show(words, actions = []) {
    this.#page.stayAwake(false);
    for (const id of this.#buttons) show(id, actions.includes(id));
    this.#page.enter("problem", words, { urgent: true });
    this.#page.sounds.play("trouble");
  }

  /** The socket will not come back by itself (`EyelineSocket.reason`). */
  stopped(reason) {
    if (reason === "signed_out") this.#session.signOut();
    else if (reason === "suspended") this.show(say("suspended"));
    else this.show(say(reason === "taken_over" ? "taken_over" : "connection_refused"), ["use-here"]);
  }
}
