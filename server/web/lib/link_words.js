/**
 * Words for a call whose connection suffers: what this side sees of it, and what the server says of the other person.
 *
 * While media still flow, the other side's lost socket is nobody's business; when they stop, it says why.
 */
import { hasWord, say } from "./words.js";

const HEALS_UNSAID_MS = 1500;
const SILENT_MS = 2500;
const LOOK_MS = 500;

export class LinkWords {
  #page;
  #other;
  #usual;
  #away = false;
  #paused = false;
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
    call.on("peer", ({ state, cause }) => this.#peer(call, state, cause));
    call.on("no_relay", () => this.#tell(say("link_no_relay")));
  }

  stop() {
    clearTimeout(this.#timer);
    clearInterval(this.#silence);
    this.#away = this.#paused = this.#broken = false;
  }

  #link(call, state) {
    clearTimeout(this.#timer);
    if (call.view.state === "connecting") return;
    if (state === "connected" && this.#broken) this.#well();
    else if (state === "disconnected" || state === "failed") this.#timer = setTimeout(() => this.#trouble(), HEALS_UNSAID_MS);
  }

  #peer(call, state, cause) {
    clearInterval(this.#silence);
    const wasPaused = this.#paused;
    this.#away = state === "away";
    this.#paused = state === "paused" || (wasPaused && cause === "network"); // a new socket ends no phone call
    const flows = call.receivedWithin(SILENT_MS);
    if (state === "paused") this.#tell(say(pausedKey(this.#other, cause)));
    else if (this.#away) this.#silence = setInterval(() => call.receivedWithin(SILENT_MS) || this.#trouble(), LOOK_MS);
    else if (state === "back" && this.#broken && flows) this.#well();
    else if (state === "back" && wasPaused && !this.#paused && !this.#broken) this.#resumed();
    else if (state === "back" && this.#broken) this.#tell(say(`peer_back_${this.#other}`));
  }

  #resumed() {
    this.#page.status(this.#usual());
    this.#page.speak(say(`peer_back_${this.#other}`));
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

function pausedKey(other, cause) {
  const key = `peer_${cause}_${other}`;
  return hasWord(key) ? key : `peer_paused_${other}`;
}
