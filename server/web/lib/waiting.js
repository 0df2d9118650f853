/**
 * What a waiting person sees and hears: "Looking for someone who speaks Danish. Asked 3 people. 12 seconds."
 *
 * The screen counts every second; speech comes when something changed (at most every few seconds) and now and then, so
 * that nobody wonders whether the page is still there, and nobody is talked over.
 */
import { duration, hasWord, languageList, languageName, say } from "./words.js";

const TICK_MS = 1000;
const CHANGE_MS = 5000;
const REASSURE_MS = 20_000;
const TONE_EVERY_TICKS = 4;

export class Waiting {
  #page;
  #request = null;
  #since = 0;
  #asked = 0;
  #spokenAsked = 0;
  #spokenAt = 0;
  #notes = [];
  #lastNote = null;
  #noteShown = document.getElementById("search-note");
  #wasReturned = false;
  #timer = null;
  #ticks = 0;

  constructor(page) {
    this.#page = page;
  }

  /** `serverNow`: how long a request of before this page load has waited already. */
  show(request, serverNow) {
    const isSame = this.#timer !== null && this.#request?.id === request.id && this.#request.epoch === request.epoch;
    if (!isSame) this.stop();
    this.#request = request;
    this.#asked = Math.max(request.asked, this.#asked);
    if (isSame) {
      this.#update();
      return;
    }
    const waitedMs = request.epoch === 1 ? Math.max(0, serverNow - Date.parse(request.created_at)) : 0;
    this.#since = performance.now() - waitedMs;
    this.#spokenAsked = this.#asked;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#show();
    this.#speak(`${this.#wasReturned ? `${say("going_back")} ` : ""}${this.#looking()}`);
    this.#wasReturned = false;
  }

  /** The call broke before it was over; said together with the next sentence. */
  goingBack() {
    this.#wasReturned = true;
  }

  progress({ asked, note }) {
    this.#asked = Math.max(asked, this.#asked);
    if (note) this.#take(note);
    this.#update();
  }

  /** A note is said when it is another one than before, and none is lost that comes before the last was said. */
  #take({ code, params }) {
    const language = languageName(params?.language ?? "");
    const words = say(hasWord(`note_${code}`) ? `note_${code}` : "note_still_looking", { ...params, language });
    if (words === this.#lastNote) return;
    this.#lastNote = this.#noteShown.textContent = words;
    this.#notes.push(words);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#lastNote = null;
    this.#notes = [];
    this.#noteShown.textContent = "";
    this.#asked = this.#ticks = 0;
  }

  #tick() {
    this.#ticks += 1;
    if (this.#ticks % TONE_EVERY_TICKS === 0) this.#page.sounds.play("waiting");
    this.#update();
  }

  #update() {
    if (this.#timer === null) return;
    this.#show();
    const quietMs = performance.now() - this.#spokenAt;
    const changed = this.#asked !== this.#spokenAsked || this.#notes.length > 0;
    if ((changed && quietMs >= CHANGE_MS) || quietMs >= REASSURE_MS) this.#speak(this.#news());
  }

  #show() {
    this.#page.status([this.#looking(), this.#askedWords(), this.#waited()].filter(Boolean).join(" "));
  }

  #speak(text) {
    this.#spokenAt = performance.now();
    this.#spokenAsked = this.#asked;
    this.#notes = [];
    this.#page.speak(text);
  }

  #looking() {
    return say("looking", { languages: languageList(this.#request.languages) });
  }

  #askedWords() {
    return this.#asked ? say("asked", { count: this.#asked }) : "";
  }

  #waited() {
    return say("waited", { duration: duration((performance.now() - this.#since) / 1000) });
  }

  #news() {
    const notes = this.#notes.length ? this.#notes : [say("note_still_looking")];
    return [...notes, this.#askedWords(), this.#waited()].filter(Boolean).join(" ");
  }
}
