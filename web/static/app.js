// Small conveniences over pages that work without them: notices, menus, dialogs, double submits, boxes, cascades, JSON editors.
// Everything listens at the document, so it also serves parts that arrive later; tendParts() looks after those that need a hand.
"use strict";

const part = (selector) => document.querySelector(selector);
const words = (name) => part(`template[data-words="${name}"]`).content.cloneNode(true);
const isPlain = (event) => event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;

// Notices close by hand, and by themselves after long enough to read them twice, unless someone reads them or looks elsewhere.
function tendNotices() {
  for (const toast of document.querySelectorAll("[data-toast]")) {
    if (toast.dataset.tended) continue;
    toast.dataset.tended = "yes";
    toast.querySelector("[data-close]").hidden = false;
    const leave = () => document.hidden || toast.matches(":hover, :focus-within") ? setTimeout(leave, 2000) : toast.remove();
    setTimeout(leave, 5000 + 150 * toast.textContent.trim().length);
    // A live region speaks of what comes into it, not of what it began with.
    const region = toast.parentElement;
    toast.remove();
    setTimeout(() => region.append(toast), 50);
  }
}
function say(text) {
  const toast = words("toast").firstElementChild;
  toast.classList.add("bad");
  toast.querySelector("p").replaceChildren(text);
  part("[data-toasts]").append(toast);
  tendNotices();
}

// Menus: arrows go through, Escape closes and gives the focus back, a click elsewhere closes.
const entries = (drop) => [...drop.querySelectorAll(".drop-body a, .drop-body button")];
document.addEventListener("keydown", (event) => {
  const drop = event.target.closest?.("[data-drop]");
  if (!drop) return;
  const all = entries(drop), at = all.indexOf(document.activeElement);
  const next = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[event.key];
  if (event.key === "Escape" && drop.open) { event.stopPropagation(); drop.open = false; drop.querySelector("summary").focus(); }
  else if (next !== undefined && (drop.open || event.key === "ArrowDown")) { event.preventDefault(); drop.open = true; all.at(next % all.length)?.focus(); }
});
document.addEventListener("focusout", (event) => {
  const drop = event.target.closest?.("[data-drop][open]");
  if (drop && event.relatedTarget && !drop.contains(event.relatedTarget)) drop.open = false;
});
function closeMenus(except) {
  for (const drop of document.querySelectorAll("[data-drop][open]")) if (!drop.contains(except)) drop.open = false;
}
addEventListener("resize", () => closeMenus(null));

// A page as a dialog: what a link or a form with data-dialog asks for is fetched and its <main> shown; its forms stay in the dialog while they are
// refused.
const frame = () => part("[data-dialog-frame]");
let openedFrom = null;

// Where the dialog was opened from; a live list may have drawn that link anew meanwhile.
const cameFrom = () => openedFrom?.isConnected ? openedFrom : openedFrom?.href ? part(`main a[href="${CSS.escape(openedFrom.getAttribute("href"))}"]`) : null;

function showInDialog(text, address, isSent = false) {
  const main = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  if (!main || address.pathname === "/sign-in") { location.assign(address); return; }
  const dialog = frame(), body = dialog.querySelector(".dialog-body");
  dialog.querySelector("#dialog-title").textContent = main.querySelector("h1").textContent;
  main.querySelector(".page-head").remove();
  body.replaceChildren(...main.childNodes);
  keepIdsApart(body);
  tellInDialog(null);
  delete dialog.dataset.asked;
  dialog.toggleAttribute("data-sent", isSent);
  if (!dialog.open) dialog.showModal();
  body.scrollTop = 0;
  (body.querySelector("[aria-invalid]") || body.querySelector("[autofocus]")
    || body.querySelector("input:not([type=hidden], [readonly], .visually-hidden), textarea, select") || body.querySelector(".form-end a") || body.querySelector("a, button"))?.focus();
  document.dispatchEvent(new Event("parts-arrived"));
}

// The page beneath may use the same ids; labels and descriptions in the dialog keep to the dialog.
function keepIdsApart(body) {
  for (const element of body.querySelectorAll("[id]")) {
    const id = element.id;
    if (document.querySelectorAll(`#${CSS.escape(id)}`).length < 2) continue;
    element.id = `dialog-${id}`;
    for (const name of ["for", "aria-describedby", "aria-labelledby", "aria-controls"]) {
      for (const other of body.querySelectorAll(`[${name}~="${CSS.escape(id)}"]`)) {
        other.setAttribute(name, other.getAttribute(name).split(" ").map((one) => one === id ? element.id : one).join(" "));
      }
    }
  }
}

function tellInDialog(said, tone = "refusals") {
  const place = frame().querySelector(".dialog-said");
  place.hidden = !said;
  place.className = `dialog-said ${tone}`;
  place.replaceChildren(...(said ? said.childNodes : []));
  if (said) place.focus();
}

const isChanged = (control) => control.type === "checkbox" || control.type === "radio" ? control.checked !== control.defaultChecked
  : control.tagName === "SELECT" ? [...control.options].some((option) => option.selected !== option.defaultSelected && (option.defaultSelected || option.index > 0))
  : control.type !== "hidden" && control.value !== control.defaultValue;
const isUnsaved = () => frame().open && (frame().hasAttribute("data-sent") || [...frame().querySelectorAll(".dialog-body :is(input, textarea, select)")].some(isChanged));

// What was typed is not thrown away by one slip: the first Escape (or ✕) says so, the second closes.
function mayClose() {
  const dialog = frame();
  if (!isUnsaved() || dialog.dataset.asked) return true;
  dialog.dataset.asked = "yes";
  tellInDialog(words("unsaved"), "note warn");
  return false;
}
document.addEventListener("cancel", (event) => { if (event.target === frame() && !mayClose()) event.preventDefault(); }, true);
document.addEventListener("input", (event) => { if (event.target.closest("[data-dialog-frame]")) { delete frame().dataset.asked; tellInDialog(null); } });
document.addEventListener("close", (event) => {
  if (event.target !== frame()) return;
  frame().querySelector(".dialog-body").replaceChildren();
  if (document.activeElement === document.body) cameFrom()?.focus();
}, true);

// The page that a done form leads to takes the place of this one, notices and all; what it marks with data-arrived comes into view.
// The way back leads past the dialog.
const here = () => location.pathname + location.search;
let shownAddress = here();

function showPage(text, address) {
  const next = new DOMParser().parseFromString(text, "text/html");
  const isSamePage = address.pathname === location.pathname;
  const from = openedFrom?.getAttribute("href");
  if (address.pathname + address.search !== here()) history.pushState({}, "", address);
  shownAddress = here();
  document.title = next.title;
  const token = next.head.querySelector("meta[name=csrf-token]");
  if (token) part("meta[name=csrf-token]").content = token.content;
  for (const script of next.head.querySelectorAll("script[src]")) {
    if (!document.head.querySelector(`script[src="${CSS.escape(script.getAttribute("src"))}"]`)) document.head.append(Object.assign(document.createElement("script"), { src: script.getAttribute("src") }));
  }
  document.body.replaceWith(document.adoptNode(next.body));
  const arrived = part("[data-arrived]") || document.getElementById(location.hash.slice(1));
  if (arrived) arrived.scrollIntoView({ block: "center" });
  else if (!isSamePage) scrollTo(0, 0);
  ((isSamePage && from && part(`main a[href="${CSS.escape(from)}"]`)) || part("main")).focus({ preventScroll: true });
  document.dispatchEvent(new Event("parts-arrived"));
}
addEventListener("popstate", () => { if (here() !== shownAddress) location.reload(); });

async function fetchPage(address, options) {
  const answer = await fetch(address, { headers: { Accept: "text/html" }, ...options });
  return [await answer.text(), new URL(answer.url), answer];
}

// What is asked may be settled already: then the page one is led to takes the place of this one. An incomplete question is told by its own page.
async function openInDialog(url, opener) {
  if (opener.ariaBusy) return;
  opener.ariaBusy = "true";
  if (!opener.closest("dialog")) openedFrom = opener;
  try {
    const [text, address, answer] = await fetchPage(url);
    if (answer.status === 422) location.assign(address);
    else if (answer.redirected && address.pathname !== "/sign-in") showPage(text, address);
    else showInDialog(text, address);
  } catch { say(words("unreachable").textContent); } finally { opener.ariaBusy = null; }
}

document.addEventListener("click", (event) => {
  const close = event.target.closest("[data-close], [data-dialog-close]");
  if (close?.closest("[data-toast]")) close.closest("[data-toast]").remove();
  else if (close?.closest("dialog")) {
    event.preventDefault();
    if (close.dataset.dialogClose !== "ask" || mayClose()) close.closest("dialog").close();
  }
  const link = event.target.closest("a[data-dialog]");
  if (link && isPlain(event)) {
    event.preventDefault();
    openInDialog(link.href, link);
  }
  closeMenus(event.target.closest(".drop-body a, .drop-body button") ? null : event.target);
});

// A form is sent once; the browser's back button gives the buttons back. In a dialog, a refusal, a broken connection and our own
// mistakes are told there, and everything entered stays.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.dataset.sent) { event.preventDefault(); return; }
  if (form.hasAttribute("data-come-back")) form.elements.next.value = here();
  if (form.method === "get" && (form.hasAttribute("data-dialog") || form.closest("[data-dialog-frame]"))) {
    event.preventDefault();
    openInDialog(`${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`, event.submitter ?? form);
    return;
  }
  const isInDialog = Boolean(form.closest("[data-dialog-frame]")) && form.method === "post" && form.enctype === "application/x-www-form-urlencoded";
  if (form.hasAttribute("data-once") || isInDialog) {
    form.dataset.sent = "yes";
    if (event.submitter) event.submitter.ariaBusy = "true";
    setTimeout(() => form.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
  }
  if (!isInDialog) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  try {
    const action = event.submitter?.getAttribute("formaction") ?? form.getAttribute("action");
    const [text, address, answer] = await fetchPage(action, { method: "POST", body });
    const page = new DOMParser().parseFromString(text, "text/html");
    if (address.pathname === "/sign-in" && address.search) location.assign(address); // the session ended; without a way back, we signed out
    else if (answer.redirected || page.querySelector("[data-left-behind]")) showPage(text, address);
    else if (answer.ok || answer.status === 422) showInDialog(text, address, true);
    else { free(form); tellInDialog(page.querySelector("[data-error]") || words("unreachable")); }
  } catch { free(form); tellInDialog(words("unreachable")); }
});
function free(form) {
  delete form.dataset.sent;
  form.querySelectorAll("button").forEach((button) => { button.disabled = false; button.ariaBusy = null; });
}
addEventListener("pageshow", (event) => { if (event.persisted) document.querySelectorAll("form[data-sent]").forEach(free); });
addEventListener("beforeunload", (event) => { if (isUnsaved() && !frame().querySelector("form[data-sent]")) event.preventDefault(); });

// Boxes of a table: one for all, and how many are ticked beside what can be done with them.
const boxes = (scope, name) => [...scope.querySelectorAll(`input[type=checkbox][name="${CSS.escape(name)}"]`)];
function countTicks(scope) {
  for (const all of scope.querySelectorAll("[data-tick-all]")) {
    const found = boxes(all.closest("form, table"), all.dataset.tickAll), count = found.filter((box) => box.checked).length;
    all.checked = count > 0 && count === found.length;
    all.indeterminate = count > 0 && count < found.length;
  }
  for (const bar of scope.querySelectorAll("[data-ticked]")) {
    const count = boxes(document, bar.dataset.ticked).filter((box) => box.checked).length;
    bar.querySelector(".ticked-count").hidden = count === 0;
    bar.querySelector(".ticked-count b").textContent = count;
    bar.classList.toggle("rests", count === 0);
  }
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-reveal]");
  if (!button) return;
  const field = button.parentElement.querySelector("input"), isShown = field.type === "text";
  field.type = isShown ? "password" : "text";
  button.setAttribute("aria-pressed", String(!isShown));
  field.focus();
});

// A table whose columns all fit keeps its head in view; one that must be scrolled sideways keeps its first and last column.
const widths = new ResizeObserver((changes) => changes.forEach(({ target }) => markFit(target)));
function markFit(tableFrame) { tableFrame.toggleAttribute("data-fits", tableFrame.scrollWidth <= tableFrame.clientWidth); }

// Cascades: the server knows what lies below a choice. After each choice the levels are asked for anew; the newest question wins.
const cascadeQuestions = new WeakMap();
async function askForLevels(cascade) {
  const question = (cascadeQuestions.get(cascade) ?? 0) + 1;
  cascadeQuestions.set(cascade, question);
  cascade.ariaBusy = "true";
  const address = new URL(cascade.dataset.cascade, location.href);
  for (const field of cascade.querySelectorAll("select, input[type=search], input[type=checkbox]:checked")) {
    if (field.name && field.value) address.searchParams.append(field.name, field.value);
  }
  try {
    const [text, , answer] = await fetchPage(address);
    if (answer.ok && !answer.redirected && cascadeQuestions.get(cascade) === question) putLevels(cascade, text);
  } catch { /* the choices stay as they are; the server looks at them again when the form is sent */ }
  if (cascadeQuestions.get(cascade) === question) cascade.ariaBusy = null;
}
function putLevels(cascade, text) {
  const at = cascade.contains(document.activeElement) ? document.activeElement : null;
  const typed = at?.type === "search" ? [at.value, at.selectionStart, at.selectionEnd] : null;
  cascade.innerHTML = text;
  const again = at && [...cascade.querySelectorAll(at.tagName)].find((field) => field.name === at.name && (field.type !== "checkbox" || field.value === at.value));
  again?.focus();
  if (again && typed) { again.value = typed[0]; again.setSelectionRange(typed[1], typed[2]); }
}
let searching = 0;
document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-find]")) return;
  const cascade = event.target.closest("[data-cascade]");
  clearTimeout(searching);
  searching = setTimeout(() => askForLevels(cascade), 200);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches("[data-find]")) return;
  event.preventDefault();
  clearTimeout(searching);
  askForLevels(event.target.closest("[data-cascade]"));
});
document.addEventListener("change", (event) => {
  const cascade = event.target.closest("[data-cascade]");
  if (cascade && (event.target.matches("select") || cascade.ariaBusy)) askForLevels(cascade);
  if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
  if (event.target.matches("[data-tick-all]")) boxes(event.target.closest("form, table"), event.target.dataset.tickAll).forEach((box) => { box.checked = event.target.checked; });
  if (event.target.type === "checkbox") countTicks(document);
});

// JSON editors: line numbers, Tab indents (Escape first lets Tab leave the field).
function numberLines(editor) {
  const area = editor.querySelector("textarea"), lines = editor.querySelector(".editor-lines");
  const count = area.value.split("\n").length;
  if (lines.childElementCount !== count) {
    const wrong = new Set(editor.dataset.wrong.split(" "));
    lines.replaceChildren(...Array.from({ length: count }, (_, index) => Object.assign(document.createElement("div"), {
      textContent: index + 1, className: wrong.has(String(index + 1)) ? "wrong" : "",
    })));
  }
  lines.style.height = `${area.clientHeight}px`;
  lines.scrollTop = area.scrollTop;
}
document.addEventListener("input", (event) => { const editor = event.target.closest("[data-editor]"); if (editor) numberLines(editor); });
document.addEventListener("scroll", (event) => { const editor = event.target.closest?.("[data-editor]"); if (editor) numberLines(editor); }, true);
let tabLeaves = false;
document.addEventListener("keydown", (event) => {
  if (!event.target.closest?.("[data-editor] textarea")) return;
  if (event.key === "Escape") tabLeaves = true;
  else if (event.key === "Tab" && !event.shiftKey && !tabLeaves) { event.preventDefault(); document.execCommand("insertText", false, "    "); }
  else if (event.key !== "Tab") tabLeaves = false;
});

// A page that comes back refused begins where something is to be mended.
if (!part("main [autofocus]")) (part("main [aria-invalid]") || part("main .refusals[tabindex]"))?.focus();

function tendParts() {
  tendNotices();
  countTicks(document);
  document.querySelectorAll("[data-reveal]").forEach((button) => { button.hidden = false; });
  document.querySelectorAll(".table-frame").forEach((tableFrame) => { markFit(tableFrame); widths.observe(tableFrame); });
  document.querySelectorAll("[data-editor]").forEach(numberLines);
}
document.addEventListener("parts-arrived", tendParts);
document.addEventListener("live", tendParts);
tendParts();
