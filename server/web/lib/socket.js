/**
 * The eyeline.v1 connection: one session's socket, kept alive and resumed for as long as the page wants it.
 *
 * The page hears of every server message exactly once and in order, and what it sends is sent again after a reconnect
 * until the server has answered. How that is done is the contract's chapter "The socket".
 *
 * Events: every server message under its own type as `(data, frame)`; besides
 * `state` (`connecting` | `online` | `waiting` | `stopped`, reason?) — reasons: signed_out, suspended, taken_over,
 * bad_frame, frame_too_large, closed.
 */
import { ApiError } from "./api.js";
import { Backoff } from "./backoff.js";
import { afterClose } from "./close_codes.js";
import { Emitter } from "./emitter.js";
import { Heartbeat } from "./heartbeat.js";
import { uuid7 } from "./ids.js";
import { Inbox } from "./inbox.js";
import { onNetworkHints } from "./network_hints.js";
import { FrameError, Outbox } from "./outbox.js";
import { TokenRenewal } from "./token_renewal.js";

export const SUBPROTOCOL = "eyeline.v1";

const OPENING_MS = 10_000;
const ACK_AFTER_MS = 150;
const STEADY_MS = 10_000;
const NEW_TOKEN_MS = 60_000;

export class EyelineSocket extends Emitter {
  #url;
  #session;
  #feed;
  #backoff;
  #outbox;
  #heartbeat;
  #renewal;

  #ws = null;
  #state = "stopped";
  #reason = "closed";
  #inbox = new Inbox();
  #clockOffsetMs = 0;
  #maxFrameBytes = 64 * 1024;
  #renewing = false;
  #renewedAt = 0;
  #discardedSinceSteady = false;
  #resumeAt = 0;

  #openingTimer = null;
  #reconnectTimer = null;
  #steadyTimer = null;
  #ackTimer = null;
  #stopListening = () => {};

  /**
   * `session` gives `accessToken`, `deviceId`, `renew(stale)` and the event `renewed`. A `feed` (the admin page's live
   * figures) has no mailbox: its first message stands for the welcome.
   */
  constructor({ session, path = "/v1/ws", feed = false, random = Math.random }) {
    super();
    this.#url = new URL(path, location.href);
    this.#url.protocol = this.#url.protocol === "https:" ? "wss:" : "ws:";
    this.#session = session;
    this.#renewal = new TokenRenewal(session);
    this.#feed = feed;
    this.#backoff = new Backoff(random);
    this.#outbox = new Outbox({ write: (frame) => this.#write(frame), random });
    this.#heartbeat = new Heartbeat({ ping: () => this.#ping(), dead: () => this.#lose() });
  }

  get state() {
    return this.#state;
  }

  /** Why it is stopped. */
  get reason() {
    return this.#reason;
  }

  /** The server's clock now, in ms since 1970, however wrong this device's own is. */
  serverNow() {
    return Date.now() + this.#clockOffsetMs;
  }

  start() {
    if (this.#state !== "stopped") return;
    this.#listen();
    this.#renewedAt = 0;
    this.#connect();
  }

  /** The person wants something now: whatever it was that this connection waited for, it waits no longer. */
  hurry() {
    this.#resumeAt = 0;
    this.#hurry();
  }

  /** How long a node that went asked to wait, from now on. */
  get restsMs() {
    return Math.max(0, this.#resumeAt - Date.now());
  }

  /** After 4409 the person chose this tab: take the session back. A page that was away starts from the snapshot. */
  useHere() {
    this.#inbox.forget();
    this.start();
  }

  /** Leaves for good: nothing is kept for later. */
  stop(reason = "closed") {
    this.#outbox.clear("closed");
    this.#halt(reason);
    this.#drop(1000);
  }

  /**
   * Sends a message the server must answer, now or after the next reconnect. Resolves when acknowledged; rejects with
   * `FrameError` when refused for good, superseded or given up. `replaces`: see `Outbox.add`.
   */
  send(type, data, { id = uuid7(), call, attempt, replaces } = {}) {
    const frame = { type, id, data, call, attempt };
    if (new Blob([JSON.stringify(frame)]).size >= this.#maxFrameBytes) {
      const refused = Promise.reject(new FrameError({ code: "too_large" }));
      refused.catch(() => {});
      return refused;
    }
    return this.#outbox.add(frame, { replaces });
  }

  /** Drops what is unacknowledged of a call that is over (or of its earlier attempts). */
  forgetCall(callId, beforeAttempt) {
    this.#outbox.forgetCall(callId, beforeAttempt);
  }

  // The connection's own life.

  #connect() {
    this.#become("connecting");
    const ws = new WebSocket(this.#url, SUBPROTOCOL);
    this.#ws = ws;
    this.#openingTimer = setTimeout(() => this.#lose(), OPENING_MS);
    ws.onopen = () => this.#hello(ws);
    ws.onmessage = ({ data }) => ws === this.#ws && this.#receive(data);
    ws.onclose = ({ code }) => ws === this.#ws && this.#closed(code);
  }

  #hello(ws) {
    if (ws !== this.#ws) return;
    const resume = this.#feed ? undefined : this.#inbox.resume();
    const data = { token: this.#session.accessToken ?? "", device_id: this.#session.deviceId, resume };
    this.#write({ type: "hello", data });
  }

  /** The socket is dead although nobody said so: do not wait for the browser to find out. */
  #lose() {
    this.#drop(4000);
    this.#closed(4000);
  }

  #drop(code) {
    const ws = this.#ws;
    this.#ws = null;
    if (ws && ws.readyState <= WebSocket.OPEN) ws.close(code);
  }

  #closed(code) {
    this.#ws = null;
    this.#clearTimers();
    const { action, reason, slow } = afterClose(code);
    if (slow) this.#backoff.slow();
    if (action === "stop") this.#halt(reason);
    else if (action === "renew") this.#renewAndResume();
    else if (action === "discard") this.#discardAndResume(reason);
    else this.#resumeLater();
  }

  #resumeLater() {
    const waitMs = Math.max(this.#backoff.nextMs(), this.restsMs);
    this.#become("waiting");
    this.#reconnectTimer = setTimeout(() => this.#connect(), waitMs);
  }

  /** A token that is refused although it is new says that the session is over. One may also age without a network. */
  async #renewAndResume() {
    if (Math.abs(Date.now() - this.#renewedAt) < NEW_TOKEN_MS) return this.#halt("signed_out");
    this.#become("waiting");
    this.#renewing = true;
    try {
      await this.#session.renew();
      this.#renewedAt = Date.now();
    } catch (error) {
      if (this.#state !== "waiting") return undefined;
      if (error instanceof ApiError && error.status === 401) return this.#halt("signed_out");
      if (error instanceof ApiError && error.status === 403) return this.#halt("suspended");
      return this.#resumeLater(); // no answer is no verdict
    } finally {
      this.#renewing = false;
    }
    if (this.#state === "waiting") this.#connect();
    return undefined;
  }

  #discardAndResume(reason) {
    if (this.#discardedSinceSteady) return this.#halt(reason);
    this.#discardedSinceSteady = true;
    this.#outbox.discardOldest(reason);
    return this.#resumeLater();
  }

  #halt(reason) {
    this.#clearTimers();
    this.#stopListening();
    this.#reason = reason;
    this.#become("stopped");
  }

  #clearTimers() {
    for (const timer of [this.#openingTimer, this.#reconnectTimer, this.#steadyTimer, this.#ackTimer]) clearTimeout(timer);
    this.#ackTimer = null;
    this.#outbox.closed();
    this.#renewal.stop();
    this.#heartbeat.stop();
  }

  #become(state) {
    if (state === this.#state && state !== "stopped") return;
    this.#state = state;
    this.emit("state", state, state === "stopped" ? this.#reason : null);
  }

  #listen() {
    const probe = () => this.#state === "online" && this.#heartbeat.probe();
    const stopHints = onNetworkHints({ hurry: () => this.#hurry(), probe });
    const stopRenewed = this.#session.on("renewed", (token) => this.#tellToken(token));
    this.#stopListening = () => {
      stopHints();
      stopRenewed();
      this.#stopListening = () => {};
    };
  }

  #hurry() {
    if (this.#state === "online") this.#heartbeat.probe();
    if (this.#state !== "waiting" || this.#resumeAt > Date.now() || this.#renewing) return;
    clearTimeout(this.#reconnectTimer);
    this.#connect();
  }

  // What comes in.

  #receive(text) {
    this.#heartbeat.heard();
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return this.#lose();
    }
    if (this.#feed && this.#state === "connecting") this.#online();
    if (frame.type === "welcome") return this.#welcome(frame.data);
    const admission = this.#feed ? "pass" : this.#inbox.admit(frame);
    if (admission === "gap") return this.#lose();
    this.#acknowledgeSoon(frame.type === "offer");
    if (admission === "pass") this.#dispatch(frame);
    return undefined;
  }

  #dispatch(frame) {
    const data = frame.data ?? {};
    if (frame.type === "ack") this.#outbox.settle(data.id ?? frame.id);
    else if (frame.type === "error") this.#refused(data);
    else if (frame.type === "pong") this.#setClock(data.now);
    else if (frame.type === "drain") this.#drain(data);
    else this.emit(frame.type, data, frame);
  }

  /** Also in the middle of a connection: the server began a new incarnation, this is where it starts. */
  #welcome(data) {
    this.#inbox.welcome(data);
    this.#setClock(data.now);
    this.#maxFrameBytes = data.limits?.frame_bytes ?? this.#maxFrameBytes;
    if (this.#state === "connecting") this.#online(data.heartbeat_s, data.token_expires_at);
    this.#acknowledgeSoon(true);
    this.emit("welcome", data, { type: "welcome", data });
  }

  #online(heartbeatS = 5, tokenExpiresAt = null) {
    clearTimeout(this.#openingTimer);
    this.#renewedAt = 0;
    this.#heartbeat.start(heartbeatS * 1000);
    if (tokenExpiresAt) this.#renewal.watch(Date.parse(tokenExpiresAt) - this.serverNow());
    this.#steadyTimer = setTimeout(() => {
      this.#backoff.reset();
      this.#discardedSinceSteady = false;
    }, STEADY_MS);
    this.#outbox.opened(); // before anybody hears and says more
    this.#become("online");
  }

  #refused(data) {
    if (data.id && this.#outbox.has(data.id)) this.#outbox.refuse(data.id, data);
    else this.emit("error", data);
  }

  #drain({ resume_in_ms: waitMs }) {
    this.#resumeAt = Date.now() + waitMs;
    clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = setTimeout(() => this.#lose(), waitMs); // if the close never comes
    this.emit("drain", { resume_in_ms: waitMs });
  }

  #setClock(now) {
    if (now) this.#clockOffsetMs = Date.parse(now) - Date.now();
  }

  // What goes out.

  #write(frame) {
    if (this.#ws?.readyState !== WebSocket.OPEN) return;
    if (this.#inbox.owes && frame.type !== "hello") {
      frame = { ...frame, ack: this.#inbox.acknowledge() };
      clearTimeout(this.#ackTimer);
      this.#ackTimer = null;
    }
    this.#ws.send(JSON.stringify(frame));
  }

  #ping() {
    this.#write({ type: "ping", data: {} });
  }

  /** Coalesced; an offer (whose push waits for it) and a hidden page (whose timers crawl) answer at once. */
  #acknowledgeSoon(urgent) {
    const now = () => {
      this.#ackTimer = null;
      if (this.#inbox.owes) this.#write({ type: "ack", data: {} });
    };
    if (!this.#inbox.owes) return;
    if (urgent || document.visibilityState === "hidden") now();
    else this.#ackTimer ??= setTimeout(now, ACK_AFTER_MS);
  }

  #tellToken(token) {
    if (this.#state !== "online") return;
    this.send("token", { token }, { replaces: "token" });
    this.#renewal.watch(Date.parse(this.#session.expiresAt) - this.serverNow());
  }
}
