/**
 * One attempt of a call: one RTCPeerConnection, its tracks, its two data channels, and its repair by ICE restart.
 *
 * Events: `track` (MediaStreamTrack), `frame` (`chat` or `control` that came by data channel), `state` (connectionState),
 * `channel` (data channel 0 is open), `beyond_repair` (restarts did not help, or this side may not make one).
 */
import { Emitter } from "./emitter.js";
import { MediaReport } from "./media_report.js";
import { Negotiator } from "./negotiator.js";

const RESTART_AFTER_MS = 2500;
const POLITE_RESTART_AFTER_MS = 4000;
const GIVE_UP_AFTER_MS = 12_000;

export class Peer extends Emitter {
  #negotiator;
  #report;
  #media;
  #renewIce;
  #talk;
  #photo;
  #restartTimer = null;
  #troubleTimer = null;

  /**
   * `view` is the contract's call; `media` gives the local tracks (`LocalMedia`); `send(type, data)` reaches the other
   * side through the server; `renewIce()` gets fresh ICE servers before a restart.
   */
  constructor({ view, media, send, renewIce }) {
    super();
    this.attempt = view.attempt;
    this.polite = view.polite;
    this.pc = new RTCPeerConnection({ ...rtcConfiguration(view), bundlePolicy: "max-bundle" });
    this.#media = media;
    this.#renewIce = renewIce;
    this.#negotiator = new Negotiator({
      pc: this.pc,
      polite: view.polite,
      send,
      beforeAnswer: () => this.#matchOffer(),
    });
    this.#report = new MediaReport({ pc: this.pc, send: (report) => send("media", report) });
    this.pc.addEventListener("track", ({ track }) => this.emit("track", track));
    this.pc.addEventListener("connectionstatechange", () => this.#changed());
    this.#openChannels();
    if (view.side === "requester") this.#offerMedia(view.mode);
    this.#troubleTimer = setTimeout(() => this.#giveUp(), GIVE_UP_AFTER_MS);
  }

  get connected() {
    return this.pc.connectionState === "connected";
  }

  receivedWithin(ms) {
    return this.#report.receivedWithin(ms);
  }

  /** A `description` or `candidate` of this attempt. */
  receive(type, data) {
    return this.#negotiator.receive(type, data);
  }

  /** By data channel if it is open. Gives whether it went. */
  say(frame) {
    if (this.#talk.readyState !== "open") return false;
    this.#talk.send(JSON.stringify(frame));
    return true;
  }

  repeatReport() {
    this.#report.repeat();
  }

  configure(view) {
    if (this.pc.signalingState !== "closed") this.pc.setConfiguration({ ...rtcConfiguration(view), bundlePolicy: "max-bundle" });
  }

  /** The local tracks changed (allowed later, camera turned, unplugged): swap them without a new offer. */
  async refreshTracks() {
    for (const transceiver of this.pc.getTransceivers()) {
      const track = this.#trackFor(transceiver);
      if (transceiver.sender.track !== track) await transceiver.sender.replaceTrack(track);
    }
  }

  close() {
    clearTimeout(this.#restartTimer);
    clearTimeout(this.#troubleTimer);
    this.#report.stop();
    this.pc.close();
  }

  #openChannels() {
    this.#talk = this.pc.createDataChannel("talk", { negotiated: true, id: 0, ordered: true });
    this.#talk.addEventListener("open", () => this.emit("channel"));
    this.#talk.addEventListener("message", ({ data }) => this.#heard(data));
    this.#photo = this.pc.createDataChannel("photo", { negotiated: true, id: 1, ordered: true });
    this.#photo.binaryType = "arraybuffer";
  }

  #heard(text) {
    try {
      const frame = JSON.parse(text);
      if (frame.type === "chat" || frame.type === "control") this.emit("frame", frame);
    } catch (error) {
      console.info("a message on the data channel was not JSON:", error.name);
    }
  }

  /** Audio both ways, video from the requester only. */
  #offerMedia(mode) {
    const { audio, video, stream } = this.#media;
    const streams = stream ? [stream] : [];
    this.pc.addTransceiver(audio ?? "audio", { direction: "sendrecv", streams });
    if (mode === "video") this.pc.addTransceiver(video ?? "video", { direction: "sendonly", streams });
  }

  /** Answering: our microphone goes into the offered audio line. It may come later, without another offer. */
  async #matchOffer() {
    for (const transceiver of this.pc.getTransceivers()) {
      if (transceiver.receiver.track.kind === "audio") transceiver.direction = "sendrecv";
    }
    await this.refreshTracks();
  }

  #trackFor(transceiver) {
    const kind = transceiver.receiver.track.kind;
    if (!transceiver.direction.includes("send")) return null;
    return this.#media[kind] ?? null;
  }

  // Repair.

  #changed() {
    const state = this.pc.connectionState;
    this.emit("state", state);
    if (state === "connected") {
      clearTimeout(this.#restartTimer);
      clearTimeout(this.#troubleTimer);
      this.#restartTimer = this.#troubleTimer = null;
    } else if (state === "disconnected" || state === "failed") {
      this.#restartIn(this.polite ? POLITE_RESTART_AFTER_MS : RESTART_AFTER_MS, state === "failed");
      this.#troubleTimer ??= setTimeout(() => this.#giveUp(), GIVE_UP_AFTER_MS);
    }
  }

  /** A brief `disconnected` heals by itself; the polite side lets the other try first, so that offers seldom cross. */
  #restartIn(waitMs, failed) {
    if (this.#restartTimer !== null && !failed) return;
    clearTimeout(this.#restartTimer);
    this.#restartTimer = setTimeout(() => this.restartIce(), failed && !this.polite ? 0 : waitMs);
  }

  async restartIce() {
    this.#restartTimer = null;
    if (this.pc.signalingState === "closed" || !this.#negotiator.mayOffer) return;
    await this.#renewIce();
    if (this.pc.signalingState !== "closed") this.pc.restartIce();
  }

  #giveUp() {
    this.#troubleTimer = null;
    if (this.connected || this.pc.signalingState === "closed") return;
    this.#troubleTimer = setTimeout(() => this.#giveUp(), GIVE_UP_AFTER_MS);
    this.emit("beyond_repair");
  }
}

function rtcConfiguration(view) {
  return { iceServers: view.ice_servers ?? [], iceTransportPolicy: view.ice_policy ?? "all" };
}
