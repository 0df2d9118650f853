/** What a volunteer says to an offer, and what the server says to that. */
import { ApiError, NetworkError } from "./api.js";
import { hasWord, say } from "./words.js";

export class Answering {
  /** The one being answered now. */
  offer = null;
  #api;

  constructor(api) {
    this.#api = api;
  }

  /**
   * Gives `{call}`; or `{second, words, next, standbyUntil}`: whether somebody else was faster, which is thanks and no
   * failure, true words, and perhaps the next offer, or until when to stay in case their call fails.
   */
  async accept(offer) {
    this.offer = offer;
    try {
      const { request_id: id, epoch } = offer;
      return await this.#api.post(`/v1/requests/${id}/accept`, { epoch }, { repeatable: true });
    } catch (error) {
      return notWon(error);
    } finally {
      if (this.offer === offer) this.offer = null;
    }
  }

  async decline({ request_id: id, epoch }) {
    try {
      await this.#api.post(`/v1/requests/${id}/decline`, { epoch, reason: "not_now" }, { repeatable: true });
    } catch (error) {
      console.info("the offer will expire instead:", error.message);
    }
  }

  /** The offer as it is open for this person, or undefined. */
  async find({ request_id: id, epoch }) {
    try {
      const { offers } = await this.#api.get("/v1/offers");
      return offers.find((offer) => isSameOffer(offer, { request_id: id, epoch }));
    } catch (error) {
      console.info("offers are not known:", error.message);
      return undefined;
    }
  }
}

export function isSameOffer(one, other) {
  return one?.request_id === other?.request_id && one?.epoch === other?.epoch;
}

function notWon(error) {
  if (!(error instanceof ApiError)) return { words: say(error instanceof NetworkError ? "no_server" : "not_done") };
  const { code, details } = error;
  const words = say(hasWord(`not_answered_${code}`) ? `not_answered_${code}` : "not_answered_offer_over");
  return { second: code === "answered_elsewhere", words, next: details.offer, standbyUntil: details.standby_until };
}
