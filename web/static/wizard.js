// The wizard of a new model: defaults follow the chosen version while nobody has changed them, and the learning rates are drawn
// while their parameters are edited. Without scripts a button does each.
"use strict";

const sameText = (one, other) => one.replace(/\s+/g, "") === other.replace(/\s+/g, "");

document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-model-parameters]")) return;
  const editor = document.querySelector("textarea[name=model_parameters]");
  const known = [...document.querySelectorAll("[data-model-parameters]")].map((version) => version.dataset.modelParameters);
  if (editor && (!editor.value.trim() || known.some((text) => sameText(text, editor.value)))) {
    editor.value = event.target.dataset.modelParameters;
    editor.dispatchEvent(new Event("input", { bubbles: true }));
  }
});

const curves = document.querySelector("[data-curves]");
const parameters = document.querySelector("textarea[name=training_parameters]");
if (curves && parameters) {
  const preview = document.querySelector("[data-preview]");
  preview.hidden = true;
  let waiting = null, asked = 0;
  const draw = async () => {
    const number = ++asked;
    const body = new URLSearchParams({ csrf_token: document.querySelector("meta[name=csrf-token]").content, training_parameters: parameters.value,
      images: curves.dataset.images, masked_images: curves.dataset.maskedImages });
    if (curves.hasAttribute("data-segmentation")) body.append("segmentation", "on");
    try {
      const answer = await fetch(curves.dataset.curves, { method: "POST", body, headers: { Accept: "text/html" } });
      const text = await answer.text();
      if (!answer.ok || answer.redirected) throw new Error("these are no curves"); // the session ended: the button leads to the sign-in
      if (number === asked) curves.innerHTML = text;
    } catch { preview.hidden = false; }
  };
  parameters.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(draw, 300); });
}
