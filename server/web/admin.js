/** The admin's live page: the queue as the server pushes it each second, or, without the feed, as it is asked for. */
import { Account } from "./lib/account.js";
import { ApiError } from "./lib/api.js";
import { expose } from "./lib/expose.js";
import { Page } from "./lib/page.js";
import { EyelineSocket } from "./lib/socket.js";
import { duration, languageName, locale, say } from "./lib/words.js";

const ASK_EVERY_MS = 3000;

class AdminPage {
  #page = new Page();
  #account = new Account(this.#page, "admin");
  #feed = new EyelineSocket({ session: this.#account.session, path: "/v1/admin/ws", feed: true });
  #pause = document.getElementById("pause");
  #asking = null;

  start() {
    expose(this.#feed);
    this.#account.on("user", () => this.#begin());
    this.#account.on("signed_out", () => this.#stop());
    this.#account.on("trouble", (words) => this.#problem(words));
    this.#feed.on("queue", (queue) => this.#show(queue));
    this.#feed.on("state", (state, reason) => this.#connection(state, reason));
    this.#page.onClick("retry", () => this.#begin());
    this.#pause.addEventListener("change", () => {
      const key = this.#pause.checked ? "admin_paused" : "admin_live";
      this.#page.speak(say(key, { time: time(new Date()) }));
    });
    return this.#account.begin();
  }

  /** One answer by HTTP first: it says at once, and in plain words, whether this person may see the figures. */
  async #begin() {
    this.#page.status(say("admin_loading"));
    if (await this.#ask()) this.#feed.start();
  }

  /** Gives whether the figures may be seen. */
  async #ask() {
    try {
      this.#show(await this.#account.api.get("/v1/admin/queue"));
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) this.#problem(say("admin_forbidden"));
      else if (error instanceof ApiError && error.status === 401) this.#account.session.signOut();
      else if (this.#page.state !== "live") this.#problem(say("no_server"));
      return false;
    }
  }

  #connection(state, reason) {
    if (state === "online") {
      clearInterval(this.#asking);
      this.#asking = null;
    } else if (state !== "stopped") this.#asking ??= setInterval(() => this.#ask(), ASK_EVERY_MS);
    else this.#stopped(reason);
    this.#page.online(state === "online" || state === "stopped");
  }

  #stopped(reason) {
    clearInterval(this.#asking);
    this.#asking = null;
    if (reason === "suspended") this.#problem(say("suspended"));
    else if (reason === "signed_out") this.#account.session.signOut();
    else if (reason !== "closed") this.#problem(say("connection_refused"));
  }

  #stop() {
    this.#feed.stop();
  }

  #problem(words) {
    this.#page.enter("problem", words, { urgent: true });
  }

  /** Figures change silently: a live region would talk without end, and the person can pause them to read. */
  #show(queue) {
    if (this.#pause.checked && this.#page.state === "live") return;
    const asOf = say("admin_live", { time: time(new Date(queue.now)) });
    this.#page.enter("live", this.#asking ? `${asOf} ${say("admin_stale")}` : asOf, { quiet: true });
    const { p50_s: p50, p95_s: p95, count } = queue.answer_time;
    put("offers-open", queue.offers_open);
    put("calls-connecting", queue.calls_connecting);
    put("calls-live", queue.calls_live);
    put("answer-p50", seconds(p50));
    put("answer-p95", seconds(p95));
    put("answers-counted", say("answers_counted", { count }));
    fill("waiting", queue.waiting, "nobody_waits", (row) => [row.language, row.count, duration(row.oldest_wait_s)]);
    const nobody = queue.volunteers_known ? "no_volunteers" : "volunteers_unknown";
    fill("volunteers", queue.volunteers, nobody, (row) => [row.language, row.hot, row.reachable]);
  }
}

function time(moment) {
  return moment.toLocaleTimeString(locale);
}

function seconds(value) {
  if (value === null || value === undefined) return say("none");
  return new Intl.NumberFormat(locale, { style: "unit", unit: "second", maximumFractionDigits: 1 }).format(value);
}

function put(id, value) {
  const text = typeof value === "number" ? value.toLocaleString(locale) : value;
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text; // untouched cells keep a reader's place
}

/** `cells(row)` gives [language, figure, figure]. */
function fill(id, rows, emptyKey, cells) {
  const body = document.getElementById(id);
  if (!rows.length) {
    body.replaceChildren(line([say(emptyKey)], 3));
    return;
  }
  const lines = rows.map((row) => {
    const [language, ...figures] = cells(row);
    return line([languageName(language), ...figures.map((figure) => figure.toLocaleString(locale))]);
  });
  body.replaceChildren(...lines);
}

function line(texts, span = 1) {
  const row = document.createElement("tr");
  texts.forEach((text, index) => {
    const cell = document.createElement(index === 0 && span === 1 ? "th" : "td");
    if (index === 0 && span === 1) cell.scope = "row";
    cell.colSpan = span;
    cell.textContent = text;
    row.append(cell);
  });
  return row;
}

new AdminPage().start();
