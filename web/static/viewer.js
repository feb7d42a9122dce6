// The viewer: <a href="/the/image" data-view="group" data-caption="…" data-mask="/the/mask" data-prediction="/its/prediction"> opens
// the picture large. Wheel, pinch and + − zoom, 0 fits, dragging and arrows move a zoomed picture; ← → (or a swipe) and Page Up/Down
// go through the group, M lays the mask over, P what was predicted, D downloads, Esc leaves. What is laid over stays so from picture
// to picture. In a list with data-first and data-total the group goes on on the next page.
"use strict";

const LAYERS = ["mask", "prediction"];
const viewer = { links: [], at: 0, laidOver: new Set(), scale: 1, fitted: 1, x: 0, y: 0, dialog: null, pointers: new Map(), swipe: null };
const BAR = 56, SWIPE = 60;

function build() {
  const dialog = document.createElement("dialog");
  dialog.className = "viewer";
  dialog.innerHTML = '<div class="viewer-bar"><p></p><button type="button" data-step="-1" data-word="previous">‹</button><button type="button" data-step="1" data-word="next">›</button><button type="button" data-zoom="1.25" data-word="larger">+</button><button type="button" data-zoom="0.8" data-word="smaller">−</button><button type="button" data-fit data-word="fit">1:1</button><button type="button" data-layer="mask" data-word="mask" aria-pressed="false" hidden>M</button><button type="button" data-layer="prediction" data-word="prediction" aria-pressed="false" hidden>P</button><a class="button" data-word="download" download>↓</a><button type="button" data-leave data-word="close">✕</button></div><div class="viewer-stage"><img alt=""><img alt="" class="viewer-layer" data-layer="mask" hidden><img alt="" class="viewer-layer" data-layer="prediction" hidden></div>';
  const words = document.querySelector("[data-viewer-words]")?.dataset ?? {};
  for (const button of dialog.querySelectorAll("[data-word]")) {
    const word = words[button.dataset.word];
    if (!word) continue;
    button.title = word;
    if (button.dataset.layer) button.textContent = word; else button.setAttribute("aria-label", word);
  }
  document.body.append(dialog);
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.step) step(Number(button.dataset.step));
    else if (button.dataset.zoom) zoom(Number(button.dataset.zoom), innerWidth / 2, innerHeight / 2);
    else if ("fit" in button.dataset) viewer.scale === 1 ? fit() : zoom(1 / viewer.scale, innerWidth / 2, innerHeight / 2);
    else if (button.dataset.layer) toggle(button.dataset.layer);
    else dialog.close();
  });
  dialog.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0015), event.clientX, event.clientY); }, { passive: false });
  dialog.addEventListener("pointerdown", press);
  dialog.addEventListener("pointermove", drag);
  for (const kind of ["pointerup", "pointercancel"]) dialog.addEventListener(kind, release);
  dialog.addEventListener("keydown", key);
  dialog.addEventListener("close", () => { viewer.pointers.clear(); viewer.links[viewer.at]?.focus(); });
  const picture = dialog.querySelector("img");
  picture.addEventListener("load", fit);
  picture.addEventListener("error", () => { dialog.querySelector("p").textContent += " ⚠"; });
  addEventListener("resize", () => { if (dialog.open) fit(); });
  return dialog;
}

function press(event) {
  if (event.target.closest("button, a")) return;
  event.preventDefault();
  viewer.dialog.setPointerCapture(event.pointerId);
  viewer.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  viewer.swipe = viewer.pointers.size === 1 && event.pointerType === "touch" && isFitted() ? { x: event.clientX, y: event.clientY } : null;
}

// One pointer moves the picture; two zoom by how far they are apart, around the middle between them.
function drag(event) {
  const before = viewer.pointers.get(event.pointerId);
  if (!before) return;
  const other = [...viewer.pointers].find(([id]) => id !== event.pointerId)?.[1];
  const now = { x: event.clientX, y: event.clientY };
  if (other) {
    const apart = Math.hypot(before.x - other.x, before.y - other.y), apartNow = Math.hypot(now.x - other.x, now.y - other.y);
    if (apart > 0) zoom(apartNow / apart, (now.x + other.x) / 2, (now.y + other.y) / 2);
    move((now.x - before.x) / 2, (now.y - before.y) / 2);
  } else if (!viewer.swipe) {
    move(now.x - before.x, now.y - before.y);
  }
  viewer.pointers.set(event.pointerId, now);
}

function release(event) {
  viewer.pointers.delete(event.pointerId);
  const begun = viewer.swipe;
  viewer.swipe = null;
  if (!begun || event.type === "pointercancel") return;
  const across = event.clientX - begun.x;
  if (Math.abs(across) > SWIPE && Math.abs(across) > 2 * Math.abs(event.clientY - begun.y)) step(across < 0 ? 1 : -1);
}

function key(event) {
  const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (isFitted() && event.key === "ArrowLeft") step(-1);
  else if (isFitted() && event.key === "ArrowRight") step(1);
  else if (moves[event.key]) move(...moves[event.key]);
  else if (event.key === "+" || event.key === "=") zoom(1.25, innerWidth / 2, innerHeight / 2);
  else if (event.key === "-") zoom(0.8, innerWidth / 2, innerHeight / 2);
  else if (event.key === "0") fit();
  else if (event.key === "PageDown") step(1);
  else if (event.key === "PageUp") step(-1);
  else if (event.key.toLowerCase() === "m") toggle("mask");
  else if (event.key.toLowerCase() === "p") toggle("prediction");
  else if (event.key.toLowerCase() === "d") viewer.dialog.querySelector("a[download]").click();
  else return;
  event.preventDefault();
}

function open(link) {
  viewer.dialog = viewer.dialog?.isConnected ? viewer.dialog : build();
  viewer.links = [...document.querySelectorAll(`a[data-view="${CSS.escape(link.dataset.view)}"]`)];
  viewer.at = viewer.links.indexOf(link);
  if (!viewer.dialog.open) viewer.dialog.showModal();
  show();
}

function show() {
  const link = viewer.links[viewer.at], picture = viewer.dialog.querySelector("img");
  const list = link.closest("[data-total]")?.dataset ?? { first: 1, total: viewer.links.length };
  viewer.dialog.querySelector("p").textContent = `${Number(list.first) + viewer.at}/${list.total} · ${link.dataset.caption ?? ""}`;
  viewer.dialog.setAttribute("aria-label", link.dataset.caption ?? "");
  picture.src = link.href;
  for (const name of LAYERS) {
    const layer = viewer.dialog.querySelector(`img[data-layer="${name}"]`);
    if (link.dataset[name]) layer.src = link.dataset[name]; else layer.removeAttribute("src");
    viewer.dialog.querySelector(`button[data-layer="${name}"]`).hidden = !link.dataset[name];
  }
  layOver();
  const download = viewer.dialog.querySelector("a[download]");
  download.href = `${link.href}${link.href.includes("?") ? "&" : "?"}download=1`;
}

function toggle(name) {
  if (!viewer.laidOver.delete(name)) viewer.laidOver.add(name);
  layOver();
}

function layOver() {
  for (const name of LAYERS) {
    const layer = viewer.dialog.querySelector(`img[data-layer="${name}"]`);
    layer.hidden = !layer.hasAttribute("src") || !viewer.laidOver.has(name);
    viewer.dialog.querySelector(`button[data-layer="${name}"]`).setAttribute("aria-pressed", viewer.laidOver.has(name));
  }
}

// Behind the last picture of a page comes the first of the next page; where there is none, the group begins anew.
function step(by) {
  const next = viewer.at + by, isOutside = next < 0 || next >= viewer.links.length;
  const page = isOutside && viewer.links[viewer.at].closest("[data-total]") && document.querySelector(`a[rel="${by > 0 ? "next" : "prev"}"]`);
  if (page) { location.assign(`${page.href}#${by > 0 ? "first" : "last"}-image`); return; }
  viewer.at = (next + viewer.links.length) % viewer.links.length;
  show();
}

function isFitted() { return viewer.scale <= viewer.fitted * 1.001; }

function fit() {
  const picture = viewer.dialog.querySelector("img");
  viewer.fitted = viewer.scale = Math.min(innerWidth / picture.naturalWidth, (innerHeight - BAR - 8) / picture.naturalHeight, 8);
  viewer.x = (innerWidth - picture.naturalWidth * viewer.scale) / 2;
  viewer.y = BAR + (innerHeight - BAR - picture.naturalHeight * viewer.scale) / 2;
  place();
}

function zoom(factor, x, y) {
  const next = Math.min(32, Math.max(0.05, viewer.scale * factor)), change = next / viewer.scale;
  viewer.x = x - (x - viewer.x) * change;
  viewer.y = y - (y - viewer.y) * change;
  viewer.scale = next;
  place();
}

function move(x, y) {
  viewer.x += x;
  viewer.y += y;
  place();
}

function place() {
  const picture = viewer.dialog.querySelector("img");
  for (const layer of viewer.dialog.querySelectorAll("img")) {
    layer.style.width = `${picture.naturalWidth}px`;
    layer.style.height = `${picture.naturalHeight}px`; // a prediction is kept smaller, and rounded
    layer.style.transform = `translate(${viewer.x}px, ${viewer.y}px) scale(${viewer.scale})`;
    layer.classList.toggle("viewer-pixels", viewer.scale > 2);
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-view]");
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open(link);
});

// Come from the page before or after: go on with its first or last picture.
const cameTo = { "#first-image": 0, "#last-image": -1 }[location.hash];
if (cameTo !== undefined) {
  history.replaceState(null, "", location.pathname + location.search);
  const link = [...document.querySelectorAll("[data-total] a[data-view]")].at(cameTo);
  if (link) open(link);
}
