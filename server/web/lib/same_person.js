/** The button "Ask the same person again": for two minutes after a call, as long as the server knows whom that is. */
import { show } from "./page.js";

const OFFERED_MS = 120_000;
const BUTTON = "same-person";

export class SamePerson {
  callId = null;
  #timer = null;

  offer(callId) {
    this.forget();
    this.callId = callId;
    show(BUTTON, true);
    this.#timer = setTimeout(() => this.forget(), OFFERED_MS);
  }

  /** The focus stays on the page when it was on the button that goes. */
  forget() {
    clearTimeout(this.#timer);
    this.callId = null;
    const hadFocus = document.activeElement?.id === BUTTON;
    show(BUTTON, false);
    if (hadFocus) document.getElementById("help").focus();
  }
}
