// A report shows other samples without losing the reader's place; without scripts each choice is a page of its own.
"use strict";

document.addEventListener("click", async (event) => {
  const link = event.target.closest(".report a[data-choose]");
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  const address = new URL(link.href);
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    const report = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".report");
    if (!answer.ok || !report) throw new Error("no report");
    history.pushState({}, "", address);
    shownAddress = here(); // app.js loads the page again when the reader goes back to another address
    document.querySelector(".report").replaceWith(report);
    document.dispatchEvent(new Event("parts-arrived"));
    document.querySelector(`.report a[data-choose][href="${CSS.escape(link.getAttribute("href"))}"]`)?.focus({ preventScroll: true });
    const samples = document.getElementById("samples");
    samples.scrollTop = 0;
    if (samples.getBoundingClientRect().top > innerHeight / 2) samples.scrollIntoView();
  } catch { location.assign(address); }
});
