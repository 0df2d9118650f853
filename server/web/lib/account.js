/**
 * Who uses this page: the sign-in form (development provider), the session between page loads, and the person's role.
 *
 * `?as=name` signs in by itself under that name. The first sign-in of a name tells the server its role, languages and
 * time zone, as the browser knows them.
 */
import { Api, ApiError, NetworkError } from "./api.js";
import { pause } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { Session } from "./session.js";
import { say } from "./words.js";

const AGAIN_MS = 2000;
const LANGUAGES_AT_MOST = 5;

/** Events: `user` (the person, signed in and in their role), `signed_out`, `trouble` (sentence). */
export class Account extends Emitter {
  user = null;
  #page;
  #role;
  #as = new URLSearchParams(location.search).get("as");
  #name = document.getElementById("name");

  /** `role` is the page's: requester, volunteer or admin (which is no role of a person). */
  constructor(page, role) {
    super();
    this.#page = page;
    this.#role = role;
    this.session = new Session(role, { as: this.#as });
    this.api = new Api(this.session);
    this.#name.value = this.#as ?? role;
    document.getElementById("sign-in-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#signIn(this.#name.value.trim());
    });
    document.getElementById("sign-out").addEventListener("click", () => this.session.signOut());
    this.session.on("ended", () => this.#ended());
  }

  /** Continues a kept session, or signs in as the address says, or shows the form. */
  async begin() {
    await this.session.settle();
    if (this.session.signedIn && (await this.#resume())) return;
    if (this.#as) await this.#signIn(this.#as);
    else this.#page.enter("signed-out", say("signed_out"), { quiet: true });
  }

  /** Gives whether the kept session still stands. */
  async #resume() {
    for (;;) {
      try {
        const user = await this.api.get("/v1/me");
        await this.#arrive(user.user ?? user);
        return true;
      } catch (error) {
        if (error instanceof ApiError && error.status < 500) return this.#refused(error);
        this.#page.online(false);
        await pause(AGAIN_MS);
      }
    }
  }

  #refused(error) {
    if (error.status === 403) {
      this.emit("trouble", say("suspended"));
      return true;
    }
    return false;
  }

  async #signIn(name) {
    if (!name) {
      this.#name.focus();
      return;
    }
    this.#page.status(say("signing_in"));
    try {
      await this.#arrive(await this.session.signIn(name));
    } catch (error) {
      this.#page.enter("signed-out", whySignInFailed(error), { urgent: true });
    }
  }

  async #arrive(user) {
    this.#page.networkSettled();
    this.user = await this.#inRole(user);
    if (!this.user) return;
    document.getElementById("sign-out").hidden = false;
    this.emit("user", this.user);
  }

  async #inRole(user) {
    if (this.#role === "admin" || user.role === this.#role) return user;
    if (user.role !== null) {
      await this.session.signOut();
      this.#page.enter("signed-out", say(`other_role_${user.role}`), { urgent: true });
      return null;
    }
    const reply = await this.api.patch("/v1/me", {
      role: this.#role,
      languages: browserLanguages(),
      time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC",
    });
    return reply.user ?? reply;
  }

  #ended() {
    document.getElementById("sign-out").hidden = true;
    this.user = null;
    this.emit("signed_out");
    this.#page.enter("signed-out", say("signed_out"));
  }
}

/** The languages the browser asks pages for, most wanted first; "en" when it names none. */
function browserLanguages() {
  const tags = [...new Set(navigator.languages.map((tag) => new Intl.Locale(tag).toString()))];
  return tags.length ? tags.slice(0, LANGUAGES_AT_MOST) : ["en"];
}

function whySignInFailed(error) {
  if (error instanceof NetworkError) return say("no_server");
  if (error instanceof ApiError && error.status === 403) return say("suspended");
  if (error instanceof ApiError && error.status === 429) return say("too_fast");
  return say("sign_in_failed");
}
