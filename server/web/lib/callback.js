/**
 * "Tell me when someone is free", for a request that nobody came to: wished, taken back, or come true.
 *
 * The wish is kept in this browser: a reload must not lose it. The server is told anew then, as it may have called while
 * nobody was there to hear it.
 *
 * Events: `free` (the request to ask like, or null), `over` (the same: whoever was free was kept for so long, no longer).
 */
import { Emitter } from "./emitter.js";

const KEPT = "eyeline.callback";
const KEPT_MS = 24 * 3600 * 1000;

export class Callback extends Emitter {
  #api;
  #now;
  #key = KEPT;
  #wish = null;
  #timer = null;

  /** `now()`: the server's clock, in ms. */
  constructor(api, now) {
    super();
    this.#api = api;
    this.#now = now;
  }

  /** The wish of this person, as it was when the page was left. */
  of(person) {
    this.#key = `${KEPT}.${person}`;
    this.#wish = kept(this.#key);
  }

  /** Throws `ApiError` or `NetworkError`, as `takeBack` and `continued` do. */
  async wish({ id }) {
    this.#keep({ id, since: Date.now() });
    try {
      await this.#api.put(`/v1/requests/${id}/callback`);
    } catch (error) {
      if (!this.#wish?.until) this.forget();
      throw error;
    }
  }

  async takeBack({ id }) {
    await this.#api.call("DELETE", `/v1/requests/${id}/callback`);
    this.forget();
  }

  /** The request somebody is still to be free for, or null; should somebody be free already, that is told. */
  async continued() {
    const wish = this.#wish;
    if (!wish || Date.now() - wish.since > KEPT_MS) return null;
    const { request } = await this.#api.get(`/v1/requests/${wish.id}`);
    if (!wish.until) return request;
    this.#tell(request, wish.until);
    return null;
  }

  /** Somebody is free until then. `known`: what the page knows of the request, if anything. */
  async told({ request_id: id, until }, known) {
    this.#keep({ id, since: Date.now(), until });
    this.#tell(known?.id === id ? known : await this.find(id), until);
  }

  /** A request of the person's, or null. */
  async find(id) {
    try {
      return (await this.#api.get(`/v1/requests/${id}`)).request;
    } catch (error) {
      console.info("asked like any other:", error.message);
      return null;
    }
  }

  /** The person asks again, or need not be told any more. */
  forget() {
    clearTimeout(this.#timer);
    this.#wish = null;
    try {
      localStorage.removeItem(this.#key);
    } catch (error) {
      console.info("the wish stays:", error.name);
    }
  }

  /** Somebody else may sign in: the wish stays, for who comes back. */
  leave() {
    clearTimeout(this.#timer);
    this.#wish = null;
  }

  #tell(request, until) {
    clearTimeout(this.#timer);
    const leftMs = Date.parse(until) - this.#now();
    if (leftMs > 0) this.emit("free", request);
    this.#timer = setTimeout(() => {
      this.forget();
      this.emit("over", request);
    }, Math.max(0, leftMs));
  }

  #keep(wish) {
    this.#wish = wish;
    try {
      localStorage.setItem(this.#key, JSON.stringify(wish));
    } catch (error) {
      console.info("the wish is not kept:", error.name); // a private window
    }
  }
}

function kept(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}
