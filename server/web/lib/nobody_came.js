/**
 * What follows when nobody came: to try again, to be told when somebody is free, to ask them then. The states of the page
 * are `nobody`, `callback` (they will be told) and `free`.
 *
 * Events: `help` (the words of the great button, the request it makes once more), `failed` (ApiError or NetworkError).
 */
import { Callback } from "./callback.js";
import { Emitter } from "./emitter.js";
import { say } from "./words.js";

const STATES = ["nobody", "callback", "free"];

export class NobodyCame extends Emitter {
  #page;
  #push;
  #isOpen;
  #clear;
  #callback;
  #request = null;
  #pressedFor = null;

  /**
   * `isOpen()`: whether a request of theirs has not ended; `clear()` resolves when nothing on the page is in the way of
   * asking; `now()`: the server's clock, in ms; `push`: a `PushSwitch`.
   */
  constructor(page, { api, push, isOpen, clear, now }) {
    super();
    this.#page = page;
    this.#push = push;
    this.#isOpen = isOpen;
    this.#clear = clear;
    this.#callback = new Callback(api, now);
    this.#callback.on("free", (request) => this.#someoneFree(request, "someone_free"));
    this.#callback.on("over", (request) => this.#freeOver(request));
    page.onClick("tell-me", () => this.#tellMe());
    page.onClick("tell-not", () => this.#tellNot());
  }

  /** To this request, though it was open for as long as it may be. */
  to(request) {
    this.#help("try_again", request);
    this.#page.enter("nobody", say("outcome_expired"));
  }

  of(person) {
    this.#callback.of(person);
  }

  /** Whoever asks again need not be told. */
  asked() {
    this.#callback.forget();
  }

  signedOut() {
    this.#callback.leave();
  }

  /** The server says that somebody is free. */
  told(data) {
    if (!this.#isOpen()) this.#callback.told(data, this.#request);
  }

  /** A notification of the same was pressed; it is seen to at once, or with the next `arrived`. */
  pressed(requestId, { online }) {
    this.#pressedFor = requestId;
    if (online && !this.#isOpen()) this.arrived({ resumed: true });
  }

  /** The page has (again) a connection, and no open request: what was wished is wished still, and told anew. */
  async arrived({ resumed }) {
    const pressedFor = this.#pressedFor;
    this.#pressedFor = null;
    if (pressedFor) {
      this.#callback.forget();
      await this.#someoneFree(await this.#callback.find(pressedFor), "someone_was_free");
    } else if (!resumed) await this.#wishAnew();
  }

  async #wishAnew() {
    try {
      const request = await this.#callback.continued();
      if (!request || this.#isOpen()) return;
      this.#help("try_again", request);
      if (this.#page.state !== "callback") this.#willTell();
      await this.#callback.wish(request);
    } catch (error) {
      if (error.status === 404) this.#callback.forget();
      if (this.#page.state === "callback") this.#page.enter("nobody", say("tell_failed"), { urgent: true });
    }
  }

  async #tellMe() {
    try {
      await this.#callback.wish(this.#request);
      if (this.#page.state === "nobody") this.#willTell(); // else told already
    } catch (error) {
      this.emit("failed", error);
    }
  }

  #willTell() {
    this.#page.enter("callback", say("will_tell"));
    this.#page.speak(this.#push.hint);
  }

  async #tellNot() {
    try {
      await this.#callback.takeBack(this.#request);
      if (this.#page.state === "callback") this.#page.enter("nobody", say("will_not_tell"));
    } catch (error) {
      this.emit("failed", error);
    }
  }

  /** Somebody who can help is kept for this person for a moment: the button is under the finger at once. */
  async #someoneFree(request, words) {
    await this.#clear();
    if (this.#isOpen() || this.#page.state === "free") return;
    this.#help("ask_now", request);
    this.#page.enter("free", say(words), { urgent: true });
    this.#page.sounds.play("ring");
    if (!document.activeElement?.matches("input, select")) document.getElementById("help").focus(); // else they are writing
  }

  #freeOver(request) {
    if (this.#isOpen() || !STATES.includes(this.#page.state)) return;
    this.#help("need_help", request);
    this.#page.enter(request ? "nobody" : "rest", say("free_over"));
  }

  #help(words, request) {
    this.#request = request;
    this.emit("help", words, request);
  }
}
