// One stream a page: the server renders fragments anew and sends them; each replaces the content of its data-live element.
// The stream rests while the page is hidden, so that many open tabs do not use up the browser's connections.
"use strict";

let stream = null;

function stop() { stream?.close(); stream = null; }

function start() {
  stop();
  const address = document.body.dataset.stream;
  if (!address || document.hidden) return;
  stream = new EventSource(address);
  stream.addEventListener("fragment", (event) => {
    const cut = event.data.indexOf("\n");
    replace(event.data.slice(0, cut), event.data.slice(cut + 1));
  });
  stream.addEventListener("signed_out", () => { stop(); location.reload(); });
  stream.onopen = () => { delete document.body.dataset.offline; };
  stream.onerror = () => {
    document.body.dataset.offline = "yes";
    if (stream?.readyState === EventSource.CLOSED) setTimeout(start, 5000);
  };
}

// What the reader is doing inside a fragment survives: focus by id, address or data-key, opened details by data-key.
const wayTo = (element) => element.id ? `#${CSS.escape(element.id)}`
  : element.getAttribute("href") ? `[href="${CSS.escape(element.getAttribute("href"))}"]`
  : element.matches("details[data-key] > summary") ? `details[data-key="${CSS.escape(element.parentElement.dataset.key)}"] > summary` : null;

function replace(name, html) {
  const target = document.querySelector(`[data-live="${CSS.escape(name)}"]`);
  if (!target) return;
  const focused = target.contains(document.activeElement) ? document.activeElement : null;
  const way = focused && wayTo(focused);
  const opened = [...target.querySelectorAll("details[open][data-key]")].map((details) => details.dataset.key);
  target.innerHTML = html;
  for (const key of opened) target.querySelector(`details[data-key="${CSS.escape(key)}"]`)?.setAttribute("open", "");
  if (way) target.querySelector(way)?.focus({ preventScroll: true });
  document.dispatchEvent(new CustomEvent("live", { detail: { name } }));
}

document.addEventListener("visibilitychange", () => document.hidden ? stop() : start());
document.addEventListener("parts-arrived", start);
addEventListener("pagehide", stop);
addEventListener("pageshow", (event) => { if (event.persisted) start(); });
start();
