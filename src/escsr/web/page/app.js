// The page of `escsr serve`: pictures go to the API of the same server, and nowhere else.

import "./before-after.js";
import { zipped } from "./zip.js";

const $ = (id) => document.getElementById(id);
const FOLLOWED = 2; // Event streams at once: browsers open six connections to a server, other tabs need some.
const RETRY_MS = 2000;
const MOST_BROKEN = 5; // Tries to fetch a result over connections that break.
const MOST_ZIP = 0xffff0000;
const SIDES = { scale: "times the picture's sides", width: "pixels", height: "pixels", longest: "pixels" };

/** @type {Item[]} */
let items = [];
let about = null;
let isGone = false;

// ---------------------------------------------------------------------------------------------- the server

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Asks the server; raises a Refusal with its sentence, or a TypeError where it cannot be reached. */
async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    lost();
    throw error;
  }
  if (answer.ok) return answer;
  if (answer.status === 401) unlock();
  throw new Refusal(answer.status, await sentenceOf(answer.text()));
}

async function sentenceOf(text) {
  try {
    return JSON.parse(await text).error;
  } catch {
    return "The server gave no reason.";
  }
}

/** Uploads a picture with its settings; fetch tells nothing of an upload's progress, so this is older. */
function upload(item) {
  return new Promise((resolve, reject) => {
    const request = (item.request = new XMLHttpRequest());
    const form = new FormData();
    for (const [name, value] of Object.entries(item.settings)) form.append(name, value);
    form.append("file", item.file, item.file.name);
    request.upload.onprogress = (event) => item.show("sending", { progress: event.loaded / event.total });
    request.onload = async () => {
      if (request.status === 202) return resolve(JSON.parse(request.responseText));
      if (request.status === 401) unlock();
      reject(new Refusal(request.status, await sentenceOf(request.responseText)));
    };
    request.onerror = () => reject(new TypeError("The server cannot be reached."));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.open("POST", "/jobs");
    request.send(form);
  });
}

/** Says that the server is gone and waits for it; pictures that it forgot meanwhile can be sent again. */
async function lost() {
  if (isGone) return;
  isGone = true;
  $("gone").hidden = false;
  do await pause(RETRY_MS);
  while (!(await fetch("/health").then((answer) => answer.ok, () => false)));
  isGone = false;
  $("gone").hidden = true;
  say("The server answers again.");
  if (about === null) await begin();
  for (const item of items.filter((each) => each.id !== null)) await item.look();
  work();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ------------------------------------------------------------------------------------------------ pictures

/** A picture on the page: its file, its settings, its job, its result. */
class Item {
  constructor(file) {
    this.file = file;
    this.id = null;
    this.state = "ready";
    this.settings = null;
    this.result = null;
    this.fetching = null; // Job whose result is on its way.
    this.broken = 0; // How often it broke off.
    this.name = file.name;
    this.row = $("picture").content.firstElementChild.cloneNode(true);
    this.part = (name) => this.row.querySelector(`.${name}`);
    this.part("name").textContent = file.name;
    this.part("name").title = file.name;
    this.part("compare").onclick = () => openViewer(this);
    this.part("download").onclick = () => (this.result.isSaved = true);
    this.part("again").onclick = () => {
      if (!$("settings").reportValidity() || !mayLose([this], "Upscale again")) return;
      this.queue();
      this.part("remove").focus(); // since this button goes
    };
    this.part("remove").onclick = () => {
      if (this.isUnderWay) this.cancel();
      else if (mayLose([this], "Remove")) this.remove();
    };
    this.url = URL.createObjectURL(file);
    const image = this.row.querySelector("img");
    image.onload = () => {
      this.size ??= [image.naturalWidth, image.naturalHeight];
      this.show(this.state, this.told);
    };
    image.onerror = () => image.replaceWith((file.name.split(".").pop() || "?").slice(0, 4).toUpperCase());
    image.src = this.url;
    $("list").append(this.row);
    this.show("ready");
  }

  /** Puts it, with the settings as they are now, at the end of what is to be sent. */
  queue() {
    this.forget();
    this.settings = currentSettings();
    this.show("queued");
    work();
  }

  async send() {
    this.show("sending", { progress: 0 });
    try {
      const status = await upload(this);
      if (!items.includes(this)) return void fetch(`/jobs/${status.id}`, { method: "DELETE" });
      this.take(status);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refusal)) return this.unsent();
      if (error.status === 401) return this.show("queued");
      if (error.status !== 429) return this.show("failed", { error: error.message });
      this.show("queued");
      await pause(RETRY_MS);
    }
  }

  /** After an upload that broke off: either the server cannot be reached, or the file cannot be read. */
  async unsent() {
    const canRead = await this.file.slice(0, 1).arrayBuffer().then(() => true, () => false);
    if (this.state !== "sending") return; // cancelled meanwhile
    if (canRead) return this.show("queued"), lost();
    this.show("failed", {
      error: "It cannot be read: it was changed, moved or deleted after it was added, or is a folder. Add the picture anew.",
    });
  }

  /** Takes in what the server says of the job. */
  take(status) {
    this.id = status.id;
    this.size = status.size;
    this.outSize = status.out_size;
    this.name = status.result_name;
    this.show(status.state, status);
    if (status.state === "done") this.fetchResult(status);
    if (["done", "failed", "cancelled"].includes(status.state)) this.unfollow();
  }

  /** Follows the job by its event stream. */
  follow() {
    this.stream = new EventSource(`/jobs/${this.id}/events`);
    this.stream.addEventListener("status", (event) => {
      this.take(JSON.parse(event.data));
      work();
    });
    const { stream } = this;
    stream.onerror = async () => {
      stream.close();
      await pause(RETRY_MS); // or a server that refuses streams would be asked without end
      if (this.stream !== stream) return;
      this.unfollow();
      this.look();
    };
  }

  unfollow() {
    this.stream?.close();
    this.stream = null;
  }

  /** Asks once how far the job is. */
  async look() {
    const id = this.id;
    if (id === null || this.result !== null) return;
    try {
      const status = await (await ask(`/jobs/${id}`)).json();
      if (this.id !== id) return;
      this.take(status);
      work();
    } catch (error) {
      if (error.status === 404 && this.id === id) {
        this.id = null;
        this.show("failed", { error: "The server does not know this picture any more; send it again." });
        work();
      } else if (error.status === 429 || error.status >= 500) {
        await pause(RETRY_MS);
        if (this.id === id && !isGone) this.look();
      }
    }
  }

  /** Fetches the result, which then lives in the browser, and lets the server delete it. */
  async fetchResult(status) {
    const id = this.id;
    if (this.result !== null || this.fetching === id) return;
    this.fetching = id;
    try {
      const blob = await (await ask(`/jobs/${id}/result`)).blob();
      if (this.id !== id) return; // sent again, or removed
      if (blob.size !== status.result_bytes) throw new TypeError("The result is cut off.");
      this.result = { blob, url: URL.createObjectURL(blob), status, isSaved: false };
      fetch(`/jobs/${id}`, { method: "DELETE" }).catch(() => {});
      this.id = null;
      await this.showResult();
    } catch (error) {
      if (this.id !== id) return;
      if (error instanceof Refusal) {
        this.show("failed", { error: error.message });
        return void work();
      }
      this.fetching = null;
      await this.fetchAgain(id);
    } finally {
      if (this.fetching === id) this.fetching = null;
    }
  }

  /** Looks again a while after the connection broke; a server that is gone is waited for by `lost`. */
  async fetchAgain(id) {
    await pause(RETRY_MS);
    if (this.id !== id || isGone) return;
    if (++this.broken < MOST_BROKEN) return this.look();
    this.show("failed", { error: "The result did not arrive." });
    work();
  }

  async showResult() {
    const { result } = this;
    const link = this.part("download");
    link.href = result.url;
    link.download = this.name;
    this.show("done", result.status);
    say(`${this.file.name}: done.`);
    work();
    const images = await Promise.all([decoded(this.url), decoded(result.url)]);
    if (this.result !== result) return;
    this.canCompare = images.every(Boolean);
    this.show("done", result.status);
  }

  /** Drops the job and the result; also from a page that is being left. */
  forget() {
    this.request?.abort();
    this.unfollow();
    if (this.id !== null) fetch(`/jobs/${this.id}`, { method: "DELETE", keepalive: true }).catch(() => {});
    if (this.result !== null) URL.revokeObjectURL(this.result.url);
    this.id = this.result = null;
    this.broken = 0;
    this.canCompare = undefined;
  }

  get isUnderWay() {
    return ["queued", "sending", "waiting", "working"].includes(this.state);
  }

  /** Whether the page alone has its result, or is about to. */
  get isUnsaved() {
    return this.result ? !this.result.isSaved : this.state === "done";
  }

  cancel() {
    this.forget();
    this.show("cancelled");
    say(`${this.file.name}: cancelled.`);
    work();
  }

  remove() {
    const next = this.row.nextElementSibling ?? this.row.previousElementSibling;
    items = items.filter((each) => each !== this);
    this.forget();
    URL.revokeObjectURL(this.url);
    this.row.remove();
    (next?.querySelector(".remove") ?? $("choose")).focus();
    work();
  }

  show(state, told = {}) {
    const isOver = state === "done" || state === "failed" || state === "cancelled";
    if (state === "failed" && this.state !== "failed") say(`${this.file.name}: ${told.error}`);
    this.state = this.row.dataset.state = state;
    this.told = told;
    const bar = this.row.querySelector("progress");
    bar.hidden = !["sending", "waiting", "working"].includes(state);
    bar.setAttribute("aria-label", `Progress of ${this.file.name}`);
    if (!bar.hidden) bar.value = told.progress ?? 0;
    this.part("state").textContent = sentence(state, told, this);
    const meta = [
      this.outSize && state !== "ready" ? `${sizeText(this.size)} → ${sizeText(this.outSize)}` : sizeText(this.size),
      told.model,
      bytesText(this.result?.blob.size ?? this.file.size),
    ].filter(Boolean);
    const last = meta.length - 1;
    this.part("meta").replaceChildren(...meta.flatMap((text, n) => [node("span", n < last ? `${text} ·` : text), " "]));
    this.part("notes").replaceChildren(...(told.notes ?? []).map((note) => node("li", note)));
    const has = this.result !== null;
    this.part("compare").hidden = !has || !this.canCompare;
    this.part("download").hidden = !has;
    this.part("again").hidden = !isOver;
    const remove = this.part("remove");
    remove.textContent = this.isUnderWay ? "Cancel" : "Remove";
    for (const name of ["compare", "download", "again", "remove"]) {
      this.part(name).setAttribute("aria-label", `${this.part(name).textContent}: ${this.file.name}`);
    }
  }
}

/** What is said of a state. */
function sentence(state, told, item) {
  switch (state) {
    case "ready": return "Ready";
    case "queued": return "Waiting to be sent";
    case "sending": return `Sending, ${Math.round((told.progress ?? 0) * 100)} %`;
    case "waiting": return told.ahead ? `Waiting, ${told.ahead} before it` : "Waiting";
    case "working": {
      const left = told.seconds_left;
      if (!told.progress) return "Beginning";
      return `${Math.round(told.progress * 100)} %${left == null ? "" : `, ${timeText(left)} left`}`;
    }
    case "done": {
      const seen = item.canCompare === false ? " This format cannot be shown here; download it." : "";
      return `Done in ${timeText(told.seconds)}.${seen}`;
    }
    case "cancelled": return told.error ?? "Cancelled";
    default: return plainly(told.error, item.file.name);
  }
}

/** Whether nothing is lost with these pictures' results, or the user agrees to it. */
function mayLose(some, deed) {
  const unsaved = some.filter((item) => item.isUnsaved).length;
  const which = unsaved === 1 ? "1 result is" : `${unsaved} results are`;
  return !unsaved || confirm(`${which} not downloaded yet. ${deed} all the same?`);
}

let isSending = false;

/** Keeps things going: follows the first jobs that are not over, and sends what is queued, one at a time. */
async function work() {
  followFirst();
  showTotals();
  if (isSending) return;
  isSending = true;
  try {
    let next;
    while (!isGone && !$("locked").open && (next = items.find((item) => item.state === "queued"))) {
      await next.send();
      followFirst();
      showTotals();
    }
  } finally {
    isSending = false;
  }
}

function followFirst() {
  if (isGone) return;
  const under = items.filter((item) => item.state === "waiting" || item.state === "working");
  for (const item of under.slice(0, FOLLOWED)) if (!item.stream) item.follow();
}

function showTotals() {
  const of = (...states) => items.filter((item) => states.includes(item.state)).length;
  const ready = of("ready");
  $("pictures").hidden = items.length === 0;
  document.body.classList.toggle("has-pictures", items.length > 0);
  $("start").hidden = ready === 0;
  $("start").textContent = ready === 1 ? "Upscale" : `Upscale ${ready}`;
  $("download-all").hidden = items.filter((item) => item.result).length < 2;
  const failed = of("failed") ? `, ${of("failed")} failed` : "";
  $("summary").textContent = items.length ? `${of("done")} of ${items.length} done${failed}` : "";
  const under = items.some((item) => item.isUnderWay);
  document.title = under ? `${of("done")}/${items.length} · escsr` : "escsr: upscale pictures";
}

function add(files) {
  const added = [...files].map((file) => new Item(file));
  if (!added.length) return;
  items.push(...added);
  for (const item of added) {
    if (about && item.file.size > about.max_upload_bytes) {
      item.show("failed", { error: `Larger than the ${bytesText(about.max_upload_bytes)} that this server takes.` });
    }
  }
  say(added.length === 1 ? `${added[0].file.name} added.` : `${added.length} pictures added.`);
  work();
}

/** All results as one ZIP. */
async function downloadAll() {
  const done = items.filter((item) => item.result);
  const results = done.map((item) => item.result);
  if (results.reduce((sum, { blob }) => sum + blob.size, 0) > MOST_ZIP) {
    $("summary").textContent = "Together more than 4 GiB: download them one by one.";
    return;
  }
  const taken = new Set();
  const files = done.map((item) => {
    const [, stem, suffix] = item.name.match(/^(.*?)(\.[^.]*)?$/);
    let name = item.name;
    for (let n = 2; taken.has(name.toLowerCase()); n++) name = `${stem} (${n})${suffix ?? ""}`;
    taken.add(name.toLowerCase()); // many systems do not tell a.png from A.png
    return { name, blob: item.result.blob };
  });
  const url = URL.createObjectURL(await zipped(files));
  const link = Object.assign(document.createElement("a"), { href: url, download: "upscaled.zip" });
  link.click();
  for (const result of results) result.isSaved = true;
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// ------------------------------------------------------------------------------------------------ settings

const KEPT = ["model", "strength", "side", "amount", "format", "quality"];
const CHECKS = ["lossless", "strip", "to_srgb", "self_ensemble"];
const factor = () => document.querySelector("input[name=factor]:checked").value;

/** The strength of the chosen model where none is given; undefined where it has none. */
const usualStrength = () => $("model").selectedOptions[0]?.dataset.strength;

/** Whether a strength has an effect at the chosen size; where that follows from each picture, it may. */
function hasStrength() {
  const scales = JSON.parse($("model").selectedOptions[0]?.dataset.strengthScales ?? "[]");
  const wanted = factor() !== "other" ? factor() : $("side").value === "scale" ? $("amount").value : null;
  if (wanted === null) return scales.length > 0;
  return scales.includes(Math.min(4, Math.max(2, Math.ceil(wanted))));
}

/** The options of a job, as the API takes them. */
function currentSettings() {
  const side = factor() === "other" ? $("side").value : "scale";
  const amount = factor() === "other" ? $("amount").value : factor();
  const settings = { model: $("model").value, [side]: amount, format: $("format").value };
  if (!$("quality").disabled) settings.quality = $("quality").value;
  if (!$("strength-field").hidden && $("strength").value !== usualStrength()) settings.strength = $("strength").value;
  for (const name of CHECKS) if ($(name).checked) settings[name] = "true";
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== ""));
}

function showSettings() {
  const isOther = factor() === "other";
  $("other").hidden = $("unit").hidden = !isOther;
  $("unit").textContent = SIDES[$("side").value];
  $("about-model").textContent = $("model").selectedOptions[0]?.dataset.about ?? "";
  $("strength-field").hidden = !hasStrength();
  $("strength-value").textContent = $("strength").value;
  const format = about?.formats.find((each) => each.suffixes[0] === $("format").value);
  $("quality-field").hidden = format?.lossless === "always" || $("lossless").checked;
  $("amount").disabled = !isOther; // what is not shown is neither sent nor checked
  $("quality").disabled = $("quality-field").hidden;
}

function remember() {
  const kept = { factor: factor() };
  for (const id of KEPT) kept[id] = $(id).value;
  for (const id of CHECKS) kept[id] = $(id).checked;
  store("settings", kept);
}

function recall() {
  const kept = stored("settings") ?? {};
  const radio = document.querySelector(`input[name=factor][value="${CSS.escape(kept.factor ?? "2")}"]`);
  if (radio) radio.checked = true;
  for (const id of KEPT) {
    const isThere = !$(id).options || [...$(id).options].some((option) => option.value === kept[id]);
    if (kept[id] !== undefined && isThere) $(id).value = kept[id];
  }
  for (const id of CHECKS) $(id).checked = kept[id] === true;
  showSettings();
}

/** Storage that may be forbidden; then settings are not remembered, nothing else. */
function store(name, value) {
  try { localStorage.setItem(`escsr-${name}`, JSON.stringify(value)); } catch { /* forbidden */ }
}
function stored(name) {
  try { return JSON.parse(localStorage.getItem(`escsr-${name}`)); } catch { return null; }
}

const THEMES = ["system", "light", "dark"];

function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = `Theme: ${theme}`;
}

// -------------------------------------------------------------------------------------------- before, after

function openViewer(item) {
  $("viewer-name").textContent = item.file.name;
  $("viewer-sizes").textContent = `${sizeText(item.size)} → ${sizeText(item.outSize)}`;
  const { result } = item;
  const saved = () => (result.isSaved = true);
  Object.assign($("viewer-download"), { href: result.url, download: item.name, onclick: saved });
  $("viewer").showModal();
  const viewer = document.querySelector("before-after");
  viewer.show(item.url, result.url, item.outSize);
  viewer.range.focus();
}

// ---------------------------------------------------------------------------------------------- small things

function node(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}
function say(text) {
  $("say").textContent = text;
}
async function decoded(url) {
  const image = new Image();
  image.src = url;
  return image.decode().then(() => true, () => false);
}
/** An error without the name that stands above it. */
function plainly(error, name) {
  const text = error.startsWith(`${name}: `) ? error.slice(name.length + 2) : error;
  return text.charAt(0).toUpperCase() + text.slice(1);
}
function sizeText(size) {
  return size ? `${size[0]} × ${size[1]}` : "";
}
function bytesText(bytes) {
  const step = Math.min(3, Math.floor(Math.log(Math.max(1, bytes)) / Math.log(1024)));
  return `${(bytes / 1024 ** step).toLocaleString("en", { maximumSignificantDigits: 3 })} ${["B", "KiB", "MiB", "GiB"][step]}`;
}
function timeText(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}

// ------------------------------------------------------------------------------------------------- beginning

/** Asks for the server's token, once. */
function unlock() {
  if (!$("locked").open) $("locked").showModal();
}

async function giveToken(token) {
  await ask("/token", { method: "POST", body: new URLSearchParams({ token }) });
  if ($("locked").open) $("locked").close();
}

async function begin() {
  about = await (await ask("/about")).json();
  const models = await (await ask("/models")).json();
  const names = { auto: "Clean picture", real: "Noisy or compressed photo" };
  const options = models.map(({ name, about, strength, strength_scales }) => {
    const option = new Option(names[name] ?? name, name);
    option.dataset.about = about;
    if (strength !== null) option.dataset.strength = strength;
    option.dataset.strengthScales = JSON.stringify(strength_scales);
    return option;
  });
  const group = Object.assign(document.createElement("optgroup"), { label: "By name" });
  group.append(...options.filter((option) => !names[option.value]));
  $("model").replaceChildren(...options.filter((option) => names[option.value]), group);
  $("model").value = models.find((model) => model.is_default).name;
  $("strength").value = models.find((model) => model.strength !== null)?.strength ?? 0;
  const formats = about.formats.map(({ name, suffixes }) => new Option(name, suffixes[0]));
  $("format").replaceChildren($("format").options[0], ...formats);
  const suffixes = about.formats.flatMap((format) => format.suffixes.map((suffix) => `.${suffix}`));
  $("files").accept = ["image/*", ...suffixes].join(",");
  const megapixels = Math.round(about.max_pixels / 1e6);
  const most = [`Up to ${bytesText(about.max_upload_bytes)} each`, `results up to ${megapixels} megapixels`];
  $("limits").textContent = `${most.join(", ")}, ${about.max_job_minutes} minutes of work.`;
  recall();
}

function listen() {
  $("choose").onclick = () => $("files").click();
  $("files").onchange = () => {
    add($("files").files);
    $("files").value = "";
  };
  $("start").onclick = () => {
    if (!$("settings").reportValidity()) return;
    for (const item of items.filter((each) => each.state === "ready")) item.queue();
    $("pictures").focus();
  };
  $("clear").onclick = () => {
    if (mayLose(items, "Remove")) for (const item of [...items]) item.remove();
  };
  $("download-all").onclick = downloadAll;
  $("viewer-close").onclick = () => $("viewer").close();
  $("model").onchange = () => {
    $("strength").value = usualStrength() ?? $("strength").value;
    showSettings();
    remember();
  };
  $("settings").oninput = () => {
    showSettings();
    remember();
  };
  $("settings").onsubmit = (event) => event.preventDefault();
  $("theme").onclick = () => {
    const theme = THEMES[(THEMES.indexOf(stored("theme") ?? "system") + 1) % THEMES.length];
    store("theme", theme);
    showTheme(theme);
  };
  $("token-form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await giveToken($("token").value);
      await begin();
      work();
    } catch (error) {
      $("token-error").textContent = error.message;
    }
  };
  addEventListener("paste", (event) => add(event.clipboardData.files));
  let depth = 0;
  const over = (change) => (event) => {
    event.preventDefault();
    depth = Math.max(0, change === null ? 0 : depth + change);
    document.body.classList.toggle("is-over", depth > 0);
  };
  addEventListener("dragenter", over(1));
  addEventListener("dragleave", over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    over(null)(event);
    add(event.dataTransfer.files);
  });
  addEventListener("beforeunload", (event) => {
    if (items.some((item) => item.isUnderWay || item.isUnsaved)) event.preventDefault();
  });
  addEventListener("pagehide", (event) => {
    if (!event.persisted) for (const item of items) item.forget(); // nobody could fetch or cancel it
  });
}

showTheme(THEMES.includes(stored("theme")) ? stored("theme") : "system");
listen();
const given = location.hash.match(/^#token=(\w+)$/);
if (given) {
  history.replaceState(null, "", location.pathname);
  await giveToken(given[1]).catch(() => {});
}
await begin().catch(() => {});
