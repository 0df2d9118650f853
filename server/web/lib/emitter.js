/** A minimal event source: listeners of one thing must never break another. */
export class Emitter {
  #listeners = new Map();

  /** Calls `listener(...values)` on every `emit(type, ...values)`. Returns a function that stops it. */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Set());
    this.#listeners.get(type).add(listener);
    return () => this.#listeners.get(type).delete(listener);
  }

  /** A listener that throws is reported to the console (`window.onerror`), the others still hear. */
  emit(type, ...values) {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) {
      try {
        listener(...values);
      } catch (error) {
        reportError(error);
      }
    }
  }
}
