/**
 * How one RTCPeerConnection does since it was begun, told every 5 s (the contract's `stats`): measured once a second from
 * getStats, in its units; each report holds all, so that only the last one matters.
 */
const LOOK_MS = 1000;
const TELL_MS = 5000;
const MOST = 100_000;
const NEAR_DARK = 32;
const MOVED = 4;

export class StatsReport {
  #pc;
  #send;
  #luma;
  #begunAt = performance.now();
  #toldAt = performance.now();
  #toldMedia = false;
  #toldLuma = null;
  #timer;
  #samples = 0;
  #packets = { lost: 0, received: 0 };
  #roundTrip = new Spread();
  #jitter = new Spread();
  #loss = new Spread();
  #framesPerSecond = new Spread({ worst: Math.min });
  #latest = {};

  /** `send(stats)`; `luma()` gives how light the received picture is (0 to 255), null where nobody looks at it. */
  constructor({ pc, send, luma = () => null }) {
    this.#pc = pc;
    this.#send = send;
    this.#luma = luma;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop() {
    clearInterval(this.#timer);
  }

  async #look() {
    if (this.#pc.connectionState !== "connected") return;
    const stats = [...(await this.#pc.getStats()).values()];
    if (this.#pc.connectionState !== "connected") return;
    this.#measure(stats);
    const now = performance.now();
    const firstMedia = this.#latest.time_to_media_s !== undefined && !this.#toldMedia;
    if (firstMedia || now - this.#toldAt >= TELL_MS || this.#lightIsNews()) this.#tell(now);
  }

  /** What happens near the dark is told at once: the server says from where on it is dark. */
  #lightIsNews() {
    const luma = this.#luma();
    if (luma === null) return false;
    const told = this.#toldLuma ?? MOST;
    return Math.min(luma, told) < NEAR_DARK && Math.abs(luma - told) >= MOVED;
  }

  #tell(now) {
    this.#toldAt = now;
    this.#toldMedia = this.#latest.time_to_media_s !== undefined;
    this.#toldLuma = this.#luma();
    const stats = {
      samples: this.#samples,
      round_trip: this.#roundTrip.values,
      jitter: this.#jitter.values,
      loss: this.#loss.values && { ...this.#loss.values, mean: share(this.#packets) },
      frames_per_second: this.#framesPerSecond.values,
      luma: this.#toldLuma ?? undefined,
      ...this.#latest,
    };
    this.#send(stats);
  }

  #measure(stats) {
    this.#samples += 1;
    const inbound = stats.filter(({ type }) => type === "inbound-rtp");
    this.#measurePair(stats);
    this.#measurePackets(inbound);
    const video = inbound.find(({ kind }) => kind === "video");
    if (video?.framesDecoded) this.#measurePicture(video);
    const hasMedia = inbound.some(({ kind, framesDecoded, packetsReceived }) => (kind === "video" ? framesDecoded : packetsReceived));
    if (hasMedia) this.#latest.time_to_media_s ??= bounded((performance.now() - this.#begunAt) / 1000);
  }

  #measurePair(stats) {
    const byId = new Map(stats.map((stat) => [stat.id, stat]));
    const transport = stats.find(({ type, selectedCandidatePairId }) => type === "transport" && selectedCandidatePairId);
    const isSelected = ({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded";
    const pair = byId.get(transport?.selectedCandidatePairId) ?? stats.find(isSelected); // Firefox has no transport
    this.#roundTrip.add(pair?.currentRoundTripTime);
    const type = byId.get(pair?.localCandidateId)?.candidateType;
    if (type) this.#latest.candidate_type = type;
  }

  #measurePackets(inbound) {
    const total = (name) => inbound.reduce((sum, stat) => sum + Math.max(stat[name] ?? 0, 0), 0);
    const packets = { lost: total("packetsLost"), received: total("packetsReceived") };
    const lost = Math.max(packets.lost - this.#packets.lost, 0);
    const received = Math.max(packets.received - this.#packets.received, 0);
    this.#packets = packets;
    if (lost + received > 0) this.#loss.add(share({ lost, received }));
    const jitters = inbound.map(({ jitter }) => jitter).filter((jitter) => jitter !== undefined);
    if (jitters.length > 0) this.#jitter.add(Math.max(...jitters));
  }

  #measurePicture({ framesPerSecond, freezeCount, totalFreezesDuration }) {
    this.#framesPerSecond.add(framesPerSecond ?? 0);
    if (freezeCount !== undefined) this.#latest.freezes = freezeCount;
    if (totalFreezesDuration !== undefined) this.#latest.frozen_s = bounded(totalFreezesDuration);
  }
}

/** Now, mean and worst of one thing. */
class Spread {
  #count = 0;
  #sum = 0;
  #now;
  #worst;
  #choose;

  constructor({ worst = Math.max } = {}) {
    this.#choose = worst;
  }

  add(value) {
    if (value === undefined) return;
    this.#now = bounded(value);
    this.#sum += this.#now;
    this.#count += 1;
    this.#worst = this.#choose(this.#worst ?? this.#now, this.#now);
  }

  /** Undefined while nothing was measured. */
  get values() {
    if (this.#count === 0) return undefined;
    return { now: this.#now, mean: bounded(this.#sum / this.#count), worst: this.#worst };
  }
}

function share({ lost, received }) {
  return bounded(lost / (lost + received));
}

function bounded(value) {
  return Math.min(Math.max(Math.round(value * 10_000) / 10_000, 0), MOST);
}
