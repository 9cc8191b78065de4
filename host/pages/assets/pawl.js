// What a page does more than to be read: it stays current, and is used with the keyboard. All that it shows and does, it shows and does
// without this file, too.
"use strict";

const $ = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const main = () => $("#main");

// --- Staying current -------------------------------------------------------------------------------------------------------------
// A page says how it hears of changes: by a run's events (`data-events`), or by looking again (`data-every`). In either case the page
// itself is asked for again, and what is marked with `data-live` is replaced where it differs. Nobody looks at a tab that is hidden.

let source = null;
let timer = 0;
let looking = false;
let again = false;
let lookedAt = 0;
let failures = 0;

function pace() {
  return Number(main().dataset.pace || 1000);
}

function soon() {
  if (document.hidden) return;
  if (looking) { again = true; return; }
  clearTimeout(timer);
  timer = setTimeout(look, Math.max(0, lookedAt + pace() - Date.now()));
}

async function look() {
  looking = true;
  lookedAt = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { "pawl-part": "1" }, credentials: "same-origin" });
    // The session is over: the page itself leads to where it can begin again.
    if (answer.redirected) { location.reload(); return; }
    if (answer.ok) { failures = 0; take(await answer.text()); } else failures += 1;
  } catch {
    failures += 1;
  } finally {
    looking = false;
    const every = Number(main().dataset.every || 0);
    const pause = Math.min(30000, 1000 * 2 ** failures);
    clearTimeout(timer);
    if (failures) timer = setTimeout(look, pause);
    else if (again) soon();
    else if (every && !document.hidden) timer = setTimeout(look, every);
    again = false;
  }
}

function take(text) {
  const found = $("main", new DOMParser().parseFromString(text, "text/html"));
  if (!found) return;
  const was = main();
  for (const name of ["events", "every", "pace"]) {
    if (found.dataset[name]) was.dataset[name] = found.dataset[name]; else delete was.dataset[name];
  }
  for (const old of all("[data-live]", was)) {
    const fresh = found.querySelector("#" + CSS.escape(old.id));
    if (fresh) replace(old, fresh);
  }
  if (source && !was.dataset.events) close();
}

// What somebody is typing into, or has opened, stays as it is.
function replace(old, fresh) {
  if (old.dataset.text === fresh.outerHTML) return;
  const focused = document.activeElement;
  if (old.contains(focused) && focused.matches("input, textarea, select")) return;
  if (old.querySelector("form .dirty, .act[open]")) return;
  const text = fresh.outerHTML;
  const opened = all("details", old).map((details, number) => [key(details, number), details.open]);
  const place = old.contains(focused) ? focused.closest("[id]")?.id : null;
  const row = $("tr.here", old) && all("tbody tr", old).indexOf($("tr.here", old));
  old.replaceWith(fresh);
  fresh.dataset.text = text;
  const before = new Map(opened);
  all("details", fresh).forEach((details, number) => {
    const open = before.get(key(details, number));
    if (open !== undefined) details.open = open;
  });
  if (row >= 0 && row !== null) all("tbody tr", fresh)[row]?.classList.add("here");
  if (place) document.getElementById(place)?.focus?.();
  const chip = $("#head .chip");
  if (fresh.id === "head" && chip) say("The run is " + chip.textContent.trim());
  offerCopies(fresh);
}

function key(details, number) {
  return number + (details.querySelector("summary")?.textContent || "");
}

let said = "";
function say(words) {
  if (words === said) return;
  said = words;
  $("#said").textContent = words;
}

function open() {
  const { events, every } = main().dataset;
  if (events && !source && window.EventSource) {
    source = new EventSource(events);
    // Events have names of their own; whatever they are, something has changed.
    for (const kind of KINDS) source.addEventListener(kind, soon);
    source.onmessage = soon;
    source.onerror = () => { if (source?.readyState === EventSource.CLOSED) { close(); soon(); } };
  }
  if (every) timer = setTimeout(look, Number(every));
}

function close() {
  source?.close();
  source = null;
}

const KINDS = [
  ..."submitted started succeeded failed cancelled reopened paused unpaused".split(" ").map((word) => "run." + word),
  ...("ready started resumed lease_expired checkpoint_reloaded replayed ready_for_dispatch handed_back succeeded retrying waiting " +
    "deferred failed parked cancelled reopened skipped").split(" ").map((word) => "step." + word),
];

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { close(); clearTimeout(timer); return; }
  open();
  if (main().dataset.events || main().dataset.every) soon();
});
addEventListener("pagehide", close);

// --- Forms -------------------------------------------------------------------------------------------------------------------------

document.addEventListener("input", (event) => event.target.classList.add("dirty"));
document.addEventListener("submit", (event) => {
  // A second click is no second request.
  const button = event.target.querySelector("button:not([type])");
  if (event.target.method === "post" && button) setTimeout(() => { button.disabled = true; });
});

function offerCopies(within) {
  if (!navigator.clipboard) return;
  for (const text of all("[data-copy]", within)) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
      say("Copied");
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    text.after(button);
  }
}

// --- Keyboard ----------------------------------------------------------------------------------------------------------------------

let prefix = "";

function move(by) {
  const rows = all("main .rows tbody tr, main .needs li").filter((row) => $("a.row", row));
  if (!rows.length) return;
  const now = rows.findIndex((row) => row.classList.contains("here"));
  const next = rows[Math.max(0, Math.min(rows.length - 1, now < 0 ? (by > 0 ? 0 : rows.length - 1) : now + by))];
  rows[now]?.classList.remove("here");
  next.classList.add("here");
  $("a.row", next).focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

const KEYS = {
  "/": () => $(".find input")?.focus(),
  "?": () => $("#help")?.showModal?.(),
  j: () => move(1),
  k: () => move(-1),
  "g o": () => { location.href = "/"; },
  "g r": () => { location.href = "/runs"; },
  "g d": () => { location.href = "/dead-letters"; },
  "g q": () => { location.href = "/queues"; },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const types = event.target.closest?.("input, textarea, select");
  if (event.key === "Escape") {
    if (types) event.target.blur();
    else all(".act[open]").forEach((act) => { act.open = false; });
    return;
  }
  if (types || $("dialog[open]")) return;
  const pressed = prefix ? prefix + " " + event.key : event.key;
  prefix = pressed === "g" ? "g" : "";
  const act = KEYS[pressed];
  if (act) { event.preventDefault(); act(); }
});

// Where a row of tabs is longer than a phone is wide, the one that is open is seen.
for (const tab of all("nav [aria-current]")) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 40;
// What is as it was is not replaced.
for (const part of all("[data-live]")) part.dataset.text = part.outerHTML;
offerCopies(document);
if (document.visibilityState === "visible") open();
