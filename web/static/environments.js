// The environment tree fetches a branch when it is opened, and further siblings in place; the address keeps what is open.
// Without this script the links inside closed branches lead to the same. Lists of choices can be filtered and ticked as a whole.
"use strict";

const MOST_OPEN = 60;
const branches = (state) => [...document.querySelectorAll(`.tree details[data-branch]${state}`)];
const openBranches = new Set(branches("[open]").map((branch) => branch.dataset.branch));

async function siblingsAt(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error("no part of a tree");
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  return holder.content.querySelector("ul");
}

async function grow(branch) {
  const closed = branch.querySelector(":scope > [data-closed]");
  if (!closed || branch.ariaBusy === "true") return;
  branch.ariaBusy = "true";
  try {
    closed.replaceWith(await siblingsAt(closed.dataset.closed));
    reopen();
  } catch { /* The link stays: it leads to the same. */ } finally { branch.ariaBusy = "false"; }
}

// What was open stays open when an action shows the tree anew, or when a branch above is opened again.
function reopen() {
  for (const branch of branches(":not([open])")) {
    if (openBranches.has(branch.dataset.branch)) { branch.open = true; grow(branch); }
  }
}

document.addEventListener("toggle", (event) => {
  const branch = event.target;
  if (!branch.matches?.("details[data-branch]") || !branch.isConnected || branch.open === openBranches.has(branch.dataset.branch)) return;
  if (branch.open) { openBranches.add(branch.dataset.branch); grow(branch); } else openBranches.delete(branch.dataset.branch);
  const shown = branches("[open]").filter((one) => !one.parentElement.closest("details:not([open])"));
  const address = new URL(location);
  address.searchParams.delete("open");
  for (const id of shown.length ? shown.slice(0, MOST_OPEN).map((one) => one.dataset.branch) : ["none"]) address.searchParams.append("open", id);
  history.replaceState(history.state, "", address);
}, true);

document.addEventListener("click", async (event) => {
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  const more = event.target.closest("a[data-more]");
  if (!more || !plain) return;
  event.preventDefault();
  try {
    const siblings = await siblingsAt(more.dataset.more);
    siblings.querySelector(":scope > .tree-earlier")?.remove();
    const first = siblings.querySelector(":scope > li a, :scope > li summary");
    more.closest("li").replaceWith(...siblings.children);
    first?.focus();
  } catch { location.assign(more.href); }
});

// Choices: filter what is shown; ticking all ticks what is shown.
function tendChoices() {
  for (const choices of document.querySelectorAll("[data-choices]")) {
    for (const hidden of choices.querySelectorAll(".choices-filter, .choices-all")) hidden.hidden = false;
    sumUp(choices);
  }
}
function sumUp(choices) {
  const all = choices.querySelector("[data-choices-all]");
  if (!all) return;
  const ticked = shownBoxes(choices).filter((box) => box.checked).length;
  all.checked = ticked > 0 && ticked === shownBoxes(choices).length;
  all.indeterminate = ticked > 0 && !all.checked;
}
const shownBoxes = (choices) => [...choices.querySelectorAll("label.choice:not([hidden]) > input[name]")];
document.addEventListener("input", (event) => {
  const choices = event.target.closest?.("[data-choices]");
  if (!choices) return;
  if (event.target.matches("[data-choices-filter]")) {
    const wanted = event.target.value.trim().toLowerCase();
    for (const box of choices.querySelectorAll("input[name][type=checkbox]")) {
      box.parentElement.hidden = !box.parentElement.textContent.toLowerCase().includes(wanted);
    }
  } else if (event.target.matches("[data-choices-all]")) {
    for (const box of shownBoxes(choices)) box.checked = event.target.checked;
  }
  sumUp(choices);
});
// The Enter key filters, it does not send the form.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches?.("[data-choices-filter]")) event.preventDefault();
});

document.addEventListener("parts-arrived", () => {
  tendChoices();
  if (document.querySelector("dialog[open]")) return;
  reopen();
  const target = location.hash.startsWith("#node-") && document.getElementById(location.hash.slice(1));
  if (target) { target.classList.add("is-target"); target.scrollIntoView({ block: "nearest" }); }
});
tendChoices();
