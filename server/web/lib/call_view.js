/**
 * The part of a page that is the same for both people in a call: hearing and seeing the other, mute, chat, phrases.
 *
 * Elements by id: remote-audio, remote-video (volunteer only), allow-sound, mute, chat-form, chat-text, chat-log.
 */
import { PictureLight } from "./picture_light.js";
import { PictureWords } from "./picture_words.js";
import { Reader } from "./speech.js";
import { languageName, locale, say } from "./words.js";

export class CallView {
  #page;
  #media;
  #call = null;
  #players = {
    audio: document.getElementById("remote-audio"),
    video: document.getElementById("remote-video"),
  };
  #allow = document.getElementById("allow-sound");
  #mute = document.getElementById("mute");
  #log = document.getElementById("chat-log");
  #text = document.getElementById("chat-text");
  #reader = new Reader();
  #picture;
  #light = this.#players.video && new PictureLight(this.#players.video);

  constructor(page, media) {
    this.#page = page;
    this.#media = media;
    this.#picture = new PictureWords(page);
    this.#mute.addEventListener("click", () => this.#setMuted(!media.muted));
    this.#allow.addEventListener("click", () => this.#playAll());
    document.getElementById("chat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#sendText();
    });
    for (const button of document.querySelectorAll("[data-phrase]")) {
      button.textContent = say(`phrase_${button.dataset.phrase}`);
      button.addEventListener("click", () => this.#sendPhrase(button.dataset.phrase));
    }
    this.#offerReading(document.getElementById("read-aloud"));
  }

  /** Shows this call from now on; an earlier one is forgotten. */
  follow(call) {
    this.clear();
    this.#call = call;
    const { mode } = call.view;
    for (const element of document.querySelectorAll("[data-picture]")) element.hidden = mode !== "video";
    for (const element of document.querySelectorAll("[data-sound]")) element.hidden = mode === "text";
    this.#picture.follow(call);
    this.#light?.follow(call);
    call.on("attempt", () => this.#forgetTracks());
    call.on("track", (track) => this.#play(track));
    call.on("chat", (data) => this.#heard(data));
  }

  clear() {
    this.#call = null;
    this.#picture.stop();
    this.#light?.stop();
    this.#forgetTracks();
    this.#log.replaceChildren();
    this.#text.value = "";
    this.#setMuted(false, { quiet: true });
  }

  // The other side's sound and picture.

  #forgetTracks() {
    for (const player of Object.values(this.#players)) if (player) player.srcObject = null;
    this.#allow.hidden = true;
  }

  #play(track) {
    const player = this.#players[track.kind];
    if (!player) return;
    player.srcObject = new MediaStream([track]);
    this.#start(player);
  }

  /** A browser that has seen no click may refuse to make sound: then one button, instead of silence. */
  async #start(player) {
    try {
      await player.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") return; // AbortError: a newer track took its place
      this.#allow.hidden = false;
      this.#page.speak(say("sound_blocked"), { urgent: true });
    }
  }

  #playAll() {
    this.#allow.hidden = true;
    for (const player of Object.values(this.#players)) if (player?.srcObject) this.#start(player);
  }

  #setMuted(muted, { quiet = false } = {}) {
    this.#media.setMuted(muted);
    this.#mute.dataset.active = String(muted);
    this.#mute.textContent = say(muted ? "unmute" : "mute");
    if (!quiet) this.#page.speak(say(muted ? "muted" : "unmuted"));
  }

  // Words.

  async #sendText() {
    const text = this.#text.value.trim();
    if (!text || !this.#call) return;
    this.#text.value = "";
    const line = this.#write("me", text, locale);
    await this.#carry(line, this.#call.chat({ text, language: locale }));
  }

  async #sendPhrase(phrase) {
    if (!this.#call) return;
    const line = this.#write("me", say(`phrase_${phrase}`), locale);
    await this.#carry(line, this.#call.chat({ phrase, language: locale }));
  }

  async #carry(line, sending) {
    try {
      await sending;
    } catch {
      line.classList.add("unsent");
      this.#page.speak(say("not_sent"), { urgent: true });
    }
  }

  #heard({ text, phrase, language }) {
    const words = text ?? say(`phrase_${phrase}`);
    const spoken = text ? language : locale;
    this.#write("them", words, spoken);
    this.#page.sounds.play("message");
    this.#reader.read(words, spoken);
  }

  /** The log is a live region of its own, so what the other side writes is spoken as it comes, in its language. */
  #write(who, words, language) {
    const line = document.createElement("p");
    line.className = who;
    const speaker = document.createElement("b");
    speaker.textContent = `${say(who === "me" ? "you" : "other_person")}: `;
    const said = document.createElement("span");
    said.textContent = words;
    said.lang = language;
    if (language.split("-")[0] !== locale) said.title = languageName(language);
    line.append(speaker, said);
    this.#log.append(line);
    this.#log.scrollTop = this.#log.scrollHeight;
    return line;
  }

  #offerReading(checkbox) {
    if (!checkbox) return;
    checkbox.parentElement.hidden = !this.#reader.available;
    checkbox.checked = this.#reader.on;
    checkbox.addEventListener("change", () => {
      this.#reader.on = checkbox.checked;
    });
  }
}
