/**
 * Somebody else was a moment faster: who came second stays a moment, and is asked first should that call fail.
 *
 * Event: `over`.
 */
import { Emitter } from "./emitter.js";

export class Standby extends Emitter {
  #now;
  #until = 0;
  #timer = null;

  /** `now()`: the server's clock, in ms. */
  constructor(now) {
    super();
    this.#now = now;
  }

  /** What the server said of it, by whichever way it came first. */
  hear(until) {
    this.#until = Math.max(this.#until, Date.parse(until));
  }

  /** Gives whether there is something to stay for. */
  begin() {
    const leftMs = this.#until - this.#now();
    this.stop();
    if (leftMs <= 0) return false;
    this.#timer = setTimeout(() => this.emit("over"), leftMs);
    return true;
  }

  stop() {
    clearTimeout(this.#timer);
    this.#until = 0;
  }
}
