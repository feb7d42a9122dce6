// One stream a page: the server renders fragments anew and sends them; each becomes the content of its data-live element.
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
  // Asked for again, the page says itself that its reader is signed out, or that what it showed is gone.
  for (const end of ["signed_out", "gone"]) stream.addEventListener(end, () => { stop(); location.reload(); });
  stream.onopen = () => { delete document.body.dataset.offline; };
  stream.onerror = () => {
    document.body.dataset.offline = "yes";
    if (stream?.readyState === EventSource.CLOSED) setTimeout(start, 5000);
  };
}

// The shown content becomes the new one by changing only what differs. So a click whose button is still down, a selection, an opened
// list, the focus and the place in a scrolled table outlive it, and nobody presses a button that has just become another job's:
// rows and lists are told apart by id or data-key.
const keyOf = (node) => node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.key || "" : "";
const isAlike = (one, other) => one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

function renew(shown, next) {
  const known = new Map([...shown.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let at = shown.firstChild;
  for (const node of [...next.childNodes]) {
    const before = keyOf(node) ? known.get(keyOf(node)) : at;
    if (!before || !isAlike(before, node)) { shown.insertBefore(node, at); continue; }
    if (before === at) at = at.nextSibling; else shown.insertBefore(before, at);
    if (before.isEqualNode(node)) continue;
    if (node.nodeType === Node.ELEMENT_NODE) { renewAttributes(before, node); renew(before, node); }
    else before.data = node.data;
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
}

// Whether a list is open is the reader's business.
function renewAttributes(shown, next) {
  for (const { name } of [...shown.attributes]) if (!next.hasAttribute(name) && name !== "open") shown.removeAttribute(name);
  for (const { name, value } of next.attributes) if (name !== "open" && shown.getAttribute(name) !== value) shown.setAttribute(name, value);
}

const wayTo = (element) => element.id ? `#${CSS.escape(element.id)}`
  : element.getAttribute("href") ? `[href="${CSS.escape(element.getAttribute("href"))}"]`
  : element.matches("details[data-key] > summary") ? `details[data-key="${CSS.escape(element.parentElement.dataset.key)}"] > summary` : null;

function replace(name, html) {
  const target = document.querySelector(`[data-live="${CSS.escape(name)}"]`);
  if (!target) return;
  const focused = target.contains(document.activeElement) ? document.activeElement : null;
  const way = focused && wayTo(focused);
  const next = target.cloneNode(false);
  next.innerHTML = html;
  renew(target, next);
  if (focused && document.activeElement !== focused) (focused.isConnected ? focused : way && target.querySelector(way))?.focus({ preventScroll: true });
  document.dispatchEvent(new CustomEvent("live", { detail: { name } }));
}

document.addEventListener("visibilitychange", () => document.hidden ? stop() : start());
document.addEventListener("parts-arrived", start);
addEventListener("pagehide", stop);
addEventListener("pageshow", (event) => { if (event.persisted) start(); });
start();
