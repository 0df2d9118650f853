/**
 * The switch "I'm ready", as the server knows it: told on change, and again after every (re)connection, because losing the
 * socket clears it.
 *
 * A phone in a pocket cannot ring through a hidden page, so there it is taken back while the page is hidden. A tab behind
 * another one on a computer rings well, and stays ready. In a call nothing is taken back.
 */
export class Readiness {
  #socket;
  #isBusy;
  #told = null;
  wanted = false;

  constructor(socket, isBusy) {
    this.#socket = socket;
    this.#isBusy = isBusy;
    document.addEventListener("visibilitychange", () => this.#changed());
    document.addEventListener("freeze", () => this.#say(false));
    document.addEventListener("resume", () => this.tell());
  }

  /** Resolves when the server knows, or at once while there is no connection: `tell` follows then. */
  async set(wanted) {
    this.wanted = wanted;
    if (this.#socket.state === "online") await this.#say(this.#effective());
  }

  /** The server may have forgotten. */
  tell() {
    if (this.wanted || this.#told) this.#say(this.#effective());
  }

  forget() {
    this.wanted = false;
    this.#told = null;
  }

  #effective() {
    return this.wanted && !(isPocketable() && document.visibilityState === "hidden");
  }

  #changed() {
    const ready = this.#effective();
    if (!this.wanted || ready === this.#told || (!ready && this.#isBusy())) return;
    this.#say(ready);
  }

  async #say(ready) {
    this.#told = ready;
    try {
      await this.#socket.send("ready", { ready }, { replaces: "ready" });
    } catch (error) {
      if (error.code !== "superseded" && error.code !== "closed") console.info("ready was not taken:", error.code);
    }
  }
}

/** A device that is held, not sat at. */
function isPocketable() {
  return matchMedia("(hover: none) and (pointer: coarse)").matches;
}
