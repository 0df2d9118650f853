/**
 * Perfect negotiation (W3C WebRTC, "Perfect negotiation example") for one RTCPeerConnection, with the contract's rules:
 * the requester offers first and is impolite, the volunteer may offer only after it has answered once; an offer's number
 * is the highest seen + 1, an answer copies it, and on a tie the requester's offer stands.
 *
 * `send(type, data)` carries `description` and `candidate`; feed what the other side says to `receive`.
 */
const HELD_MS = 45_000;
const HELD_AT_MOST = 64;

export class Negotiator {
  #pc;
  #polite;
  #send;
  #beforeAnswer;
  #mayOffer;
  #making = Promise.resolve();
  #highest = 0;
  #localOffer = 0;
  #sentUfrags = new Map();
  #outgoing = [];
  #held = [];
  #chain = Promise.resolve();

  constructor({ pc, polite, send, beforeAnswer = async () => {} }) {
    this.#pc = pc;
    this.#polite = polite;
    this.#send = send;
    this.#beforeAnswer = beforeAnswer;
    this.#mayOffer = !polite;
    pc.addEventListener("negotiationneeded", () => {
      this.#making = this.#offer();
    });
    pc.addEventListener("icecandidate", ({ candidate }) => this.#gathered(candidate));
  }

  /** Whether this side may ask for an ICE restart by an offer of its own. */
  get mayOffer() {
    return this.#mayOffer;
  }

  /** One frame at a time, in the order they came. Resolves when it is applied. */
  receive(type, data) {
    const step = () => (type === "description" ? this.#description(data) : this.#candidate(data));
    this.#chain = this.#chain.then(() => (this.#pc.signalingState === "closed" ? undefined : step())).catch(reportError);
    return this.#chain;
  }

  async #offer() {
    if (!this.#mayOffer || this.#pc.signalingState === "closed") return;
    try {
      await this.#pc.setLocalDescription();
    } catch (error) {
      if (this.#pc.signalingState !== "closed") reportError(error);
      return;
    }
    if (this.#pc.localDescription?.type !== "offer") return; // the other side's offer came first after all
    this.#localOffer = this.#highest += 1;
    this.#tell(this.#localOffer);
  }

  async #description({ type, sdp, negotiation }) {
    if (type === "answer") return this.#answered(sdp, negotiation);
    await this.#making; // an offer being made gets its number first, so that a tie is seen as one
    const collides = this.#pc.signalingState !== "stable";
    if (negotiation < this.#highest || (negotiation === this.#highest && !(collides && this.#polite))) return undefined;
    this.#highest = negotiation;
    await this.#pc.setRemoteDescription({ type, sdp }); // rolls our own offer back if there is one
    await this.#beforeAnswer();
    await this.#pc.setLocalDescription();
    this.#mayOffer = true;
    this.#tell(negotiation);
    return this.#release();
  }

  async #answered(sdp, negotiation) {
    if (this.#pc.signalingState !== "have-local-offer" || negotiation !== this.#localOffer) return;
    await this.#pc.setRemoteDescription({ type: "answer", sdp });
    await this.#release();
  }

  #tell(negotiation) {
    const { type, sdp } = this.#pc.localDescription;
    for (const ufrag of ufragsOf(sdp)) this.#sentUfrags.set(ufrag, negotiation);
    this.#send("description", { type, sdp, negotiation });
    const waiting = this.#outgoing;
    this.#outgoing = [];
    for (const candidate of waiting) this.#gathered(candidate);
  }

  /** Our own candidates follow the description they belong to, never run ahead of it. */
  #gathered(candidate) {
    const ufrag = candidate ? ufragOf(candidate) : ufragsOf(this.#pc.localDescription?.sdp ?? "")[0];
    if (ufrag && !this.#sentUfrags.has(ufrag)) {
      this.#outgoing.push(candidate);
      return;
    }
    this.#send("candidate", {
      candidate: candidate ? candidate.candidate : null,
      sdpMid: candidate?.sdpMid ?? null,
      sdpMLineIndex: candidate?.sdpMLineIndex ?? null,
      usernameFragment: ufrag ?? null,
      negotiation: this.#sentUfrags.get(ufrag) ?? this.#highest,
    });
  }

  /** The other side's candidate: of the current description applied, of a superseded one dropped, else held for later. */
  async #candidate(data, since = performance.now()) {
    const ufrag = ufragOf(data);
    const known = ufragsOf(this.#pc.remoteDescription?.sdp ?? "");
    if (known.length && (!ufrag || known.includes(ufrag))) return this.#add(data);
    if (known.length && data.negotiation < this.#highest) return undefined;
    this.#held = this.#held.filter(({ at }) => performance.now() - at < HELD_MS).slice(1 - HELD_AT_MOST);
    this.#held.push({ data, at: since });
    return undefined;
  }

  async #release() {
    const held = this.#held;
    this.#held = [];
    for (const { data, at } of held) await this.#candidate(data, at);
  }

  async #add({ candidate, sdpMid, sdpMLineIndex, usernameFragment }) {
    const value = candidate === null ? null : { candidate, sdpMid, sdpMLineIndex, usernameFragment };
    try {
      await this.#pc.addIceCandidate(value);
    } catch (error) {
      console.info("a candidate was not usable:", error.name); // the next one may be; connectionState decides
    }
  }
}

/** The ICE user fragments of a description (RFC 8839, 5.4). */
export function ufragsOf(sdp) {
  return [...new Set(Array.from(sdp.matchAll(/^a=ice-ufrag:(\S+)/gm), (match) => match[1]))];
}

/** A candidate's ufrag: its own field, else the extension in the string, else null. */
export function ufragOf({ candidate, usernameFragment }) {
  return usernameFragment ?? / ufrag (\S+)/.exec(candidate ?? "")?.[1] ?? null;
}
