/**
 * Trying one's device out in a call with the server's own phone: a button, words while it runs, what was found said once.
 *
 * A practice call is the page's one call, so the page asks here first whether what happens is about one.
 */
import { NetworkError } from "./api.js";
import { hasWord, say } from "./words.js";

const STATE = "practice";
const SLOW_MS = 600;
const ASK_AGAIN_MS = 10_000;

export class Practice {
  #page;
  #api;
  #calls;
  #media;
  #view;
  #asking;
  #prepare;
  #leave;
  /** What the person wished for last, until it is over or no longer wished. */
  #wanted = null;
  #waits = false;
  #place = null;
  #again = null;
  #connected = false;
  #found = false;

  /**
   * `view` is the page's `CallView`; `prepare()` opens what the call needs, as far as it is there, and `asking` names the
   * words for it; `leave(words)` brings the page back to where one practises from.
   */
  constructor(page, { api, socket, calls, media, view, asking, prepare, leave }) {
    this.#page = page;
    this.#api = api;
    this.#calls = calls;
    this.#media = media;
    this.#view = view;
    this.#asking = asking;
    this.#prepare = prepare;
    this.#leave = leave;
    page.onClick("practice", () => this.#begin());
    socket.on("welcome", () => this.#waits && this.#ask());
    socket.on("verdict", (data) => this.#verdict(data));
    calls.on("changed", (view) => isPractice(view) && this.#changed(view));
  }

  /** Whether camera and microphone of this call were seen to before it was asked for. */
  prepared(view) {
    return isPractice(view) && this.#wanted !== null;
  }

  /** Gives whether this call is one: then the page leaves it alone. */
  begun(call) {
    if (!isPractice(call.view)) return false;
    this.#waits = this.#connected = this.#found = false;
    this.#view.follow(call);
    this.#page.stayAwake(true);
    return true;
  }

  /** Gives whether it was a practice call that is over. */
  over(view) {
    if (!isPractice(view)) return false;
    this.#wanted = null;
    this.#page.notice(null);
    this.#view.clear();
    if (!this.#calls.current) this.#media.close();
    if (view.end_reason === "moved") this.#leave(say("moved"));
    else if (view.state === "ended" && this.#page.state === STATE) this.#leave(say(this.#wordsOfEnd(view)));
    return true;
  }

  /** The person has enough of it. Gives whether that was about practising. */
  stop() {
    const { current } = this.#calls;
    if (current ? !isPractice(current.view) : !this.#wanted) return false;
    this.#page.status(say("ending"));
    this.#stop(current);
    return true;
  }

  /** Something comes that matters more. Resolves when there is no practice call in its way. */
  async giveWay() {
    const { current } = this.#calls;
    if (isPractice(current?.view)) await this.#stop(current);
    else if (this.#wanted && !current) await this.#stop(null);
  }

  forget() {
    this.#wanted = null;
    this.#waits = false;
  }

  /** Camera and microphone first: whoever is asked for them takes their time, and a call without them finds nothing. */
  async #begin() {
    this.#page.sounds.unlock().catch(() => {});
    this.#page.notice(null);
    const wanted = (this.#wanted = {});
    this.#waits = false;
    const words = say(this.#asking);
    this.#page.enter(STATE, words, { quiet: true });
    const slow = setTimeout(() => this.#page.speak(words), SLOW_MS); // the browser truly asks
    await this.#prepare();
    clearTimeout(slow);
    if (wanted !== this.#wanted) return;
    this.#page.enter(STATE, say("practice_starting"));
    await this.#ask();
  }

  /** Asked again while waiting, the place is kept. */
  async #ask() {
    const wanted = this.#wanted;
    try {
      const { call, position } = await this.#api.post("/v1/calls/practice", {}, { repeatable: true, tries: 2 });
      if (!this.#wanted) await this.#end(call);
      else if (call) this.#calls.take(call);
      else if (this.#calls.current === null) this.#wait(position);
    } catch (error) {
      if (wanted !== this.#wanted) return;
      if (this.#waits && error instanceof NetworkError) return this.#askLater();
      this.#wanted = null;
      this.#waits = false;
      this.#leave(say(whyNot(error)));
    }
  }

  #wait(position) {
    const isNews = !this.#waits || position !== this.#place;
    this.#waits = true;
    this.#place = position;
    this.#askLater();
    if (isNews) this.#page.enter(STATE, say("practice_waiting", { position }));
  }

  /** A place that is not asked for again is given up. So it is when something else came up on the page meanwhile. */
  #askLater() {
    clearTimeout(this.#again);
    this.#again = setTimeout(() => {
      if (!this.#waits) return;
      if (this.#page.state === STATE && !this.#calls.current) this.#ask();
      else this.forget();
    }, ASK_AGAIN_MS);
  }

  #changed({ state, side }) {
    if (state === "connecting" && this.#page.state !== STATE) this.#page.enter(STATE, say("practice_starting"));
    if (state !== "connected" || this.#connected) return;
    this.#connected = true;
    this.#page.enter(STATE, say(`practice_connected_${side}`));
  }

  #verdict(found) {
    const words = ["camera", "microphone", "network", "relay"].map((what) => `verdict_${what}_${found[what]}`);
    const sentence = words.filter(hasWord).map((key) => say(key)).join(" ");
    this.#found = true;
    this.#page.status(sentence);
    this.#page.speak(sentence);
  }

  #wordsOfEnd({ end_reason: reason, end_by: by }) {
    if (by === "me" || reason === "done") return "practice_over";
    return this.#found ? "practice_over" : "practice_failed";
  }

  async #stop(call) {
    this.forget();
    if (!call) this.#media.close();
    await this.#end(call);
    if (call && call === this.#calls.current) this.#calls.drop();
    if (this.#page.state === STATE) this.#leave(say("practice_over"));
  }

  /** The call, or without one the place in the line, is given back; a reply that comes too late for its asker as well. */
  async #end(call) {
    const { current } = this.#calls;
    try {
      if (call && call.id === current?.id) await current.end("done");
      else if (call) await this.#api.post(`/v1/calls/${call.id}/end`, { reason: "done" }, { repeatable: true });
      else await this.#api.call("DELETE", "/v1/calls/practice");
    } catch (error) {
      console.info("the practice call ends by itself:", error.message);
    }
  }
}

export function isPractice(view) {
  return view?.kind === "practice";
}

function whyNot(error) {
  if (error instanceof NetworkError) return "no_server";
  if (error.code === "already_in_call") return "practice_taken";
  return error.status === 503 ? "practice_full" : "practice_failed";
}
