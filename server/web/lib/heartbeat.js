/**
 * Tells a dead socket from a quiet one: pings when nothing was heard, gives up when a ping stays without any answer.
 *
 * A device that slept, or a hidden tab whose timers are slowed, is not taken for a dead network: a tick that comes much
 * too late only asks again.
 */
export class Heartbeat {
  #ping;
  #dead;
  #timer = null;
  #intervalMs = 5000;
  #pingedAt = null;
  #heardAt = 0;
  #dueAt = 0;

  constructor({ ping, dead }) {
    this.#ping = ping;
    this.#dead = dead;
  }

  start(intervalMs) {
    this.stop();
    this.#intervalMs = intervalMs;
    this.#heardAt = performance.now();
    this.#next(intervalMs);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#pingedAt = null;
  }

  /** Anything at all came from the server. */
  heard() {
    this.#heardAt = performance.now();
    this.#pingedAt = null;
  }

  /** Something may have happened to the network: ask now, and wait only briefly. */
  probe() {
    if (this.#timer === null) return;
    this.#ask(Math.min(2000, this.#intervalMs));
  }

  #ask(waitMs) {
    this.#pingedAt = performance.now();
    this.#ping();
    this.#next(waitMs);
  }

  #next(waitMs) {
    clearTimeout(this.#timer);
    this.#dueAt = performance.now() + waitMs;
    this.#timer = setTimeout(() => this.#tick(), waitMs);
  }

  #tick() {
    const now = performance.now();
    const late = now - this.#dueAt > this.#intervalMs;
    if (this.#pingedAt !== null && !late) this.#dead();
    else if (this.#pingedAt !== null || now - this.#heardAt >= this.#intervalMs * 0.9) this.#ask(this.#intervalMs);
    else this.#next(this.#intervalMs - (now - this.#heardAt));
  }
}
