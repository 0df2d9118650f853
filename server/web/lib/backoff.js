/** Full-jitter waits between 0.25 and 10 s, so that a thousand clients of a lost node do not return as one. */
export class Backoff {
  #tries = 0;
  #random;

  constructor(random = Math.random) {
    this.#random = random;
  }

  /** Milliseconds to wait now; the ceiling doubles with every call until `reset`. */
  nextMs() {
    const ceiling = Math.min(10_000, 500 * 2 ** this.#tries);
    this.#tries = Math.min(this.#tries + 1, 10);
    return 250 + this.#random() * (ceiling - 250);
  }

  /** Told to slow down (4429, 429, 503): start from a higher ceiling. */
  slow() {
    this.#tries = Math.max(this.#tries, 4);
  }

  reset() {
    this.#tries = 0;
  }
}

/** Resolves after `ms`; rejects at once when `signal` aborts. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
