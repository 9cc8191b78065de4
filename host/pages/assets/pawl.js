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
  const name = $("#head h1");
  if (fresh.id === "head" && chip && name) say(name.textContent.trim() + ": " + chip.textContent.trim());
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
    source.onmessage = soon;
    source.onerror = () => { if (source?.readyState === EventSource.CLOSED) { close(); soon(); } };
  }
  if (every) timer = setTimeout(look, Number(every));
}

function close() {
  source?.close();
  source = null;
}

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
      // What is too long to be shown is fetched.
      const whole = text.dataset.copy ? await (await fetch(text.dataset.copy)).text() : text.textContent;
      await navigator.clipboard.writeText(whole);
      button.textContent = "Copied";
      say("Copied");
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    text.after(button);
  }
}

// --- Saved filters -----------------------------------------------------------------------------------------------------------------
// Names for addresses, kept in this browser alone. Without this file an address is kept as a bookmark.

function make(tag, properties, ...inside) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...inside);
  return made;
}

function offerSaved() {
  const place = $("[data-saved]");
  if (!place) return;
  let kept;
  try { kept = JSON.parse(localStorage.getItem("filters") || "[]"); } catch { return; }
  kept = kept.filter(({ name, path }) => typeof name === "string" && String(path).startsWith(place.dataset.saved));
  const others = (name) => kept.filter((it) => it.name !== name);
  const keep = (all) => { localStorage.setItem("filters", JSON.stringify(all.slice(-20))); offerSaved(); };
  const links = kept.map(({ name, path }) => make("span", { className: "saved" },
    make("a", { href: path, textContent: name }),
    make("button", { type: "button", className: "quiet", textContent: "×", ariaLabel: "Forget " + name, onclick: () => keep(others(name)) })));
  const path = place.dataset.offer;
  const field = make("input", { required: true, maxLength: 40, placeholder: "A name for it", ariaLabel: "A name for this filter" });
  const form = make("form", { className: "panel", onsubmit: (event) => {
    event.preventDefault();
    const name = field.value.trim();
    if (name) keep([...others(name), { name, path }]);
  } }, make("p", { textContent: "Keeps this filter under a name, in this browser." }), field,
  make("button", { className: "button primary", textContent: "Save" }));
  const save = make("details", { className: "act" }, make("summary", { className: "quiet", textContent: "Save filter…" }), form);
  place.replaceChildren(...links, ...(path ? [save] : []));
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
  "g p": () => { location.href = "/pipelines"; },
  "g l": () => { location.href = "/plugins"; },
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
offerSaved();
if (document.visibilityState === "visible") open();
