/**
 * The one call a page is in, kept true to the server: made from `call` messages, snapshots and replies, rejoined after a
 * page load, let go when it is over.
 *
 * Events: `begun` (Call), `changed` (view), `over` (view; `end_reason` may be unknown after a long absence).
 */
import { pause } from "./backoff.js";
import { Call } from "./call.js";
import { Emitter } from "./emitter.js";

const FLOWS_WITHIN_MS = 2500;
const ASK_AGAIN_MS = 3000;

export class Calls extends Emitter {
  current = null;
  #socket;
  #api;
  #media;
  #prepare;
  /** How far calls are over for this page, by id: all attempts up to this one. One that moved away may come back. */
  #over = new Map();
  #first = true;
  #asking = null;

  /** `prepare(view)` may open camera or microphone before the first connection is built; it must not throw. */
  constructor({ socket, api, media, prepare = async () => {} }) {
    super();
    this.#socket = socket;
    this.#api = api;
    this.#media = media;
    this.#prepare = prepare;
    socket.on("call", ({ call }) => this.take(call));
    socket.on("welcome", ({ call, resumed }) => this.#welcome(call, resumed));
    media.on("change", () => this.current?.refreshTracks());
    media.pauses.on("change", () => this.current?.reportNow());
  }

  /** Whether there is a call in which the other side is still heard or seen, whatever the server says. */
  get flows() {
    return this.current?.receivedWithin(FLOWS_WITHIN_MS) ?? false;
  }

  /** A view of a call from the server, by whichever way it came. */
  take(view, { rejoin = false } = {}) {
    if (this.current?.id === view.id) this.current.update(view);
    else if (view.state === "ended") this.#isOver(view);
    else if (view.attempt > (this.#over.get(view.id) ?? 0)) this.#begin(view, rejoin);
  }

  #isOver(view) {
    const upTo = view.end_reason === "moved" ? view.attempt : Infinity;
    this.#over.set(view.id, Math.max(upTo, this.#over.get(view.id) ?? 0));
  }

  /** The request went back to waiting, or the page gives up: the call is over for this side. */
  drop() {
    if (this.current) this.#finish(this.current, { ...this.current.view, state: "ended" });
  }

  /** The next welcome is taken for a page's first: another tab may have built the connection meanwhile. */
  startAnew() {
    this.#first = true;
    this.current?.close();
    this.current = null;
  }

  #welcome(view, resumed) {
    const first = this.#first;
    this.#first = false;
    if (this.current && this.current.id !== view?.id) this.#missedEnd(this.current);
    if (!view) return;
    if (this.current?.id === view.id) this.current.resynchronize(view, resumed);
    else this.take(view, { rejoin: first || !resumed });
  }

  #begin(view, rejoin) {
    if (this.current) this.drop();
    this.#socket.hurry();
    const parts = { socket: this.#socket, api: this.#api, media: this.#media, prepared: this.#prepare(view) };
    const call = new Call({ ...parts, view, rejoin });
    this.current = call;
    call.on("change", (changed) => this.emit("changed", changed));
    call.on("ended", (ended) => this.#finish(call, ended));
    call.on("doubt", () => this.#missedEnd(call));
    this.emit("begun", call);
    this.emit("changed", call.view);
  }

  /** It ended, or was moved to another device, and we were not there to hear it. */
  async #missedEnd(call) {
    try {
      const { call: view } = await this.#api.get(`/v1/calls/${call.id}`);
      if (view.state === "ended") this.#finish(call, view);
      else if (view.here === false) this.#finish(call, { ...view, state: "ended", end_reason: "moved", end_by: "me" });
      else call.update(view);
    } catch (error) {
      if (error.status === 404) this.#finish(call, { ...call.view, state: "ended", end_reason: "lost", end_by: "system" });
      else await this.#askAgain(call, error);
    }
  }

  async #askAgain(call, error) {
    console.info("could not ask about the call:", error.message);
    if (this.#asking === call) return;
    this.#asking = call;
    await pause(ASK_AGAIN_MS);
    this.#asking = null;
    if (this.current === call && !call.ended) await this.#missedEnd(call);
  }

  #finish(call, view) {
    this.#isOver(view);
    call.close();
    if (this.current !== call) return;
    this.current = null;
    this.emit("over", view);
  }
}
