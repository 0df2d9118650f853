/** The volunteer's side of a photo: asks for it, watches it come, shows it, and keeps it no longer than the call. */
import { hide, show } from "./page.js";
import { PhotoReceiver } from "./photo_channel.js";
import { ProgressBar } from "./progress_bar.js";
import { say } from "./words.js";

export class PhotoTaker {
  #page;
  #bar;
  #receiver = new PhotoReceiver();
  #button = document.getElementById("photo");
  #image = document.getElementById("photo-image");
  /** null | asked | coming */
  #state = null;
  #call = null;

  constructor(page) {
    this.#page = page;
    this.#bar = new ProgressBar(page, "photo", this.#button);
    page.onClick("photo", () => this.#ask());
    page.onClick("photo-cancel", () => this.#cancel());
    page.onClick("photo-close", () => this.#hide());
    this.#image.alt = say("photo_alt");
    this.#image.addEventListener("error", () => this.#over("photo_broken"));
    this.#receiver.on("begun", () => this.#begin());
    this.#receiver.on("progress", (share) => this.#bar.at(share));
    this.#receiver.on("photo", (blob) => this.#show(blob));
    this.#receiver.on("cancelled", () => this.#over("photo_cancelled_by_them"));
    this.#receiver.on("broken", () => this.#state && this.#over("photo_broken"));
  }

  follow(call) {
    this.clear();
    this.#call = call;
    call.on("closed", () => call === this.#call && this.clear());
    call.on("photo_channel", (channel) => this.#receiver.attach(channel));
    call.on("control_state", ({ name, value, available }) => name === "photo" && this.#told(value, available));
  }

  /** The call is over, and with it the photo. */
  clear() {
    this.#receiver.detach();
    this.#become(null);
    this.#bar.end();
    this.#hide();
  }

  async #ask() {
    if (this.#state) return;
    this.#become("asked");
    this.#bar.begin(say("photo_asked"));
    try {
      await this.#call?.control("photo", true);
    } catch {
      this.#over("not_sent");
    }
  }

  #told(value, available) {
    if (!this.#state) return;
    if (!available) this.#over("photo_unavailable");
    else if (value === true) this.#page.speak(say("photo_allowed"));
    else this.#over(this.#state === "asked" ? "photo_refused_by_them" : "photo_cancelled_by_them");
  }

  /** A photo nobody asked for, or asks for no more, is not taken. */
  #begin() {
    if (!this.#state) {
      this.#receiver.cancel();
      return;
    }
    this.#become("coming");
    this.#bar.begin(say("photo_coming"));
  }

  #cancel() {
    if (this.#state === "coming") this.#receiver.cancel();
    else this.#call?.control("photo", false).catch(() => {}); // the question stays; its answer is not taken
    this.#over("photo_cancelled");
  }

  #over(words) {
    this.#become(null);
    this.#bar.end(say(words));
  }

  #become(state) {
    this.#state = state;
    this.#button.setAttribute("aria-disabled", String(state !== null)); // keeps the focus, unlike `disabled`
  }

  #show(blob) {
    if (this.#state !== "coming") return; // cancelled while it was looked at
    this.#hide();
    this.#image.src = URL.createObjectURL(blob);
    show("photo-shown", true);
    this.#over("photo_here");
  }

  #hide() {
    if (this.#image.src) URL.revokeObjectURL(this.#image.src);
    this.#image.removeAttribute("src");
    hide("photo-shown", this.#button);
  }
}
