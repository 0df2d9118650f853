/**
 * From the tap to a request the server has: camera and microphone first, then one POST, however often it is sent.
 *
 * Events: `asking` (the browser may be asking the person), `slow` (it truly does), `sending` (nothing has to be asked),
 * `silent` (no microphone; null: there is one), `asked` (request), `no_media` (MediaProblem), `refused` (ApiError or
 * NetworkError).
 */
import { Emitter } from "./emitter.js";
import { uuid7 } from "./ids.js";

const SLOW_MS = 600;

export class Asking extends Emitter {
  mode = "video";
  #api;
  #media;
  #key = null;
  /** Whom to ask, and in which languages, as the contract says it. */
  wish = {};
  #busy = false;

  constructor(api, media) {
    super();
    this.#api = api;
    this.#media = media;
  }

  /** A new wish; a second tap meanwhile is none. */
  async begin(mode, wish = {}) {
    if (this.#busy) return;
    this.mode = mode;
    this.wish = wish;
    this.#key = uuid7();
    await this.#go();
  }

  /** The same wish again, under the same key: the server may have heard it. */
  async again() {
    if (this.#busy) return;
    this.#key ??= uuid7();
    await this.#go();
  }

  /** The wish has led somewhere: the next one is another. */
  settled() {
    this.#key = null;
  }

  /** Gives whether there is what this request needs. Who writes needs nothing. */
  async openMedia() {
    if (this.mode === "text") {
      this.emit("sending");
      this.emit("silent", null);
      return true;
    }
    this.emit("asking");
    const slow = setTimeout(() => this.emit("slow"), SLOW_MS);
    try {
      const problem = this.mode === "video" ? await this.#media.openCamera() : await this.#media.openMicrophone();
      if (!this.#media.stream) return false; // let go meanwhile: nobody asks any more
      this.emit("silent", problem ?? null);
      return true;
    } catch (problem) {
      this.emit("no_media", problem);
      return false;
    } finally {
      clearTimeout(slow);
    }
  }

  async #go() {
    this.#busy = true;
    try {
      if (await this.openMedia()) await this.#post();
    } finally {
      this.#busy = false;
    }
  }

  async #post() {
    const body = this.mode === "video" ? this.wish : { ...this.wish, mode: this.mode };
    const headers = { "Idempotency-Key": this.#key };
    try {
      const { request } = await this.#api.post("/v1/requests", body, { headers, repeatable: true });
      this.emit("asked", request);
    } catch (error) {
      if (error.code === "request_open") await this.#found(error.details.request);
      else this.emit("refused", error);
    }
  }

  /** This person waits already, perhaps since another page. */
  async #found(request) {
    try {
      this.emit("asked", request ?? (await this.#api.get("/v1/requests/current")).request);
    } catch (error) {
      this.emit("refused", error);
    }
  }
}
