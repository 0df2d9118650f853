/**
 * The incoming-call screen: sound, the call's language, and how long there is to answer.
 *
 * Events: `ended` (offer; nothing more comes of it here), `over` (time ran out).
 */
import { Emitter } from "./emitter.js";
import { duration, languageName, say, sayOf } from "./words.js";

const RING_EVERY_MS = 2400;
const LAST_CALL_S = 10;

export class Ring extends Emitter {
  offer = null;
  #page;
  #last = null;
  #until = 0;
  #timer = null;
  #saidLast = false;
  #title = document.title;
  #countdown = document.getElementById("countdown");
  #language = document.getElementById("call-language");

  constructor(page) {
    super();
    this.#page = page;
  }

  /** Rings until `stop`, or until the offer's own end by this device's steady clock. `words`: if not the usual ones. */
  start(offer, words = null) {
    this.stop();
    this.offer = this.#last = offer;
    this.#until = performance.now() + offer.expires_in_ms;
    this.#saidLast = offer.expires_in_ms < LAST_CALL_S * 1000;
    const language = languageName(offer.language);
    this.#language.textContent = say("call_language", { language });
    this.#timer = setInterval(() => this.#tick(), 250);
    this.#tick();
    const usual = sayOf(offer.mode, "incoming", { language });
    this.#page.enter("ringing", words ? `${words} ${say("call_language", { language })}.` : usual, { urgent: true });
    this.#page.sounds.repeat("ring", RING_EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.offer = null;
    document.title = this.#title;
    this.#page.sounds.quiet();
  }

  /** Stops for good: answered, declined, taken back, or too late. */
  end() {
    const { offer } = this;
    this.stop();
    if (offer) this.emit("ended", offer);
  }

  /** Whether this was the last ring here. */
  isLast(requestId, epoch) {
    return this.#last?.request_id === requestId && this.#last.epoch === epoch;
  }

  #tick() {
    const leftMs = this.#until - performance.now();
    if (leftMs <= 0) {
      this.end();
      this.emit("over");
      return;
    }
    const left = Math.ceil(leftMs / 1000);
    const flash = Math.floor(leftMs / 1000) % 2 === 0;
    this.#countdown.textContent = say("time_to_answer", { duration: duration(left) });
    document.title = flash ? say("incoming_title") : this.#title;
    if (left <= LAST_CALL_S && !this.#saidLast) {
      this.#saidLast = true;
      this.#page.speak(this.#countdown.textContent);
    }
  }
}
