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

  /** Gives `{call}`; or true words, as being second is thanks and not failure, and perhaps the `next` offer. */
  async accept(offer) {
    this.offer = offer;
    try {
      const { request_id: id, epoch } = offer;
      return await this.#api.post(`/v1/requests/${id}/accept`, { epoch }, { repeatable: true });
    } catch (error) {
      return { words: whyNot(error), next: error instanceof ApiError ? error.details.offer : null };
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

function whyNot(error) {
  if (error instanceof NetworkError) return say("no_server");
  const key = `not_answered_${error.code ?? ""}`;
  return say(hasWord(key) ? key : "not_answered_offer_over");
}
