/**
 * Words for a call whose connection suffers: what this side sees of it, and what the server says of the other person.
 *
 * While media still flow, the other side's lost socket is nobody's business; when they stop, it says why.
 */
import { say } from "./words.js";

const HEALS_UNSAID_MS = 1500;
const SILENT_MS = 2500;
const LOOK_MS = 500;

export class LinkWords {
  #page;
  #other;
  #usual;
  #away = false;
  #broken = false;
  #timer = null;
  #silence = null;

  /** `other` is the other side (`requester` | `volunteer`); `usual()` gives the words of a call in which all is well. */
  constructor(page, other, usual) {
    this.#page = page;
    this.#other = other;
    this.#usual = usual;
  }

  follow(call) {
    this.stop();
    call.on("link", (state) => this.#link(call, state));
    call.on("peer", ({ state }) => this.#peer(call, state));
    call.on("no_relay", () => this.#tell(say("link_no_relay")));
  }

  stop() {
    clearTimeout(this.#timer);
    clearInterval(this.#silence);
    this.#away = this.#broken = false;
  }

  #link(call, state) {
    clearTimeout(this.#timer);
    if (call.view.state === "connecting") return;
    if (state === "connected" && this.#broken) this.#well();
    else if (state === "disconnected" || state === "failed") this.#timer = setTimeout(() => this.#trouble(), HEALS_UNSAID_MS);
  }

  #peer(call, state) {
    clearInterval(this.#silence);
    this.#away = state === "away";
    const flows = call.receivedWithin(SILENT_MS);
    if (state === "paused") this.#tell(say(`peer_paused_${this.#other}`));
    else if (this.#away) this.#silence = setInterval(() => call.receivedWithin(SILENT_MS) || this.#trouble(), LOOK_MS);
    else if (state === "back" && this.#broken && flows) this.#well();
    else if (state === "back" && this.#broken) this.#tell(say(`peer_back_${this.#other}`));
  }

  #trouble() {
    clearInterval(this.#silence);
    this.#broken = true;
    this.#tell(say(this.#away ? `peer_away_${this.#other}` : "link_weak"));
  }

  #well() {
    this.#broken = false;
    this.#page.status(this.#usual());
    this.#page.speak(say("connected_again"));
  }

  #tell(words) {
    this.#page.status(words);
    this.#page.speak(words);
  }
}
