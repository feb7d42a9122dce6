// The viewer: <a href="/the/image" data-view="group" data-caption="…" data-mask="/the/mask"> opens the picture large.
// Wheel and + − zoom, dragging and arrows move, 0 fits, Page Up/Down or the buttons go through the group, M lays the mask over.
"use strict";

const viewer = { links: [], at: 0, scale: 1, x: 0, y: 0, dialog: null };

function build() {
  const dialog = document.createElement("dialog");
  dialog.className = "viewer";
  dialog.innerHTML = '<div class="viewer-bar"><p></p><button type="button" data-step="-1">‹</button><button type="button" data-step="1">›</button><button type="button" data-zoom="1.25">+</button><button type="button" data-zoom="0.8">−</button><button type="button" data-fit>1:1</button><button type="button" data-masked hidden>M</button><button type="button" data-leave>✕</button></div><div class="viewer-stage"><img alt=""><img alt="" class="viewer-mask" hidden></div>';
  document.body.append(dialog);
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.step) step(Number(button.dataset.step));
    else if (button.dataset.zoom) zoom(Number(button.dataset.zoom), innerWidth / 2, innerHeight / 2);
    else if ("fit" in button.dataset) viewer.scale === 1 ? fit() : zoom(1 / viewer.scale, innerWidth / 2, innerHeight / 2);
    else if ("masked" in button.dataset) toggleMask();
    else dialog.close();
  });
  dialog.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0015), event.clientX, event.clientY); }, { passive: false });
  dialog.addEventListener("pointerdown", (event) => { if (!event.target.closest("button")) { event.preventDefault(); dialog.setPointerCapture(event.pointerId); } });
  dialog.addEventListener("pointermove", (event) => { if (dialog.hasPointerCapture(event.pointerId)) { viewer.x += event.movementX; viewer.y += event.movementY; place(); } });
  dialog.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (moves[event.key]) { viewer.x += moves[event.key][0]; viewer.y += moves[event.key][1]; place(); }
    else if (event.key === "+" || event.key === "=") zoom(1.25, innerWidth / 2, innerHeight / 2);
    else if (event.key === "-") zoom(0.8, innerWidth / 2, innerHeight / 2);
    else if (event.key === "0") fit();
    else if (event.key === "PageDown" || event.key === "n") step(1);
    else if (event.key === "PageUp" || event.key === "p") step(-1);
    else if (event.key.toLowerCase() === "m") toggleMask();
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("close", () => viewer.links[viewer.at]?.focus());
  const picture = dialog.querySelector("img");
  picture.addEventListener("load", fit);
  picture.addEventListener("error", () => { dialog.querySelector("p").textContent += " ⚠"; });
  addEventListener("resize", () => { if (dialog.open) fit(); });
  return dialog;
}

function open(link) {
  viewer.dialog = viewer.dialog?.isConnected ? viewer.dialog : build();
  viewer.links = [...document.querySelectorAll(`a[data-view="${CSS.escape(link.dataset.view)}"]`)];
  viewer.at = viewer.links.indexOf(link);
  if (!viewer.dialog.open) viewer.dialog.showModal();
  show();
}

function show() {
  const link = viewer.links[viewer.at], [picture, mask] = viewer.dialog.querySelectorAll("img");
  viewer.dialog.querySelector("p").textContent = `${viewer.at + 1}/${viewer.links.length} · ${link.dataset.caption ?? ""}`;
  viewer.dialog.setAttribute("aria-label", link.dataset.caption ?? "");
  picture.src = link.href;
  mask.hidden = true;
  if (link.dataset.mask) mask.src = link.dataset.mask; else mask.removeAttribute("src");
  viewer.dialog.querySelector("[data-masked]").hidden = !link.dataset.mask;
}

function toggleMask() {
  const mask = viewer.dialog.querySelector(".viewer-mask");
  if (mask.getAttribute("src")) mask.hidden = !mask.hidden;
}

function step(by) {
  viewer.at = (viewer.at + by + viewer.links.length) % viewer.links.length;
  show();
}

function fit() {
  const picture = viewer.dialog.querySelector("img");
  viewer.scale = Math.min(innerWidth / picture.naturalWidth, (innerHeight - 64) / picture.naturalHeight, 8);
  viewer.x = (innerWidth - picture.naturalWidth * viewer.scale) / 2;
  viewer.y = 56 + (innerHeight - 56 - picture.naturalHeight * viewer.scale) / 2;
  place();
}

function zoom(factor, x, y) {
  const next = Math.min(32, Math.max(0.05, viewer.scale * factor)), change = next / viewer.scale;
  viewer.x = x - (x - viewer.x) * change;
  viewer.y = y - (y - viewer.y) * change;
  viewer.scale = next;
  place();
}

function place() {
  const [picture, mask] = viewer.dialog.querySelectorAll("img");
  for (const layer of [picture, mask]) {
    layer.style.width = `${picture.naturalWidth}px`;
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
