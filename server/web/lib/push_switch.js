/**
 * The switch "Ring me when this page is closed" (for who asked: "Tell me also ..."): asks for the permission, subscribes,
 * and tells the server.
 *
 * It belongs to one sign-in on this browser and goes with it. Once on it is renewed quietly at each start of the page:
 * subscriptions change, and a server that lost the old one would ring nobody.
 */
import { ApiError } from "./api.js";
import { ringFor, ringNoMoreFor, rung } from "./kept_sessions.js";
import { show } from "./page.js";
import { deviceWith, pushSupport, registerWorker, subscribed, unsubscribe } from "./push.js";
import { hasWord, say } from "./words.js";

/** Where there is nothing to switch, only to know. */
const WORDS_ONLY = new Set(["no_server", "unsupported", "install"]);

export class PushSwitch {
  #page;
  #api;
  #session;
  #words;
  #serverKey = null;
  #registration = null;
  #isOn = false;
  #isBusy = false;
  #button = document.getElementById("push");
  #hint = document.getElementById("push-hint");

  /** `words`: with what the keys of words begin that differ from the volunteer's. */
  constructor(page, account, words = "push") {
    this.#page = page;
    this.#words = words;
    this.#api = account.api;
    this.#session = account.session;
    page.onClick("push", () => this.#press());
    account.on("user", () => this.#begin());
    account.on("signed_out", () => this.#end());
  }

  /** What it says of itself. */
  get hint() {
    return this.#hint.textContent;
  }

  async #begin() {
    try {
      const { key } = await this.#api.get("/v1/push/key");
      this.#serverKey = key;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) this.#show("no_server");
      else console.info("nothing is known of pushes:", error.message);
      return;
    }
    const support = pushSupport();
    if (support !== "yes") this.#show(support === "install" ? "install" : "unsupported");
    else await this.#continue();
  }

  /** As it was when the page was closed. */
  async #continue() {
    try {
      this.#registration = await registerWorker();
    } catch (error) {
      console.info("no service worker:", error.message);
      this.#show("unsupported");
      return;
    }
    const isWanted = (await rung())?.key === this.#session.key;
    if (Notification.permission === "denied") this.#show("denied");
    else if (!isWanted || Notification.permission !== "granted") this.#show("off");
    else await this.#renew();
  }

  async #renew() {
    try {
      await this.#subscribe();
      this.#show("on");
    } catch (error) {
      console.info("not renewed:", error.message);
      this.#show("failed");
    }
  }

  async #press() {
    if (this.#isBusy) return;
    this.#isBusy = true;
    const state = this.#isOn ? await this.#switchOff() : await this.#switchOn();
    this.#isBusy = false;
    this.#show(state);
    this.#page.speak(this.#hint.textContent, { urgent: ["denied", "failed", "not_off"].includes(state) });
  }

  async #switchOn() {
    this.#show("asking");
    this.#page.speak(this.#hint.textContent);
    try {
      const permission = await Notification.requestPermission();
      if (permission !== "granted") return permission === "denied" ? "denied" : "off";
      await this.#subscribe();
      return "on";
    } catch (error) {
      console.info("not switched on:", error.message);
      return "failed";
    }
  }

  async #subscribe() {
    const subscription = await subscribed(this.#registration, this.#serverKey);
    await this.#tell(subscription);
    const page = location.pathname + location.search;
    await ringFor({ key: this.#session.key, page, serverKey: this.#serverKey });
  }

  /** One of the two is enough: the server sends nothing, or what it sends goes nowhere. */
  async #switchOff() {
    const done = await Promise.allSettled([this.#tell(null), unsubscribe(this.#registration)]);
    if (done.every(({ status }) => status === "rejected")) return "not_off";
    await ringNoMoreFor(this.#session.key).catch(() => {});
    return "off";
  }

  #tell(subscription) {
    return this.#api.put(`/v1/me/devices/${this.#session.deviceId}`, deviceWith(subscription));
  }

  /** Signed out: the server forgot this device's address with the session. */
  async #end() {
    this.#isOn = false;
    const registration = this.#registration;
    try {
      if (await ringNoMoreFor(this.#session.key)) await unsubscribe(registration);
    } catch (error) {
      console.info("the subscription stays, of use to nobody:", error.message);
    }
  }

  #show(state) {
    if (state !== "asking") this.#isOn = state === "on" || state === "not_off";
    this.#button.setAttribute("aria-checked", String(this.#isOn));
    this.#hint.textContent = say(hasWord(`${this.#words}_${state}`) ? `${this.#words}_${state}` : `push_${state}`);
    show("push", !WORDS_ONLY.has(state));
    show("push-hint", true);
  }
}
