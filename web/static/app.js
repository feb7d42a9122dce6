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
  (dialog.querySelector("[aria-invalid], [autofocus]") || dialog.querySelector(".dialog-body input:not([type=hidden], [readonly]), .dialog-body textarea, .dialog-body select, .dialog-body button"))?.focus();
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

// Cascades: each level offers only what lies under the choice above.
function narrow(cascade) {
  let parents = null;
  for (const level of cascade.querySelectorAll("[data-level]")) {
    const fits = (item) => parents === null || parents.has(item.dataset.parent);
    if (level.tagName === "SELECT") {
      level.options_all ??= [...level.querySelectorAll("option")].map((option) => option.cloneNode(true));
      const chosen = level.value;
      level.replaceChildren(...level.options_all.filter((option) => option.value === "" || fits(option)).map((option) => option.cloneNode(true)));
      level.value = [...level.options].some((option) => option.value === chosen) ? chosen : "";
      level.disabled = parents !== null && parents.size === 0;
      parents = new Set(level.value ? [level.value] : []);
    } else {
      let shown = 0;
      for (const choice of level.querySelectorAll("[data-parent]")) {
        choice.hidden = !fits(choice);
        if (choice.hidden) choice.querySelector("input").checked = false; else shown += 1;
      }
      level.querySelector("[data-none]").hidden = shown > 0;
    }
  }
}
document.addEventListener("change", (event) => {
  const cascade = event.target.closest("[data-cascade]");
  if (cascade) narrow(cascade);
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
  document.querySelectorAll("[data-cascade]").forEach(narrow);
  document.querySelectorAll("[data-editor]").forEach(numberLines);
}
document.addEventListener("parts-arrived", tendParts);
tendParts();
