/**
 * What every page has: one state at a time, shown, spoken and focused; a line for the network; a screen kept awake.
 *
 * `body[data-state]` is the state; sections with `data-view="a b"` show in states a and b. When the focused control
 * disappears with its section, focus goes to the heading of the new one, so that a keyboard never falls off the page.
 */
import { Announcer } from "./speech.js";
import { Sounds } from "./sounds.js";
import { fillPage, say } from "./words.js";

const NETWORK_SAID_AFTER_MS = 2500;
const DOUBLE_TAP_MS = 600;

export class Page {
  sounds = new Sounds();
  #announcer = new Announcer();
  #status = document.getElementById("status");
  #network = document.getElementById("network");
  #networkTimer = null;
  #notice = document.getElementById("notice");
  #noticeTimer = null;
  #enteredAt = 0;
  #wakeLock = null;

  constructor() {
    fillPage();
    document.addEventListener("visibilitychange", () => this.#wakeLock && this.stayAwake(true));
  }

  get state() {
    return document.body.dataset.state;
  }

  /** Shows a state and speaks its sentence (null: leave words as they are; `quiet`: show only). */
  enter(state, sentence = null, { urgent = false, quiet = false } = {}) {
    const isNew = state !== this.state;
    if (isNew) {
      document.body.dataset.state = state;
      this.#enteredAt = performance.now();
      this.#showSections(state);
    }
    if (sentence !== null) {
      this.status(sentence);
      if (!quiet) this.speak(sentence, { urgent });
    }
  }

  /** Words on the screen only: for what changes every second. */
  status(text) {
    this.#status.textContent = text;
  }

  speak(text, options) {
    this.#announcer.say(text, options);
  }

  /** A click handler; the second half of a double click that lands on a page just changed is not meant for it. */
  onClick(id, handler) {
    document.getElementById(id).addEventListener("click", (event) => {
      if (event.detail > 1 && performance.now() - this.#enteredAt < DOUBLE_TAP_MS) return;
      handler(event);
    });
  }

  /**
   * A sentence that stands beside the state (the microphone is missing, the volunteer asks for light), shown and spoken.
   * It goes after `forMs`, or when the call or the page's state is over (`notice(null)`).
   */
  notice(text, { forMs = null, urgent = false } = {}) {
    clearTimeout(this.#noticeTimer);
    this.#notice.hidden = text === null;
    this.#notice.textContent = text ?? "";
    if (text !== null) this.speak(text, { urgent });
    if (forMs !== null) this.#noticeTimer = setTimeout(() => this.notice(null), forMs);
  }

  /**
   * The line about the network: a short gap is nobody's business, a longer one is shown and spoken. `talking()`: whether a
   * call goes on without the server, so that nobody is alarmed in the middle of a sentence. `restsMs`: how long the server
   * asked to stay away.
   */
  online(isOnline, { talking = () => false, restsMs = 0 } = {}) {
    if (isOnline) {
      if (!this.#network.hidden) this.speak(say("network_back"));
      this.networkSettled();
      return;
    }
    this.#networkTimer ??= setTimeout(() => {
      const isTalking = talking();
      this.#network.textContent = say(isTalking ? "network_lost_talking" : "network_lost");
      this.#network.hidden = false;
      this.speak(this.#network.textContent, { urgent: !isTalking });
    }, NETWORK_SAID_AFTER_MS + restsMs);
  }

  networkSettled() {
    clearTimeout(this.#networkTimer);
    this.#networkTimer = null;
    this.#network.hidden = true;
  }

  /** Keeps a phone from locking itself while somebody waits or talks. */
  async stayAwake(awake) {
    try {
      if (awake && document.visibilityState === "visible") this.#wakeLock = (await navigator.wakeLock?.request("screen")) ?? null;
      if (!awake) await this.#wakeLock?.release();
    } catch (error) {
      console.info("the screen may go dark:", error.name); // low battery, or not allowed: a comfort, not a need
    }
    if (!awake) this.#wakeLock = null;
  }

  #showSections(state) {
    const focused = document.activeElement;
    let shown = null;
    for (const section of document.querySelectorAll("[data-view]")) {
      section.hidden = !section.dataset.view.split(" ").includes(state);
      if (!section.hidden) shown ??= section;
    }
    const lost = !focused || focused === document.body || focused.closest("[hidden]");
    if (lost) shown?.querySelector("h2")?.focus({ preventScroll: true });
    scrollTo({ top: 0 });
  }
}

/** Hides an element, by id; the focus, should it be in there, goes to `instead` first. */
export function hide(id, instead) {
  const element = document.getElementById(id);
  if (element.contains(document.activeElement)) instead.focus({ preventScroll: true });
  element.hidden = true;
}

/** Shows an element or not, by id. */
export function show(id, visible) {
  document.getElementById(id).hidden = !visible;
}
