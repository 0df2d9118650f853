/**
 * What was heard of the last requests that rang here, by push or on a page. Pushes come in any order: a ring that comes
 * after its own end must not ring, and the end of an earlier round must not silence a later one.
 */
import { keep, kept } from "./kept.js";

const KEY = "rings";
const CLOCK_KEY = "clock_offset_ms";
const AT_MOST = 50;

/** Notes a ring, or its end. Gives what was known of that request before: `{epoch, over}`, or null. */
export async function noteRing({ request_id: id, epoch }, { over }) {
  let known = null;
  try {
    await keep(KEY, (rings = []) => {
      known = rings.find((ring) => ring.id === id) ?? null;
      const isNews = !known || known.epoch < epoch || (known.epoch === epoch && over);
      return isNews ? [...rings.filter((ring) => ring !== known), { id, epoch, over }].slice(-AT_MOST) : rings;
    });
  } catch (error) {
    console.info("rings are not remembered:", error.message); // better to ring once too often than never
  }
  return known;
}

/** How far the server's clock is ahead of this device's: told by the page, for a worker that cannot know. */
export async function noteClock(offsetMs) {
  try {
    await keep(CLOCK_KEY, () => offsetMs);
  } catch (error) {
    console.info("the clock is taken to be right:", error.message);
  }
}

/** The server's clock, in ms since 1970, as the page last knew it. */
export async function serverNow() {
  const offsetMs = await kept(CLOCK_KEY).catch(() => 0);
  return Date.now() + (offsetMs ?? 0);
}
