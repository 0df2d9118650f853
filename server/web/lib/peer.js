/**
 * One attempt of a call: one RTCPeerConnection, its tracks, its two data channels, and its repair by ICE restart.
 *
 * Events: `track` (MediaStreamTrack), `frame` (`chat`, `control` or `control_state` that came by data channel), `state` (connectionState),
 * `channel` (data channel 0 is open), `beyond_repair` (restarts did not help, or this side may not make one).
 */
import { Emitter } from "./emitter.js";
import { IceRepair } from "./ice_repair.js";
import { MediaReport } from "./media_report.js";
import { Negotiator } from "./negotiator.js";
import { onNetworkHints } from "./network_hints.js";
import { StatsReport } from "./stats_report.js";

const BY_CHANNEL = ["chat", "control", "control_state"];

export class Peer extends Emitter {
  #negotiator;
  #report;
  #stats;
  #media;
  #renewIce;
  #talk;
  #photo;
  #repair;
  #repairTimer = null;
  #restarting = false;
  #stopHints;

  /**
   * `view` is the contract's call; `media` gives the local tracks (`LocalMedia`); `send(type, data)` reaches the other
   * side through the server; `renewIce()` gets fresh ICE servers before a restart; `signalling`: whether the server can be
   * reached now (later: `signallingChanged`); `luma`: see `StatsReport`.
   */
  constructor({ view, media, send, renewIce, signalling, luma }) {
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
    this.#report = new MediaReport({ pc: this.pc, send: (report) => send("media", report), paused: () => media.pauses.cause });
    this.#stats = new StatsReport({ pc: this.pc, send: (stats) => send("stats", stats), luma });
    this.pc.addEventListener("track", ({ track }) => this.emit("track", track));
    this.pc.addEventListener("connectionstatechange", () => this.#changed());
    this.pc.addEventListener("signalingstatechange", () => this.#otherMoved());
    this.#repair = new IceRepair({ polite: view.polite, signalling, now: performance.now() });
    this.#stopHints = onNetworkHints({ changed: () => this.restartIce() });
    this.#openChannels();
    if (view.side === "requester") this.#offerMedia(view.mode);
    this.#mend();
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

  /** The data channel for photos; see `photo_channel.js`. */
  get photoChannel() {
    return this.#photo;
  }

  /** What this side sends, or why it does not, has just changed. */
  reportNow() {
    this.#report.tellNow();
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
    clearTimeout(this.#repairTimer);
    this.#stopHints();
    this.#report.stop();
    this.#stats.stop();
    this.pc.close();
    this.#photo.dispatchEvent(new Event("close")); // closing a connection tells its channels, but fires no event at them
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
      if (BY_CHANNEL.includes(frame.type)) this.emit("frame", frame);
    } catch (error) {
      console.info("a message on the data channel was not JSON:", error.name);
    }
  }

  /** Audio both ways, video from the requester only; in a written call there are the data channels alone. */
  #offerMedia(mode) {
    if (mode === "text") return;
    const { stream } = this.#media;
    const [audio, video] = ["audio", "video"].map((kind) => this.#media.outgoing(kind));
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
    return this.#media.outgoing(kind) ?? null;
  }

  // Repair.

  /** A wish, granted in its turn: restarts have a pace, and the polite side lets the other try first. */
  restartIce() {
    this.#repair.wish(performance.now());
    this.#mend();
  }

  signallingChanged(works) {
    this.#repair.signalling(works, performance.now());
    this.#mend();
  }

  #changed() {
    const state = this.pc.connectionState;
    this.#repair.link(state, performance.now());
    this.emit("state", state);
    this.#mend();
  }

  /** An offer after the first is the other side's restart, which serves us as well as one of our own. */
  #otherMoved() {
    const isFirst = this.pc.connectionState === "new";
    if (this.pc.signalingState === "have-remote-offer" && !isFirst) this.#repair.restarted(performance.now());
  }

  /** Does what is due, and looks again when something will be. */
  #mend() {
    clearTimeout(this.#repairTimer);
    if (this.pc.signalingState === "closed") return;
    const now = performance.now();
    if (this.#mayRestart && now >= this.#repair.restartAt) this.#restart();
    if (now >= this.#repair.giveUpAt) {
      this.#repair.gaveUp(now);
      this.emit("beyond_repair");
    }
    const next = Math.min(this.#mayRestart ? this.#repair.restartAt : Infinity, this.#repair.giveUpAt);
    if (next < Infinity) this.#repairTimer = setTimeout(() => this.#mend(), Math.max(next - now, 0));
  }

  get #mayRestart() {
    return !this.#restarting && this.#negotiator.mayOffer;
  }

  async #restart() {
    this.#restarting = true;
    await this.#renewIce();
    this.#restarting = false;
    if (this.pc.signalingState === "closed") return;
    if (this.#repair.wished) {
      this.#repair.restarted(performance.now());
      this.pc.restartIce();
    }
    this.#mend();
  }
}

function rtcConfiguration(view) {
  return { iceServers: view.ice_servers ?? [], iceTransportPolicy: view.ice_policy ?? "all" };
}
