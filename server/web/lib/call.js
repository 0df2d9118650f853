/**
 * One call as this side lives it: builds a peer connection for each attempt, carries chat and controls twice (socket and
 * data channel, one id), renews ICE credentials, and asks for a new attempt when the connection cannot be repaired.
 *
 * Events: `change` (the contract's call), `track` (remote MediaStreamTrack), `attempt` (a new connection is being built:
 * forget old tracks), `chat`, `control`, `control_state` (data each), `photo_channel` (RTCDataChannel of this attempt), `peer` (data), `picture` (data), `link` (connectionState), `ended` (call), `closed`
 * (whoever ended it: let go what was of this call), `doubt` (the
 * server refused us: its end may have been missed).
 */
import { ApiError } from "./api.js";
import { Backoff, pause } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { uuid7 } from "./ids.js";
import { Peer } from "./peer.js";

const SIGNALS = ["description", "candidate"];
const WORDS = ["chat", "control", "control_state"];
const REPORTS = ["media", "stats"];
const RENEW_ICE_BEFORE_MS = 60_000;
const SHORTEST_ICE_WAIT_MS = 5_000;
const REMEMBERED_IDS = 500;
const EARLY_AT_MOST = 80;
const LOST_SIGNALS_MS = 1500;
const ICE_BEFORE_RESTART_MS = 3000;

export class Call extends Emitter {
  /** How light the picture is that this page shows (mean luma, 0 to 255); null where or while nobody looks at one. */
  luma = null;
  #socket;
  #api;
  #media;
  #peer = null;
  #early = [];
  #heardIds = new Set();
  #stopListening;
  #iceTimer = null;
  #rejoining = null;
  /** The attempt of which a connection existed and is lost: it is not built again, nor any before it. */
  #lost = 0;
  #asksLater = false;
  /** While words wait for it; null: none do. */
  #nextAttempt = null;
  #closed = false;
  #prepared = false;
  #met = false;
  #patience = new Backoff();

  /**
   * `media` is a `LocalMedia`, complete when the promise `prepared` is (it must not reject); signals that come before are
   * kept. `rejoin`: a connection of this attempt existed before (page load, other tab) and is lost.
   */
  constructor({ socket, api, media, view, rejoin = false, prepared = Promise.resolve() }) {
    super();
    this.#socket = socket;
    this.#api = api;
    this.#media = media;
    this.view = view;
    this.#stopListening = this.#listen();
    this.#scheduleIce();
    this.#begin(prepared, rejoin);
  }

  async #begin(prepared, rejoin) {
    await prepared;
    this.#prepared = true;
    if (this.#closed) return;
    if (rejoin) this.rejoin();
    else this.#build();
    this.#changed();
  }

  get id() {
    return this.view.id;
  }

  get ended() {
    return this.view.state === "ended";
  }

  /**
   * The contract's state as this page lives it: `arriving` in a call that runs, on another device or before a reload,
   * until it does so here.
   */
  get phase() {
    const { state } = this.view;
    const runs = state === "connected" || state === "reconnecting";
    return runs && !this.#met ? "arriving" : state;
  }

  /** The live RTCPeerConnection, or null. */
  get pc() {
    return this.#peer?.pc ?? null;
  }

  /** Whether the other side was heard or seen in the last `ms`; in writing, whether it can be reached. */
  receivedWithin(ms) {
    if (this.view.mode === "text") return this.#peer?.connected ?? false;
    return this.#peer?.receivedWithin(ms) ?? false;
  }

  /** The server's newer view of this call. An older one (an HTTP reply overtaken by the socket) changes nothing. */
  update(view) {
    if (this.#closed || this.ended || view.attempt < this.view.attempt || view.version < this.view.version) return;
    this.view = view;
    if (view.state === "ended") {
      this.close();
      this.emit("ended", view);
      return;
    }
    if (this.#mustBuild(view.attempt)) this.#build();
    this.#scheduleIce();
    this.#changed();
  }

  #changed() {
    this.#met ||= this.view.state === "connected" && this.view.attempt === this.#peer?.attempt;
    this.emit("change", this.view);
  }

  #mustBuild(attempt) {
    return this.#prepared && attempt !== this.#peer?.attempt && attempt > this.#lost;
  }

  /** A snapshot arrived. `resumed: false` means that signals may be lost: what they were to build must be built anew. */
  async resynchronize(view, resumed) {
    this.update(view);
    if (this.#closed || !this.#prepared) return;
    if (!this.#peer) {
      this.rejoin();
      return;
    }
    this.#peer.repeatReport();
    if (resumed || this.#peer.connected) return;
    const { attempt } = this.#peer;
    await pause(LOST_SIGNALS_MS);
    if (this.#peer?.attempt === attempt && !this.#peer.connected) this.rejoin();
  }

  /** Free text or a phrase's code. Gives the message's id; rejects when neither way carried it. */
  async chat(data) {
    return this.#sayTwice("chat", data);
  }

  async control(name, value) {
    return this.#sayTwice("control", { name, value });
  }

  /** What became of a wish about this side's camera. */
  async controlState(name, value, available) {
    return this.#sayTwice("control_state", { name, value, available });
  }

  reportNow() {
    this.#peer?.reportNow();
  }

  refreshTracks() {
    return this.#peer?.refreshTracks();
  }

  /** Media do not come through although the connection stands: another way is looked for. */
  repair() {
    return this.#peer?.restartIce();
  }

  /** Ends the call for both: `done`, `left` (before anything was seen) or `technical`. Gives the ended call. */
  async end(reason) {
    const { call } = await this.#api.post(`/v1/calls/${this.id}/end`, { reason }, { repeatable: true });
    this.update(call);
    return call;
  }

  /** Asks for the next attempt, because this side has no connection of the present one. Both then build anew. */
  async rejoin() {
    if (this.#closed || this.#rejoining) return;
    this.#rejoining = this.#lost = this.view.attempt;
    try {
      const { call } = await this.#api.post(`/v1/calls/${this.id}/rejoin`, { attempt: this.#rejoining }, { repeatable: true });
      this.#rejoining = null;
      this.update(call);
    } catch (error) {
      this.#rejoining = null;
      if (!this.#explain(error) && !this.#peer) this.#rejoinLater();
    }
  }

  /** A side without a connection has nothing else that would ask again. */
  async #rejoinLater() {
    if (this.#asksLater) return;
    this.#asksLater = true;
    await pause(this.#patience.nextMs());
    this.#asksLater = false;
    if (!this.#peer) await this.rejoin();
  }

  /** Lets everything go; the call itself may live on for the server. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#iceTimer);
    this.#stopListening();
    this.#peer?.close();
    this.#socket.forgetCall(this.id);
    this.emit("closed");
  }

  // Frames of this call.

  #listen() {
    const mine = (handle) => (data, frame) => frame.call === this.id && handle(frame);
    const stops = [
      ...SIGNALS.map((type) => this.#socket.on(type, mine((frame) => this.#signal(frame)))),
      ...WORDS.map((type) => this.#socket.on(type, mine((frame) => this.#words(frame)))),
      this.#socket.on("state", (state) => this.#peer?.signallingChanged(state === "online")),
      this.#socket.on("peer", (data, frame) => (frame.call ?? this.id) === this.id && this.emit("peer", data)),
      this.#socket.on("picture", mine(({ data }) => this.emit("picture", data))),
    ];
    return () => stops.forEach((stop) => stop());
  }

  #signal(frame) {
    if (frame.attempt === this.#peer?.attempt) this.#peer.receive(frame.type, frame.data);
    else if (frame.attempt > (this.#peer?.attempt ?? 0)) {
      this.#early = [...this.#early, frame].slice(-EARLY_AT_MOST); // `call` with that attempt is on its way
    }
  }

  #words(frame) {
    if (frame.id) {
      if (this.#heardIds.has(frame.id)) return;
      this.#remember(frame.id);
    }
    this.emit(frame.type, frame.data ?? {});
  }

  #remember(id) {
    this.#heardIds.add(id);
    if (this.#heardIds.size > REMEMBERED_IDS) this.#heardIds.delete(this.#heardIds.values().next().value);
  }

  async #sayTwice(type, data) {
    const id = uuid7();
    const frame = { type, id, data, call: this.id, attempt: this.view.attempt };
    const went = this.#peer?.say(frame) ?? false;
    const sent = this.#sendWords(type, data, id);
    sent.catch(() => {});
    if (!went) await sent;
    return id;
  }

  /**
   * By the socket, in the attempt that is: words of an earlier one are not lost with it. The channel that took them may
   * have led nowhere. What is said later waits behind them.
   */
  async #sendWords(type, data, id) {
    await this.#nextAttempt;
    const { attempt } = this.view;
    try {
      await this.#socket.send(type, data, { id, call: this.id, attempt });
    } catch (error) {
      const outlived = error.code === "stale_attempt" || error.code === "call_ended";
      if (!outlived || !(await this.#outlives(attempt))) throw error;
      await this.#sendWords(type, data, id);
    }
  }

  /** Whether a later attempt begins; the word of it may come after what was refused because of it. */
  async #outlives(attempt) {
    if (!this.#closed && this.view.attempt === attempt) await (this.#nextAttempt ??= this.#waitForAttempt());
    return !this.#closed && this.view.attempt > attempt;
  }

  #waitForAttempt() {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        for (const stop of stops) stop();
        this.#nextAttempt = null;
        resolve();
      };
      const timer = setTimeout(done, LOST_SIGNALS_MS);
      const stops = ["attempt", "closed"].map((event) => this.on(event, done));
    });
  }

  // Attempts.

  #build() {
    this.#peer?.close();
    const { attempt } = this.view;
    this.#socket.forgetCall(this.id, attempt);
    this.emit("attempt", attempt);
    const peer = new Peer({
      view: this.view,
      media: this.#media,
      send: (type, data) => this.#sendSignal(attempt, type, data),
      renewIce: () => this.#renewIce({ tries: 1, deadlineMs: ICE_BEFORE_RESTART_MS }), // then those we have must do
      signalling: this.#socket.state === "online",
      luma: () => this.luma,
    });
    this.#peer = peer;
    peer.on("track", (track) => this.emit("track", track));
    peer.on("frame", (frame) => this.#words(frame));
    peer.on("state", (state) => this.emit("link", state));
    peer.on("beyond_repair", () => this.rejoin());
    this.emit("photo_channel", peer.photoChannel);
    const early = this.#early.filter((frame) => frame.attempt === attempt);
    this.#early = this.#early.filter((frame) => frame.attempt > attempt);
    for (const { type, data } of early) peer.receive(type, data);
  }

  /** Refusals are for the log only, a stale signal is superseded by what is on its way to us; but for `no_relay`. */
  #sendSignal(attempt, type, data) {
    if (this.#closed || attempt !== this.#peer?.attempt) return;
    const replaces = REPORTS.includes(type) ? type : null;
    this.#socket.send(type, data, { call: this.id, attempt, replaces }).catch(({ code }) => {
      if (code === "no_relay") this.emit("no_relay");
      if (code !== "superseded" && code !== "call_ended") console.info(`${type} was not taken: ${code}`);
    });
  }

  // ICE credentials.

  #scheduleIce() {
    clearTimeout(this.#iceTimer);
    if (!this.view.ice_expires_at) return;
    const leftMs = Date.parse(this.view.ice_expires_at) - this.#socket.serverNow();
    const inTime = leftMs - RENEW_ICE_BEFORE_MS;
    const waitMs = inTime > 0 ? inTime : Math.max(leftMs / 2, SHORTEST_ICE_WAIT_MS);
    this.#iceTimer = setTimeout(() => this.#renewIce(), Math.min(waitMs, 2 ** 31 - 1));
  }

  async #renewIce(patience = { tries: 2 }) {
    if (this.#closed) return;
    try {
      const options = { repeatable: true, ...patience };
      const { ice_servers, expires_at } = await this.#api.post(`/v1/calls/${this.id}/ice`, {}, options);
      this.view = { ...this.view, ice_servers, ice_expires_at: expires_at };
      this.#peer?.configure(this.view);
    } catch (error) {
      this.#explain(error);
    }
    if (!this.#closed) this.#scheduleIce();
  }

  /** Whether the server no longer knows this call as ours: then its end was missed. */
  #explain(error) {
    const isOver = error instanceof ApiError && [403, 404, 409, 410].includes(error.status);
    if (isOver) this.emit("doubt", error.code);
    else console.info("the call could not be renewed now:", error.message);
    return isOver;
  }
}
