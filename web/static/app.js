// Small conveniences over pages that work without them: notices, dialogs, double submits, cascades, JSON editors.
// Everything listens at the document, so it also serves parts that arrive later.
"use strict";

// Notices close by hand, and by themselves after a while unless someone is reading them.
function tendNotices() {
  for (const toast of document.querySelectorAll("[data-toast]")) {
    if (toast.dataset.tended) continue;
    toast.dataset.tended = "yes";
    toast.querySelector("[data-close]").hidden = false;
    const leave = () => toast.matches(":hover, :focus-within") ? setTimeout(leave, 2000) : toast.remove();
    setTimeout(leave, 6000);
  }
}

// A page as a dialog: the link's page is fetched and its <main> shown; its forms stay in the dialog while they are refused.
const frame = () => document.querySelector("[data-dialog-frame]");
let openedFrom = null;

function showInDialog(text, address) {
  const main = new DOMParser().parseFromString(text, "text/html").querySelector("main");
  if (!main || address.pathname === "/sign-in") { location.assign(address); return; }
  const dialog = frame();
  const head = document.createElement("div");
  head.className = "dialog-head";
  const title = document.createElement("h2");
  title.textContent = main.querySelector("h1").textContent;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "toast-close";
  close.dataset.dialogClose = "";
  close.textContent = "✕";
  close.setAttribute("aria-label", "×");
  head.append(title, close);
  const body = document.createElement("div");
  body.className = "dialog-body";
  main.querySelectorAll(".trail, .page-head").forEach((part) => part.remove());
  body.append(...main.childNodes);
  dialog.setAttribute("aria-label", title.textContent);
  dialog.replaceChildren(head, body);
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector("[aria-invalid], [autofocus]") || dialog.querySelector(".dialog-body input:not([type=hidden]), .dialog-body textarea, .dialog-body select, .dialog-body button"))?.focus();
  document.dispatchEvent(new Event("parts-arrived"));
}

// The page that a done form leads to takes the place of this one, notices and all.
const here = () => location.pathname + location.search;
let shownAddress = here();

function showPage(text, address) {
  const next = new DOMParser().parseFromString(text, "text/html");
  history.pushState({}, "", address);
  shownAddress = here();
  document.title = next.title;
  document.body.replaceWith(next.body);
  document.dispatchEvent(new Event("parts-arrived"));
}
addEventListener("popstate", () => { if (here() !== shownAddress) location.reload(); });

async function fetchPage(address, options) {
  const answer = await fetch(address, { headers: { Accept: "text/html" }, ...options });
  return [await answer.text(), new URL(answer.url), answer];
}

document.addEventListener("click", async (event) => {
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  const close = event.target.closest("[data-close], [data-dialog-close]");
  if (close?.closest("[data-toast]")) close.closest("[data-toast]").remove();
  else if (close?.closest("dialog")) { event.preventDefault(); close.closest("dialog").close(); }
  const link = event.target.closest("a[data-dialog]");
  if (link && plain) {
    event.preventDefault();
    openedFrom = link;
    try {
      const [text, address] = await fetchPage(link.href);
      showInDialog(text, address);
    } catch { location.assign(link.href); }
  }
  for (const drop of document.querySelectorAll("[data-drop][open]")) if (!drop.contains(event.target)) drop.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const drop of document.querySelectorAll("[data-drop][open]")) { drop.open = false; drop.querySelector("summary").focus(); }
});
document.addEventListener("close", (event) => { if (event.target === frame()) { openedFrom?.focus(); event.target.replaceChildren(); } }, true);

// A form is sent once; the browser's back button gives the buttons back.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.dataset.sent) { event.preventDefault(); return; }
  if (form.hasAttribute("data-once")) {
    form.dataset.sent = "yes";
    setTimeout(() => form.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
  }
  if (form.closest("[data-dialog-frame]") && form.method === "post" && form.enctype === "application/x-www-form-urlencoded") {
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form, event.submitter));
    try {
      const [text, address, answer] = await fetchPage(form.action, { method: "POST", body });
      if (answer.redirected) showPage(text, address);
      else showInDialog(text, address);
    } catch { free(form); form.submit(); }
  }
});
function free(form) {
  delete form.dataset.sent;
  form.querySelectorAll("button").forEach((button) => { button.disabled = false; });
}
addEventListener("pageshow", (event) => { if (event.persisted) document.querySelectorAll("form[data-sent]").forEach(free); });

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
  if (event.target.matches("[data-tick-all]")) {
    for (const box of event.target.closest("form, table").querySelectorAll(`input[type=checkbox][name="${event.target.dataset.tickAll}"]`)) box.checked = event.target.checked;
  }
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

function tendParts() {
  tendNotices();
  document.querySelectorAll("[data-editor]").forEach(numberLines);
}
document.addEventListener("parts-arrived", tendParts);
tendParts();
