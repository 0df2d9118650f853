/**
 * Speaking through live regions: each sentence once, none lost because the next came quickly.
 *
 * Sentences are added as children (screen readers queue additions; replaced text is often swallowed) and removed later.
 */
const KEPT_MS = 12_000;
const REPEAT_MS = 1500;
const AFTER_FOCUS_MS = 120;

export class Announcer {
  #regions;
  #last = "";
  #lastAt = -Infinity;

  constructor(parent = document.body) {
    this.#regions = { polite: region("status", "polite"), urgent: region("alert", "assertive") };
    parent.append(this.#regions.polite, this.#regions.urgent);
  }

  /** `urgent` interrupts what is being spoken: for a ringing call and for trouble, nothing else. */
  say(text, { urgent = false } = {}) {
    const now = performance.now();
    if (!text || (text === this.#last && now - this.#lastAt < REPEAT_MS)) return;
    this.#last = text;
    this.#lastAt = now;
    const sentence = document.createElement("p");
    sentence.textContent = text;
    // After a move of focus, which would interrupt it.
    setTimeout(() => this.#regions[urgent ? "urgent" : "polite"].append(sentence), AFTER_FOCUS_MS);
    setTimeout(() => sentence.remove(), KEPT_MS);
  }
}

function region(role, live) {
  const element = document.createElement("div");
  element.className = "visually-hidden";
  element.id = `live-${live}`;
  element.setAttribute("role", role);
  element.setAttribute("aria-live", live);
  element.setAttribute("aria-atomic", "false");
  return element;
}

/** Reads messages aloud for those who see too little to read, and use no screen reader. Off until switched on. */
export class Reader {
  #key = "eyeline.read_aloud";

  get available() {
    return "speechSynthesis" in window;
  }

  get on() {
    return localStorage.getItem(this.#key) === "yes";
  }

  set on(value) {
    localStorage.setItem(this.#key, value ? "yes" : "no");
    if (!value && this.available) speechSynthesis.cancel();
  }

  read(text, language) {
    if (!this.on || !this.available) return;
    const utterance = new SpeechSynthesisUtterance(text);
    utterance.lang = language;
    speechSynthesis.speak(utterance);
  }
}
