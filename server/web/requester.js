/** The requester's page: one button, and true words about what happens after it. */
import { Account } from "./lib/account.js";
import { ApiError, NetworkError } from "./lib/api.js";
import { Asking } from "./lib/asking.js";
import { Calls } from "./lib/calls.js";
import { CallView } from "./lib/call_view.js";
import { CameraWishes } from "./lib/camera_wishes.js";
import { expose } from "./lib/expose.js";
import { GroupsEditor } from "./lib/groups_editor.js";
import { LinkWords } from "./lib/link_words.js";
import { LocalMedia } from "./lib/local_media.js";
import { NobodyCame } from "./lib/nobody_came.js";
import { OwnPauses } from "./lib/own_pauses.js";
import { Page, show } from "./lib/page.js";
import { PhotoGiver } from "./lib/photo_giver.js";
import { PushSwitch } from "./lib/push_switch.js";
import { Practice } from "./lib/practice.js";
import { isNewer } from "./lib/request_order.js";
import { RingWishes } from "./lib/ring_wishes.js";
import { SamePerson } from "./lib/same_person.js";
import { EyelineSocket } from "./lib/socket.js";
import { Troubles } from "./lib/troubles.js";
import { Trusted } from "./lib/trusted.js";
import { Waiting } from "./lib/waiting.js";
import { closedWords, Whom } from "./lib/whom.js";
import { say, sayOf } from "./lib/words.js";

const BACK_TO_REST_MS = 6000;
/** Where a page is that has nothing to say yet, or no more. */
const BLANK = ["loading", "signed-out", "problem"];
/** After these nobody wants to meet the same person again. */
const BAD_ENDS = ["reported", "suspended"];

class RequesterPage {
  #page = new Page();
  #media = new LocalMedia();
  #account = new Account(this.#page, "requester");
  #api = this.#account.api;
  #socket = new EyelineSocket({ session: this.#account.session });
  #calls = new Calls({ socket: this.#socket, api: this.#api, media: this.#media, prepare: (view) => this.#prepare(view) });
  #view = new CallView(this.#page, this.#media);
  #practice = new Practice(this.#page, {
    api: this.#api,
    socket: this.#socket,
    calls: this.#calls,
    media: this.#media,
    view: this.#view,
    asking: "asking_permission",
    prepare: () => this.#prepare({ mode: "video" }),
    leave: (words) => this.#rest(words),
  });
  #waiting = new Waiting(this.#page);
  #troubles = new Troubles(this.#page, this.#account.session);
  #link = new LinkWords(this.#page, "volunteer", () => this.#wordsInCall("connected", false));
  #cameraWishes = new CameraWishes(this.#page, this.#media, new PhotoGiver(this.#page, this.#media));
  #request = null;
  #asking = new Asking(this.#api, this.#media);
  #trusted = new Trusted(this.#api);
  #whom = new Whom(this.#trusted);
  #groups = new GroupsEditor(this.#page, this.#trusted);
  #nobodyCame = new NobodyCame(this.#page, {
    api: this.#api,
    push: new PushSwitch(this.#page, this.#account, "tell_push"),
    isOpen: () => this.#isOpen(),
    clear: () => this.#practice.giveWay(),
    now: () => this.#socket.serverNow(),
  });
  #samePerson = new SamePerson();
  #wishes = new RingWishes();
  #like = null;
  #lastCallId = null;
  #lastEnd = null;
  #restTimer = null;
  #said = "";

  start() {
    expose(this.#socket, this.#calls);
    new OwnPauses(this.#page, this.#media, () => this.#calls.current !== null);
    this.#listenToPerson();
    this.#listenToAsking();
    this.#listenToServer();
    this.#account.on("user", (user) => this.#arrived(user));
    this.#account.on("signed_out", () => this.#reset());
    this.#account.on("trouble", (words) => this.#troubles.show(words));
    this.#media.on("lost", (kind) => this.#reopen(kind));
    this.#wishes.begin();
    return this.#account.begin();
  }

  #arrived(user) {
    this.#whom.of(user.id);
    this.#nobodyCame.of(user.id);
    this.#trusted.load();
    this.#socket.start();
  }

  #listenToPerson() {
    const page = this.#page;
    page.onClick("help", () => this.#help());
    page.onClick("by-voice", () => this.#help("voice"));
    page.onClick("in-writing", () => this.#help("text"));
    page.onClick("same-person", () => this.#askSamePerson());
    page.onClick("retry", () => this.#retry());
    page.onClick("voice-only", () => this.#voiceOnly());
    page.onClick("cancel", () => this.#cancel());
    page.onClick("give-up", () => this.#cancel());
    page.onClick("end", () => this.#end("done"));
    page.onClick("not-working", () => this.#end("technical"));
    page.onClick("use-here", () => this.#useHere());
    page.onClick("move-here", () => this.#moveHere());
    page.onClick("avoid", () => this.#avoid());
  }

  #listenToServer() {
    const socket = this.#socket;
    socket.on("state", (state, reason) => this.#connection(state, reason));
    socket.on("welcome", (data) => this.#welcome(data));
    socket.on("request", ({ request }) => this.#take(request));
    socket.on("progress", (data) => data.request_id === this.#request?.id && this.#waiting.progress(data));
    socket.on("someone_free", (data) => this.#nobodyCame.told(data));
    this.#nobodyCame.on("help", (words, request) => this.#offerHelp(words, request));
    this.#nobodyCame.on("failed", (error) => this.#notDone(error));
    this.#wishes.on("wish", ({ type, request_id: id }) => {
      if (type === "free") this.#nobodyCame.pressed(id, { online: socket.state === "online" });
    });
    this.#calls.on("begun", (call) => this.#begun(call));
    this.#calls.on("changed", () => this.#show());
    this.#calls.on("over", (view) => this.#callOver(view));
  }

  // Asking.

  #listenToAsking() {
    const asking = this.#asking;
    asking.on("asking", () => this.#page.enter("asking-permission", say("asking_permission"), { quiet: true }));
    asking.on("sending", () => this.#page.enter("sending", say("connecting_server")));
    asking.on("slow", () => this.#page.speak(say("asking_permission")));
    asking.on("silent", (problem) => this.#page.notice(problem ? say("no_microphone_continue") : null));
    asking.on("asked", (request) => this.#take(request));
    asking.on("no_media", (problem) => this.#mediaProblem(problem));
    asking.on("refused", (error) => this.#notAsked(error));
  }

  /** `like`: an earlier request, to be made once more. */
  #help(mode = null, like = this.#like, more = {}) {
    clearTimeout(this.#restTimer);
    this.#page.sounds.unlock().catch(() => {}); // silence is no reason not to ask
    const same = like ? { languages: like.languages, ...(like.topic && { topic: like.topic }) } : {};
    this.#asking.begin(mode ?? like?.mode ?? "video", { ...this.#whom.wish, ...same, ...more });
  }

  /** The same wish, without the camera that is missing. */
  #voiceOnly() {
    this.#page.sounds.unlock().catch(() => {});
    this.#asking.begin("voice", this.#asking.wish);
  }

  /** Who that was the server knows; after them it asks as usual. */
  #askSamePerson() {
    const { callId } = this.#samePerson;
    if (callId) this.#help(null, this.#request, { same_as_call_id: callId });
  }

  async #retry() {
    this.#page.sounds.unlock().catch(() => {});
    if (!this.#isOpen()) this.#asking.again();
    else if (await this.#asking.openMedia()) this.#show();
  }

  #mediaProblem({ kind, reason }) {
    const actions = kind === "camera" && reason !== "insecure" ? ["retry", "voice-only"] : ["retry"];
    if (this.#isOpen()) actions.push("give-up");
    this.#troubles.show(say(`${kind}_${reason}`), actions);
  }

  #notAsked(error) {
    this.#media.close();
    if (error.code === "desk_closed") this.#notThere(closedWords(error.details.opens_at));
    else if (error.code === "not_found") this.#gone();
    else this.#troubles.show(whyNotAsked(error), ["retry"]);
  }

  /** The group was dissolved, or the desk retired; strangers are asked by nobody else's choice. */
  #gone() {
    const { name } = this.#whom;
    this.#whom.anybody();
    this.#notThere(say("whom_gone", { name }));
  }

  #notThere(words) {
    this.#trusted.load();
    this.#page.enter("rest", words, { urgent: true });
  }

  // What the server says of the request.

  #isOpen() {
    return this.#request !== null && this.#request.state !== "ended";
  }

  #welcome({ request, call, resumed }) {
    this.#page.networkSettled();
    if (!call && ["connecting", "in_call"].includes(request?.state)) return this.#elsewhere(request);
    if (request) this.#take(request);
    else if (this.#isOpen()) this.#missedEnd();
    else if (BLANK.includes(this.#page.state)) this.#rest();
    if (this.#isOpen() && this.#asking.mode === "video" && !this.#media.video) this.#reopen("video");
    if (!this.#isOpen() && !request) this.#nobodyCame.arrived({ resumed });
    return undefined;
  }

  /** The call belongs to another session of this person: it can be brought here, or left where it is. */
  #elsewhere(request) {
    this.#request = request;
    this.#asking.mode = request.mode;
    this.#waiting.stop();
    this.#troubles.show(say("elsewhere"), ["move-here"]);
  }

  async #moveHere() {
    this.#page.sounds.unlock().catch(() => {});
    this.#page.status(say("connecting_server"));
    try {
      const { call } = await this.#api.post(`/v1/calls/${this.#request.call_id}/take`, {}, { repeatable: true });
      this.#calls.take(call);
    } catch (error) {
      this.#notDone(error);
    }
  }

  /** It ended while we were away: ask how. */
  async #missedEnd() {
    try {
      const { request } = await this.#api.get(`/v1/requests/${this.#request.id}`);
      this.#take(request);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) this.#rest();
    }
  }

  #take(request) {
    if (!isNewer(request, this.#request)) return;
    const before = this.#request;
    this.#request = request;
    this.#asking.mode = request.mode;
    this.#media.keepFor(request.mode);
    if (request.state === "ended") {
      this.#outcome(request);
      return;
    }
    this.#nobodyCame.asked();
    if (request.state === "waiting") this.#calls.drop();
    if (request.state === "waiting" && before?.id === request.id && before.epoch < request.epoch) this.#waiting.goingBack();
    this.#show();
  }

  /** One place decides what an open request looks like; everything that changes calls it. */
  #show() {
    const call = this.#calls.current;
    if (!this.#isOpen() || this.#socket.state === "stopped") return;
    this.#page.stayAwake(true);
    if (this.#request.state === "waiting" && !call) this.#showWaiting();
    else if ((call?.phase ?? "connecting") === "connecting") this.#showConnecting(call);
    else this.#showCall(call);
  }

  #showWaiting() {
    this.#said = "";
    this.#page.enter("waiting");
    this.#waiting.show(this.#request, this.#socket.serverNow());
  }

  #showConnecting(call) {
    this.#waiting.stop();
    const was = this.#page.state;
    const about = call ? `${call.id}.connecting` : this.#request.call_id;
    if (this.#sayOnce("connecting", about, say("someone_answered")) && was === "waiting") {
      this.#page.sounds.play("connected");
    }
  }

  #showCall(call) {
    this.#waiting.stop();
    const { phase } = call;
    const again = this.#said === `${call.id}.reconnecting`;
    if (this.#sayOnce("in-call", `${call.id}.${phase}`, this.#wordsInCall(phase, again)) && phase !== "arriving") {
      this.#page.sounds.play(phase === "connected" ? "connected" : "trouble");
    }
  }

  #wordsInCall(phase, again) {
    if (phase === "arriving") return say("connecting_server");
    if (phase === "reconnecting") return say("reconnecting");
    if (again) return say("connected_again");
    if (this.#asking.mode === "text") return say("connected_text");
    const paused = this.#asking.mode === "video" && this.#media.pauses.byUser; // since a call before, perhaps
    if (paused) return `${say("connected_voice")} ${say("video_paused")}`;
    return say(this.#asking.mode === "video" && this.#media.outgoing("video") ? "connected_requester" : "connected_voice");
  }

  #sayOnce(state, about, words) {
    if (this.#said === about && this.#page.state === state) return false;
    this.#said = about;
    this.#page.enter(state, words);
    return true;
  }

  #outcome(request) {
    this.#asking.settled();
    this.#waiting.stop();
    this.#calls.drop();
    this.#media.close();
    this.#page.stayAwake(false);
    this.#page.sounds.play("ended");
    this.#trusted.load(); // who may have joined meanwhile, and which desks are open now
    const { outcome, call_id: callId } = request;
    const helped = outcome === "completed" && this.#lastCallId !== null;
    const again = outcome === "expired" || outcome === "failed";
    show("avoid", helped);
    this.#offerHelp(again ? "try_again" : "need_help", again ? request : null);
    if (again && !callId) this.#nobodyCame.to(request);
    else this.#ended(outcome, helped && !BAD_ENDS.includes(this.#lastEnd));
    if (!again) this.#restTimer = setTimeout(() => this.#page.state === "ended" && this.#page.enter("rest"), BACK_TO_REST_MS);
  }

  #ended(outcome, andAgain) {
    if (andAgain) this.#samePerson.offer(this.#lastCallId);
    const more = andAgain ? ` ${say("same_person_hint")}` : "";
    this.#page.enter("ended", `${say(`outcome_${outcome}`)}${more}`);
  }

  /** What the great button says, and which request it makes once more. */
  #offerHelp(words, like = null) {
    this.#like = like;
    document.getElementById("help").textContent = say(words);
    document.getElementById("help-hint").textContent = sayOf(like?.mode ?? "video", "help_hint");
  }

  // The call.

  /** The camera must be there before the connection is offered; without it one can still talk. */
  async #prepare(view) {
    if (this.#practice.prepared(view)) return;
    try {
      if (view.mode === "video") await this.#media.openCamera();
      if (view.mode === "voice") await this.#media.openMicrophone();
    } catch ({ kind, reason }) {
      this.#page.notice(say(`${kind}_${reason}`), { urgent: true });
      if (kind === "camera") await this.#media.openMicrophone().catch((problem) => console.info(problem.message));
    }
  }

  #begun(call) {
    if (this.#practice.begun(call)) return;
    this.#lastCallId = call.id;
    this.#view.follow(call);
    this.#link.follow(call);
    this.#cameraWishes.follow(call);
  }

  async #end(reason) {
    if (this.#practice.stop()) return;
    const call = this.#calls.current;
    if (!call) return;
    this.#page.status(say(reason === "done" ? "ending" : "finding_another"));
    try {
      await call.end(reason);
    } catch (error) {
      this.#notDone(error);
    }
  }

  async #cancel() {
    if (!this.#isOpen()) {
      this.#rest();
      return;
    }
    this.#waiting.stop();
    this.#page.status(say("cancelling"));
    try {
      const { request } = await this.#api.post(`/v1/requests/${this.#request.id}/cancel`, {}, { repeatable: true });
      this.#take(request);
    } catch (error) {
      this.#notDone(error);
      this.#show();
    }
  }

  #notDone(error) {
    const words = say(error instanceof NetworkError ? "no_server" : "not_done");
    this.#page.status(words);
    this.#page.speak(words, { urgent: true });
  }

  #callOver(view) {
    if (this.#practice.over(view)) return;
    this.#lastEnd = view.end_reason;
    this.#link.stop();
    this.#page.notice(null);
    this.#view.clear();
    if (view.end_reason !== "moved") return;
    this.#media.close();
    this.#troubles.show(say("moved"), ["move-here"]);
  }

  async #avoid() {
    show("avoid", false);
    this.#samePerson.forget();
    try {
      await this.#api.post(`/v1/calls/${this.#lastCallId}/avoid`, {}, { repeatable: true });
      this.#page.status(say("avoided"));
      this.#page.speak(say("avoided"));
    } catch (error) {
      show("avoid", true);
      this.#notDone(error);
    }
  }

  async #reopen(kind) {
    try {
      if (kind === "video") await this.#media.openCamera();
      else await this.#media.openMicrophone();
    } catch (problem) {
      const words = say(`${problem.kind}_${problem.reason}`);
      if (this.#calls.current) this.#page.notice(words, { urgent: true });
      else if (this.#isOpen()) this.#mediaProblem(problem);
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
    if (reason === "closed") return;
    this.#practice.forget();
    this.#waiting.stop();
    this.#calls.startAnew();
    this.#view.clear();
    this.#media.close();
    this.#troubles.stopped(reason);
  }

  #useHere() {
    this.#page.status(say("connecting_server"));
    if (this.#socket.state === "stopped") this.#socket.useHere();
    else this.#rest();
  }

  #rest(words = say("rest_requester")) {
    this.#request = null;
    this.#media.close();
    this.#page.stayAwake(false);
    show("avoid", false);
    this.#offerHelp("need_help");
    this.#page.enter("rest", words);
  }

  #reset() {
    this.#socket.stop();
    this.#calls.startAnew();
    this.#waiting.stop();
    this.#view.clear();
    this.#media.close();
    this.#groups.forget();
    this.#trusted.forget();
    this.#samePerson.forget();
    this.#nobodyCame.signedOut();
    this.#practice.forget();
    this.#request = null;
  }
}

function whyNotAsked(error) {
  if (error instanceof NetworkError) return say("no_server");
  if (error.code === "suspended") return say("suspended");
  if (error.code === "already_in_call") return say("already_in_call");
  if (error.status === 429) return say("too_fast");
  if (error.status === 503) return say("unavailable");
  return say("not_asked");
}

new RequesterPage().start();
