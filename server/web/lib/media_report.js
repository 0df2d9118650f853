/**
 * What this side truly sends and receives on one RTCPeerConnection, told whenever it changes (the contract's `media`).
 *
 * Sending: a live track that its source has not muted (the person's own mute sends silence, and still counts).
 * Receiving: decoded frames or audio packets that keep coming, from getStats, not from what was negotiated.
 */
const QUICK_MS = 150;
const STEADY_MS = 1000;
const STALLED_MS = { audio: 5000, video: 3000 };

export class MediaReport {
  #pc;
  #send;
  #paused;
  #receivers = { audio: new Flow(STALLED_MS.audio), video: new Flow(STALLED_MS.video) };
  #told = "";
  #timer = null;
  #stopped = false;
  #everConnected = false;

  /** `send(report)` gets `{state, sending, receiving, paused}`; `paused()` says why this side stands still. */
  constructor({ pc, send, paused = () => null }) {
    this.#pc = pc;
    this.#send = send;
    this.#paused = paused;
    pc.addEventListener("connectionstatechange", () => this.#look());
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Something changed that it tells of: do not wait for the next look. */
  tellNow() {
    this.#look();
  }

  /** Tell it again although nothing changed: the server may have begun anew. */
  repeat() {
    this.#told = "";
    this.#look();
  }

  get receiving() {
    return { audio: this.#receivers.audio.runs, video: this.#receivers.video.runs };
  }

  /** Whether anything came in the last `ms`; measured once a second, so a little late. */
  receivedWithin(ms) {
    return Object.values(this.#receivers).some((flow) => flow.grewWithin(ms));
  }

  async #look() {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    await this.#measure();
    if (this.#stopped) return;
    this.#tell();
    clearTimeout(this.#timer);
    const settling = this.#everConnected && !this.#isComplete();
    this.#timer = setTimeout(() => this.#look(), settling ? QUICK_MS : STEADY_MS);
  }

  async #measure() {
    const stats = await this.#pc.getStats();
    const now = performance.now();
    for (const stat of stats.values()) {
      if (stat.type !== "inbound-rtp") continue;
      this.#receivers[stat.kind]?.measured(stat.kind === "video" ? stat.framesDecoded : stat.packetsReceived, now);
    }
  }

  #isComplete() {
    const wanted = this.#pc.getTransceivers().filter((t) => t.currentDirection?.includes("recv"));
    return wanted.every((transceiver) => this.#receivers[transceiver.receiver.track.kind].runs);
  }

  #state() {
    const state = this.#pc.connectionState;
    if (state === "connected") this.#everConnected = true;
    if (state === "connected" || state === "disconnected" || state === "failed") return state;
    return this.#everConnected ? "disconnected" : null; // new or connecting again after an ICE restart
  }

  #tell() {
    const state = this.#state();
    if (state === null) return;
    const sending = { audio: this.#sends("audio"), video: this.#sends("video") };
    const report = { state, sending, receiving: this.receiving, paused: this.#paused() };
    const text = JSON.stringify(report);
    if (text === this.#told) return;
    this.#told = text;
    this.#send(report);
  }

  #tracks(kind) {
    return this.#pc.getSenders().map((sender) => sender.track).filter((track) => track?.kind === kind);
  }

  #sends(kind) {
    return this.#tracks(kind).some((track) => track.readyState === "live" && !track.muted);
  }
}

/** Whether a counter keeps growing. */
class Flow {
  #count = 0;
  #grewAt = -Infinity;
  #stalledMs;
  runs = false;

  constructor(stalledMs) {
    this.#stalledMs = stalledMs;
  }

  grewWithin(ms) {
    return performance.now() - this.#grewAt < ms;
  }

  measured(count = 0, now) {
    if (count !== this.#count) this.#grewAt = now;
    this.#count = count;
    this.runs = count > 0 && now - this.#grewAt < this.#stalledMs;
  }
}
