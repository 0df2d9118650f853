/** Renews a session's access token a minute before it ends, for as long as a connection needs it. */
import { NetworkError } from "./api.js";

const BEFORE_MS = 60_000;
const AGAIN_MS = 5_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class TokenRenewal {
  #session;
  #timer = null;

  constructor(session) {
    this.#session = session;
  }

  /** The present token ends in so long, by the server's clock. */
  watch(expiresInMs) {
    const waitMs = expiresInMs > 2 * BEFORE_MS ? expiresInMs - BEFORE_MS : expiresInMs / 2;
    this.#after(Math.min(Math.max(waitMs, 1000), LONGEST_TIMER_MS));
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  #after(waitMs) {
    this.stop();
    this.#timer = setTimeout(() => this.#renew(), waitMs);
  }

  /** No answer is tried again; a refusal is the session's own affair (its event `ended`). */
  async #renew() {
    const timer = this.#timer;
    try {
      await this.#session.renew();
    } catch (error) {
      if (error instanceof NetworkError && this.#timer === timer) this.#after(AGAIN_MS);
    }
  }
}
