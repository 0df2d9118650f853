/**
 * A photo from person to person over data channel 1: a header `{id, mime, bytes, sha256}`, binary chunks, then `done`, or
 * `cancel` from either side. Nothing of it passes the server, and nothing is kept.
 */
import { Emitter } from "./emitter.js";

export const PHOTO_BYTES_AT_MOST = 20 * 1024 * 1024;
const CHUNK_BYTES = 16 * 1024;
const BUFFER_HIGH = 16 * CHUNK_BYTES;
const BUFFER_LOW = 4 * CHUNK_BYTES;
/** For the header of a photo that an earlier channel brought in part. */
const AGAIN_WITHIN_MS = 15_000;
const MIMES = ["image/jpeg", "image/png", "image/webp"];

/** The channel went away in the middle; in the call's next attempt the photo can be begun again. */
export class ChannelLost extends Error {}

/**
 * Sends a whole photo. `progress(share)` is told of what left this device, 0 to 1. Aborting `signal` sends `cancel`. Raises
 * `ChannelLost`, or the signal's reason.
 */
export async function sendPhoto(channel, { id, blob }, { progress, signal }) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const header = { id, mime: blob.type, bytes: bytes.length, sha256: await sha256(bytes) };
  channel.bufferedAmountLowThreshold = BUFFER_LOW;
  try {
    say(channel, JSON.stringify(header));
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      if (channel.bufferedAmount > BUFFER_HIGH) await drained(channel, BUFFER_LOW, signal);
      signal.throwIfAborted();
      say(channel, bytes.subarray(at, at + CHUNK_BYTES));
      progress(Math.max(0, at - channel.bufferedAmount) / bytes.length);
    }
    say(channel, "done");
    await drained(channel, 0, signal);
    progress(1);
  } catch (error) {
    if (signal.aborted && channel.readyState === "open") channel.send("cancel");
    throw error;
  }
}

/** Resolves when the channel is open; raises `ChannelLost`, or the signal's reason. */
export function opened(channel, signal) {
  return until(channel, "open", () => channel.readyState === "open", signal);
}

function drained(channel, low, signal) {
  channel.bufferedAmountLowThreshold = low;
  return until(channel, "bufferedamountlow", () => channel.bufferedAmount <= low, signal);
}

function until(channel, type, holds, signal) {
  return new Promise((resolve, reject) => {
    const over = new AbortController();
    const look = () => {
      if (signal.aborted) settle(reject, signal.reason);
      else if (["closing", "closed"].includes(channel.readyState)) settle(reject, new ChannelLost());
      else if (holds()) settle(resolve);
    };
    const settle = (how, value) => {
      over.abort();
      how(value);
    };
    for (const event of [type, "closing", "close"]) channel.addEventListener(event, look, { signal: over.signal });
    signal.addEventListener("abort", look, { signal: over.signal });
    look();
  });
}

function say(channel, data) {
  if (channel.readyState !== "open") throw new ChannelLost();
  channel.send(data);
}

/**
 * What comes in over the channel.
 *
 * Events: `begun` (a header came), `progress` (share, 0 to 1), `photo` (Blob, whole and as it was sent), `cancelled` (by the
 * other side), `broken` (it is not what its header says, or what came in part was not begun again).
 */
export class PhotoReceiver extends Emitter {
  #channel = null;
  #header = null;
  #chunks = [];
  #bytes = 0;
  #again = null;

  get receiving() {
    return this.#header !== null;
  }

  /** The channel of the present attempt; what an earlier one brought in part is begun again. */
  attach(channel) {
    this.#channel = channel;
    channel.addEventListener("message", ({ data }) => channel === this.#channel && this.#heard(data));
    if (this.receiving) this.#awaitAgain();
  }

  /** This side wants it no more. */
  cancel() {
    this.#forget();
    if (this.#channel?.readyState === "open") this.#channel.send("cancel");
  }

  /** The call is over. */
  detach() {
    this.#channel = null;
    this.#forget();
  }

  #heard(data) {
    if (data instanceof ArrayBuffer) this.#chunk(data);
    else if (data === "done") this.#done();
    else if (data === "cancel") this.#cancelled();
    else this.#begin(data);
  }

  #begin(text) {
    this.#forget();
    const header = headerOf(text);
    if (!header) {
      this.#break();
      return;
    }
    this.#header = header;
    this.emit("begun");
  }

  #chunk(buffer) {
    if (!this.#header) return; // of one that was cancelled here
    this.#bytes += buffer.byteLength;
    this.#chunks.push(buffer);
    if (this.#bytes > this.#header.bytes) this.#break();
    else this.emit("progress", this.#bytes / this.#header.bytes);
  }

  async #done() {
    const [header, channel] = [this.#header, this.#channel];
    if (!header) return;
    const blob = new Blob(this.#chunks, { type: header.mime });
    this.#forget();
    const whole = blob.size === header.bytes && (await sha256(await blob.arrayBuffer())) === header.sha256;
    if (channel === this.#channel) this.emit(whole ? "photo" : "broken", blob);
    else if (this.#channel && !this.receiving) this.#awaitAgain();
  }

  #awaitAgain() {
    this.#forget();
    this.#again = setTimeout(() => this.emit("broken"), AGAIN_WITHIN_MS);
  }

  #cancelled() {
    if (!this.#header) return;
    this.#forget();
    this.emit("cancelled");
  }

  #break() {
    this.cancel();
    this.emit("broken");
  }

  #forget() {
    clearTimeout(this.#again);
    this.#header = null;
    this.#chunks = [];
    this.#bytes = 0;
  }
}

/** A header that may be believed, or null. */
function headerOf(text) {
  try {
    const { mime, bytes, sha256: sum } = JSON.parse(text);
    const sane = MIMES.includes(mime) && Number.isInteger(bytes) && bytes > 0 && bytes <= PHOTO_BYTES_AT_MOST;
    return sane && typeof sum === "string" ? { mime, bytes, sha256: sum.toLowerCase() } : null;
  } catch {
    return null;
  }
}

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
