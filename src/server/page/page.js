// Keeps a page as it is on the server: when something happens, the page is fetched again and the parts of it that
// differ are put in place. What is being typed, the focus and what is folded open stay as they are.
"use strict";
const live = document.querySelector("[data-events],[data-every]");

const age = (at) => {
  const seconds = Math.floor(Math.abs(Date.now() - at) / 1000);
  const text = seconds < 60 ? seconds + " s" : seconds < 3600 ? Math.floor(seconds / 60) + " min"
    : seconds < 172800 ? Math.floor(seconds / 3600) + " h" : Math.floor(seconds / 86400) + " days";
  return "(" + (at > Date.now() ? "in " + text : text + " ago") + ")";
};
const tellAges = (root) => root.querySelectorAll("[data-at]").forEach((one) => { one.textContent = age(+one.dataset.at); });

const keep = (old, fresh) => {
  old.querySelectorAll("details[id][open]").forEach((one) => fresh.querySelector("#" + CSS.escape(one.id))?.setAttribute("open", ""));
  if (old.isEqualNode(fresh)) return;
  const typed = [...old.querySelectorAll("input[id],select[id]")].map((one) => [one.id, one.value]);
  const focus = old.contains(document.activeElement) && document.activeElement.id;
  old.replaceWith(fresh);
  typed.forEach(([id, value]) => { const one = document.getElementById(id); if (one) one.value = value; });
  if (focus) document.getElementById(focus)?.focus();
};

const refresh = async () => {
  const answer = await fetch(live.dataset.events ? location.pathname : location.href);
  if (answer.redirected || !answer.ok) return answer.redirected ? location.reload() : undefined;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  tellAges(fresh);
  tellAges(document);
  fresh.querySelectorAll("[data-live]").forEach((part) => {
    const old = document.getElementById(part.id);
    if (old) keep(old, document.adoptNode(part));
  });
  everySoOften(fresh.getElementById("live")?.dataset.every);
  if (live.dataset.events && !fresh.querySelector("[data-events]")) {
    events.close();
    instead = 0;
    everySoOften(fresh.getElementById("live")?.dataset.every);
    document.getElementById("cancel")?.remove();
  }
};

// One fetch at a time, and one more when something happened meanwhile.
let busy = false, again = false;
const soon = async () => {
  if (busy) { again = true; return; }
  busy = true;
  try { await refresh(); } catch { /* The server is away; the next event or the next time tells. */ }
  setTimeout(() => { busy = false; if (again) { again = false; soon(); } }, 250);
};

let events, timer, instead = 0;
const everySoOften = (asked) => {
  const seconds = asked || instead;
  clearInterval(timer);
  if (seconds) timer = setInterval(() => { if (!document.hidden) soon(); }, seconds * 1000);
};
if (live?.dataset.events) {
  events = new EventSource(live.dataset.events);
  events.onmessage = soon;
  events.onerror = () => {
    // Refused for good, as when too many look on: looked at anew instead. Whoever is signed out is asked to sign in.
    if (events.readyState === EventSource.CLOSED) instead = 5;
    soon();
  };
}
everySoOften(live?.dataset.every);
setInterval(() => tellAges(document), 10000);
