/**
 * The requester's side of a photo: a spoken question, one great button for yes, and then a picture that goes to the
 * volunteer and nowhere else. Without a yes nothing is taken.
 */
import { uuid7 } from "./ids.js";
import { hide, show } from "./page.js";
import { opened, ChannelLost, sendPhoto } from "./photo_channel.js";
import { takePhoto } from "./photo_capture.js";
import { ProgressBar } from "./progress_bar.js";
import { Reader } from "./speech.js";
import { locale, say } from "./words.js";

/** A tap that was meant for what stood there before the question is no yes. */
const YES_AFTER_MS = 1000;
/** What left this device may have been lost with its channel: then a new one comes soon. */
const SENT_FOR_SURE_MS = 5000;

export class PhotoGiver {
  #page;
  #media;
  #bar;
  #reader = new Reader();
  #call = null;
  #channel = null;
  #channelCame = () => {};
  #heading = document.getElementById("photo-ask").closest("section").querySelector("h2");
  #asked = false;
  #yesButton = document.getElementById("photo-yes");
  #yesTimer = null;
  #giving = null;
  #sent = null;
  #sentTimer = null;

  constructor(page, media) {
    this.#page = page;
    this.#media = media;
    this.#bar = new ProgressBar(page, "photo", this.#heading);
    page.onClick("photo-yes", () => this.#yes());
    page.onClick("photo-no", () => this.#no());
    page.onClick("photo-cancel", () => this.#giving?.abort("cancelled"));
  }

  follow(call) {
    this.clear();
    this.#call = call;
    call.on("photo_channel", (channel) => this.#use(channel));
    call.on("closed", () => call === this.#call && this.clear());
  }

  /** Nothing is asked or sent any more. */
  clear() {
    this.#ask(false);
    this.#keep(null);
    this.#giving?.abort("over");
    this.#bar.end();
    this.#call = this.#channel = null;
  }

  /** The volunteer asks for a photo, or no longer does. */
  wished(wanted) {
    if (this.#giving || wanted === this.#asked) return;
    if (wanted && this.#media.video?.readyState !== "live") {
      this.#page.speak(say("photo_no_camera"));
      this.#report(null, false);
      return;
    }
    if (wanted) this.#question();
    else {
      this.#ask(false);
      this.#page.speak(say("photo_withdrawn"));
    }
  }

  /** Spoken by the focus that goes there; else, as it stays with who is writing, by itself. */
  #question() {
    this.#keep(null); // whoever asks for another has had, or given up, the one before
    this.#ask(true);
    this.#page.sounds.play("message");
    this.#reader.read(say("photo_question"), locale); // for who has no screen reader, and has it switched on
    if (document.activeElement?.matches("input, textarea")) this.#page.speak(say("photo_question"), { urgent: true });
    else document.getElementById("photo-question").focus();
  }

  #ask(asked, instead = this.#heading) {
    this.#asked = asked;
    clearTimeout(this.#yesTimer);
    if (!asked) {
      hide("photo-ask", instead);
      return;
    }
    this.#yesButton.disabled = true;
    this.#yesTimer = setTimeout(() => {
      this.#yesButton.disabled = false;
    }, YES_AFTER_MS);
    show("photo-ask", true);
  }

  #no() {
    this.#ask(false);
    this.#page.speak(say("photo_refused"));
    this.#report(false);
  }

  #yes() {
    if (this.#giving) return;
    this.#bar.begin(say("photo_taking"));
    this.#ask(false, document.getElementById("photo-cancel"));
    this.#report(true);
    this.#give(takePhoto(this.#media.video));
  }

  /** `taking` gives the photo, or is one: what was sent already may be begun again. */
  async #give(taking) {
    const giving = (this.#giving = new AbortController());
    const { signal } = giving;
    try {
      const blob = await Promise.race([taking, aborted(signal)]); // a camera may take its time
      await this.#send({ id: uuid7(), blob }, signal);
      this.#bar.end(say("photo_sent"));
      this.#keep(blob);
    } catch (error) {
      if (signal.reason === "unwanted" && taking instanceof Blob) this.#bar.end(say("photo_sent")); // the first was whole
      else this.#failed(error, signal);
    } finally {
      if (this.#giving === giving) this.#giving = null;
    }
  }

  async #send(photo, signal) {
    this.#bar.begin(say("photo_sending"));
    for (;;) {
      const channel = this.#channel;
      try {
        await opened(channel, signal);
        await sendPhoto(channel, photo, { progress: (share) => this.#bar.at(share), signal });
        return;
      } catch (error) {
        if (!(error instanceof ChannelLost)) throw error;
        await this.#nextChannel(channel, signal);
      }
    }
  }

  /** Until it is sure to have arrived. */
  #keep(blob) {
    clearTimeout(this.#sentTimer);
    this.#sent = blob;
    if (!blob) return;
    this.#sentTimer = setTimeout(() => this.#keep(null), SENT_FOR_SURE_MS);
  }

  #failed(error, signal) {
    if (signal.reason === "over") return;
    if (signal.aborted) this.#bar.end(say("photo_cancelled"));
    else {
      console.info("no photo was given:", error.message);
      this.#bar.end(say("photo_failed"));
    }
    this.#report(false); // heard twice by a volunteer who cancelled, or who hears it by the channel: said once there
  }

  #report(value, available = true) {
    this.#call?.controlState("photo", value, available).catch((error) => console.info("not told:", error.code));
  }

  // The channel of the call's present attempt.

  #use(channel) {
    this.#channel = channel;
    channel.addEventListener("message", ({ data }) => data === "cancel" && this.#giving?.abort("unwanted"));
    this.#channelCame();
    const sent = this.#sent;
    this.#keep(null);
    if (sent) this.#give(sent);
  }

  /** The call builds anew: the photo is begun again there. */
  #nextChannel(lost, signal) {
    const came = new Promise((resolve) => {
      this.#channelCame = () => this.#channel !== lost && resolve();
      this.#channelCame();
    });
    return Promise.race([came, aborted(signal)]);
  }
}

function aborted(signal) {
  const over = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  over.catch(() => {}); // nobody may be listening any more
  return over;
}
