/** The volunteer's page: be ready, be rung, answer, see and talk. */
import { Account } from "./lib/account.js";
import { Answering, isSameOffer } from "./lib/answering.js";
import { NetworkError } from "./lib/api.js";
import { Availability } from "./lib/availability.js";
import { pause } from "./lib/backoff.js";
import { Calls } from "./lib/calls.js";
import { CallView } from "./lib/call_view.js";
import { expose } from "./lib/expose.js";
import { HoursEditor } from "./lib/hours_editor.js";
import { LanguagesEditor } from "./lib/languages_editor.js";
import { LinkWords } from "./lib/link_words.js";
import { LocalMedia } from "./lib/local_media.js";
import { Memberships } from "./lib/memberships.js";
import { OwnPauses } from "./lib/own_pauses.js";
import { Page, show } from "./lib/page.js";
import { Peace } from "./lib/peace.js";
import { PhotoTaker } from "./lib/photo_taker.js";
import { isPractice, Practice } from "./lib/practice.js";
import { PushSwitch } from "./lib/push_switch.js";
import { Readiness } from "./lib/readiness.js";
import { Ring } from "./lib/ring.js";
import { noteClock } from "./lib/ring_memory.js";
import { RingWishes, ringOver } from "./lib/ring_wishes.js";
import { EyelineSocket } from "./lib/socket.js";
import { Standby } from "./lib/standby.js";
import { TorchButton } from "./lib/torch_button.js";
import { Troubles } from "./lib/troubles.js";
import { hasWord, say, sayOf } from "./lib/words.js";
import { ZoomButtons } from "./lib/zoom_buttons.js";

const TOLD_WITHIN_MS = 2_000;
const THANKS_SHOWN_MS = 12_000;
/** States that a reconnect leaves alone when nothing rings. */
const AT_REST = ["ended", "rest", "ready", "standby", "peace"];

class VolunteerPage {
  #page = new Page();
  #media = new LocalMedia();
  #account = new Account(this.#page, "volunteer");
  #api = this.#account.api;
  #socket = new EyelineSocket({ session: this.#account.session });
  #calls = new Calls({ socket: this.#socket, api: this.#api, media: this.#media, prepare: (view) => this.#prepare(view) });
  #view = new CallView(this.#page, this.#media);
  #readiness = new Readiness(this.#socket, () => this.#isBusy());
  #ring = new Ring(this.#page);
  #troubles = new Troubles(this.#page, this.#account.session);
  #practice = new Practice(this.#page, {
    api: this.#api,
    socket: this.#socket,
    calls: this.#calls,
    media: this.#media,
    view: this.#view,
    asking: "asking_microphone",
    prepare: () => this.#openMicrophone(""),
    leave: (words) => this.#leavePractice(words),
  });
  #languages = new LanguagesEditor(this.#page, this.#api);
  #now = () => this.#socket.serverNow();
  #availability = new Availability(this.#api, this.#now);
  #hours = new HoursEditor(this.#page, this.#availability);
  #peace = new Peace(this.#page, this.#availability, this.#now);
  #standby = new Standby(this.#now);
  #memberships = new Memberships(this.#page, this.#api);
  #link = new LinkWords(this.#page, "requester", () => this.#wordsOfConnected());
  #torch = new TorchButton(this.#page, this.#calls);
  #zoom = new ZoomButtons(this.#page, this.#calls);
  #photo = new PhotoTaker(this.#page);
  #answering = new Answering(this.#api);
  #wishes = new RingWishes();
  #wish = null;
  #missed = null;
  #lastCallId = null;
  #said = "";
  #thanksTimer = null;

  start() {
    expose(this.#socket, this.#calls);
    new OwnPauses(this.#page, this.#media, () => this.#calls.current !== null);
    this.#listenToPerson();
    this.#listenToServer();
    this.#account.on("user", (user) => this.#arrived(user));
    this.#account.on("signed_out", () => this.#reset());
    this.#account.on("trouble", (words) => this.#troubles.show(words));
    this.#media.on("lost", () => this.#openMicrophone());
    new PushSwitch(this.#page, this.#account);
    this.#wishes.begin();
    return this.#account.begin();
  }

  #listenToPerson() {
    const page = this.#page;
    page.onClick("ready", () => this.#switchReady());
    page.onClick("answer", () => this.#answer());
    page.onClick("not-now", () => this.#decline());
    page.onClick("end", () => this.#end());
    page.onClick("not-working", () => this.#end("technical"));
    page.onClick("continue", () => this.#rest());
    page.onClick("avoid", () => this.#avoid());
    page.onClick("use-here", () => this.#socket.useHere());
    page.onClick("end-peace", () => this.#endPeace());
    page.onClick("stay-in-peace", () => this.#rest());
    this.#peace.on("began", () => this.#inPeace());
    this.#peace.on("ended", () => this.#page.state === "rest" && this.#rest(say("peace_over")));
  }

  #listenToServer() {
    const socket = this.#socket;
    socket.on("state", (state, reason) => this.#connection(state, reason));
    socket.on("welcome", (data) => this.#welcome(data));
    socket.on("offer", ({ offer }) => this.#offered(offer));
    socket.on("offer_withdrawn", (data, frame) => this.#withdrawn(data, frame.replayed));
    socket.on("standby", ({ until }) => this.#secondBest(until));
    this.#standby.on("over", () => this.#rest(say(this.#readiness.wanted ? "standby_over_ready" : "standby_over")));
    this.#calls.on("begun", (call) => this.#begun(call));
    this.#calls.on("changed", () => this.#showCall());
    this.#calls.on("over", (view) => this.#callOver(view));
    this.#ring.on("over", () => this.#rest(say("withdrawn_expired")));
    this.#ring.on("ended", (offer) => ringOver(offer));
    this.#wishes.on("wish", (wish, taken) => this.#wished(wish, taken));
  }

  async #arrived(user) {
    this.#languages.show(user.languages);
    this.#socket.start();
    await Promise.all([this.#hours.load(user.time_zone), this.#memberships.load()]);
  }

  #isBusy() {
    return this.#calls.current !== null || this.#answering.offer !== null;
  }

  // Being ready.

  async #switchReady() {
    const ready = !this.#readiness.wanted;
    if (ready && this.#peace.isOn) {
      this.#page.enter("peace", say("peace_or_ready", { until: this.#peace.words }));
      return;
    }
    this.#page.sounds.unlock().catch(() => {});
    if (ready) await this.#tryMicrophone();
    const told = this.#readiness.set(ready);
    if (ready) await Promise.race([told, pause(TOLD_WITHIN_MS)]); // shown as ready when the server knows, or soon after
    if (!this.#isBusy() && !this.#ring.offer) this.#rest();
  }

  /** Nobody is sent to who is in peace, so they cannot be ready in it. */
  async #endPeace() {
    if (await this.#peace.end()) await this.#switchReady();
  }

  #inPeace() {
    if (this.#readiness.wanted) this.#readiness.set(false);
    if (["rest", "ready", "standby"].includes(this.#page.state)) this.#rest();
  }

  /** Asks for the microphone now, not while somebody waits; it is let go at once. */
  async #tryMicrophone() {
    this.#page.status(say("asking_microphone"));
    try {
      await this.#media.openMicrophone();
      this.#page.notice(null);
    } catch ({ kind, reason }) {
      this.#page.notice(say(`${kind}_${reason}`), { urgent: true });
    }
    const wanted = this.#isBusy() && this.#calls.current?.view.mode !== "text";
    if (!wanted) this.#media.close();
  }

  /** Nothing rings and nobody talks: shows the switch, with words for what was before, or for what is. */
  #rest(words = null) {
    clearTimeout(this.#thanksTimer);
    this.#standby.stop();
    const ready = this.#readiness.wanted;
    document.getElementById("ready").setAttribute("aria-checked", String(ready));
    this.#page.stayAwake(ready);
    const usual = this.#peace.isOn && !ready ? this.#peace.words : say(ready ? "ready_on" : "ready_off");
    this.#page.enter(ready ? "ready" : "rest", words ?? usual);
    this.#memberships.offer();
  }

  // Being rung.

  #welcome({ offers, call }) {
    this.#page.networkSettled();
    this.#readiness.tell();
    noteClock(Math.round(this.#socket.serverNow() - Date.now()));
    const [offer] = offers;
    const gone = this.#ring.offer && !offers.some((open) => isSameOffer(open, this.#ring.offer));
    if (gone) this.#ring.end();
    if (call || this.#isBusy()) this.#wish = null;
    else this.#arrange(offer, gone);
    if (this.#wish) this.#fulfil();
  }

  /** The page is as the snapshot says; whoever pressed Answer already is not rung again. */
  #arrange(offer, gone) {
    if (this.#wish?.type === "answer") return;
    if (offer) this.#offered(offer);
    else if (gone) this.#rest(say("withdrawn_request_ended"));
    else if (!AT_REST.includes(this.#page.state)) this.#rest();
  }

  /** `words`: what it comes with, should it come in place of another. */
  #offered(offer, words = null) {
    const answering = this.#answering.offer;
    if (answering && !isSameOffer(offer, answering)) this.#missed = { offer, at: performance.now() }; // rings should we be too late
    if (this.#isBusy() || (this.#ring.offer && isSameOffer(offer, this.#ring.offer))) return;
    clearTimeout(this.#thanksTimer);
    this.#standby.stop();
    this.#ring.start(offer, words);
    this.#practice.giveWay();
  }

  /** The offer that came while another was being answered, should it be open still. */
  #takeMissed() {
    const { offer, at } = this.#missed ?? {};
    this.#missed = null;
    const leftMs = offer ? offer.expires_in_ms - (performance.now() - at) : 0;
    return leftMs > 0 ? { ...offer, expires_in_ms: leftMs } : null;
  }

  /** What was replayed may only give better words to a ring that is over already. */
  #withdrawn({ request_id, epoch, reason }, replayed) {
    if (isSameOffer({ request_id, epoch }, this.#missed?.offer)) this.#missed = null;
    const words = say(hasWord(`withdrawn_${reason}`) ? `withdrawn_${reason}` : "withdrawn_request_ended");
    const rings = this.#ring.offer && isSameOffer({ request_id, epoch }, this.#ring.offer);
    if (rings && !replayed) {
      this.#ring.end();
      this.#rest(words);
    } else if (replayed && this.#ring.isLast(request_id, epoch) && !this.#isBusy()) this.#page.status(words);
  }

  async #answer(offer = this.#ring.offer) {
    if (!offer || this.#isBusy()) return;
    this.#ring.end();
    this.#page.sounds.unlock().catch(() => {});
    this.#missed = null;
    this.#page.enter("connecting", say("answering"));
    const { call, ...instead } = await this.#answering.accept(offer);
    if (call) this.#calls.take(call);
    else if (!this.#calls.current) this.#notAnswered(instead); // else the socket told us, only the reply was lost
  }

  /** Somebody who wanted to help: another person, else a moment's patience, else thanks. Said once. */
  #notAnswered({ second, words, next, standbyUntil }) {
    this.#media.close();
    const offer = next ?? this.#takeMissed();
    if (standbyUntil) this.#standby.hear(standbyUntil);
    if (offer) this.#offered(offer, second ? sayOf(offer.mode, "another") : null);
    else if (!this.#standBy()) this.#rest(words);
  }

  /** By socket, perhaps before the reply to our answer, perhaps instead of it. */
  #secondBest(until) {
    this.#standby.hear(until);
    if (!this.#isBusy() && !this.#ring.offer && ["rest", "ready", "loading"].includes(this.#page.state)) this.#standBy();
  }

  /** Gives whether there is something to stay for. */
  #standBy() {
    if (!this.#standby.begin()) return false;
    this.#page.stayAwake(true);
    this.#page.enter("standby", say("standby"));
    return true;
  }

  #decline(offer = this.#ring.offer) {
    if (!offer) return;
    if (isSameOffer(offer, this.#ring.offer)) {
      this.#ring.end();
      this.#rest(say("declined"));
    }
    this.#answering.decline(offer);
  }

  // What was pressed on a notification.

  #wished(wish, taken) {
    if (wish.type === "not_now") {
      if (!this.#account.user) return;
      taken();
      this.#decline(wish);
      return;
    }
    this.#wish = wish;
    this.#socket.hurry();
    if (this.#socket.state === "online") this.#fulfil();
    else if (this.#socket.reason === "taken_over") this.#socket.useHere();
  }

  /** The server decides whether it can be answered still, and says why not. */
  async #fulfil() {
    const wish = this.#wish;
    this.#wish = null;
    if (wish.type === "answer") await this.#answer(wish);
    else if (!isSameOffer(wish, this.#ring.offer)) await this.#look(wish);
  }

  async #look(wish) {
    const offer = await this.#answering.find(wish);
    if (offer) this.#offered(offer);
    else if (!this.#isBusy() && !this.#ring.offer) this.#rest(say("not_answered_offer_over"));
  }

  // The call.

  /** The microphone follows into the connection when it is there: nobody waits for it. */
  async #prepare(view) {
    if (!this.#practice.prepared(view) && view.mode !== "text") this.#openMicrophone();
  }

  async #openMicrophone(where = "_in_call") {
    try {
      await this.#media.openMicrophone();
    } catch ({ kind, reason }) {
      this.#page.notice(say(`${kind}_${reason}${where}`), { urgent: true });
    }
  }

  #begun(call) {
    this.#answering.offer = null;
    this.#missed = null;
    this.#standby.stop();
    this.#ring.end();
    if (this.#practice.begun(call)) return;
    ringOver(call.view); // it may ring in a notification only
    this.#lastCallId = call.id;
    this.#said = "";
    this.#media.keepFor(call.view.mode);
    this.#view.follow(call);
    for (const camera of [this.#torch, this.#zoom, this.#photo]) camera.follow(call);
    this.#page.stayAwake(true);
    this.#link.follow(call);
  }

  #showCall() {
    const call = this.#calls.current;
    if (!call || isPractice(call.view) || this.#socket.state === "stopped") return;
    const { phase } = call;
    const again = this.#said === "reconnecting";
    if (this.#said === phase) return;
    this.#said = phase;
    if (phase === "connecting") this.#page.enter("connecting", say("answering"));
    else {
      this.#page.enter("in-call", this.#wordsInCall(phase, again));
      if (phase !== "arriving") this.#page.sounds.play(phase === "connected" ? "connected" : "trouble");
    }
  }

  #wordsInCall(phase, again) {
    if (phase === "arriving") return say("answering");
    if (phase === "reconnecting") return say("reconnecting_volunteer");
    return again ? say("connected_again") : this.#wordsOfConnected();
  }

  #wordsOfConnected() {
    return sayOf(this.#calls.current?.view.mode ?? "video", "connected_volunteer");
  }

  /** Before anything was seen, hanging up is leaving: somebody else is found for the person who waits. */
  async #end(reason = null) {
    if (this.#practice.stop()) return;
    const call = this.#calls.current;
    if (!call) return;
    this.#page.status(say("ending"));
    try {
      await call.end(reason ?? (call.view.state === "connecting" ? "left" : "done"));
    } catch (error) {
      const words = say(error instanceof NetworkError ? "no_server" : "not_done");
      this.#page.status(words);
      this.#page.speak(words, { urgent: true });
    }
  }

  #leavePractice(words) {
    this.#media.close();
    this.#readiness.tell();
    this.#rest(words);
  }

  #callOver(view) {
    if (this.#practice.over(view)) return;
    const { end_reason: reason, end_by: by } = view;
    this.#link.stop();
    this.#page.notice(null);
    this.#view.clear();
    this.#media.close();
    this.#page.sounds.play("ended");
    this.#readiness.tell();
    const specific = `over_${reason}_${by}`;
    const general = hasWord(`over_${reason}`) ? `over_${reason}` : "over_done";
    show("avoid", true);
    this.#page.enter("ended", say(hasWord(specific) ? specific : general));
    this.#thanksTimer = setTimeout(() => this.#page.state === "ended" && this.#rest(), THANKS_SHOWN_MS);
  }

  async #avoid() {
    show("avoid", false);
    try {
      await this.#api.post(`/v1/calls/${this.#lastCallId}/avoid`, {}, { repeatable: true });
      this.#rest(say("avoided"));
    } catch {
      show("avoid", true);
      this.#page.speak(say("not_done"), { urgent: true });
    }
  }

  // The connection and the page as a whole.

  #connection(state, reason) {
    if (state === "online") this.#page.online(true);
    else if (state !== "stopped") this.#page.online(false, { talking: () => this.#calls.flows, restsMs: this.#socket.restsMs });
    else this.#stopped(reason);
  }

  #stopped(reason) {
    this.#page.networkSettled();
    this.#ring.stop();
    if (reason === "closed") return;
    this.#practice.forget();
    this.#calls.startAnew();
    this.#view.clear();
    this.#media.close();
    this.#troubles.stopped(reason);
  }

  #reset() {
    this.#readiness.forget();
    this.#peace.forget();
    this.#standby.stop();
    this.#memberships.forget();
    this.#practice.forget();
    this.#socket.stop();
    this.#ring.stop();
    this.#calls.startAnew();
    this.#view.clear();
    this.#media.close();
  }
}

new VolunteerPage().start();
