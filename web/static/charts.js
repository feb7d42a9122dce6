// The figures under the pointer: the nearest point of each line of a chart, with a mark on the line. The table below says the same.
"use strict";

const pointsOf = (line) => line.dataset.points.split(",").map((pair) => pair.split(" ").map(Number));
const spoken = (value) => Number(value.toPrecision(4)).toLocaleString(document.documentElement.lang, { maximumSignificantDigits: 4 });

function forget(chart) { chart.querySelectorAll(".chart-mark, .chart-tip").forEach((mark) => mark.remove()); }

document.addEventListener("pointermove", (event) => {
  const drawing = event.target.closest?.(".chart > svg[data-x-high]");
  if (!drawing) { document.querySelectorAll(".chart:has(.chart-tip)").forEach(forget); return; }
  const chart = drawing.closest(".chart"), frame = drawing.getBoundingClientRect(), box = drawing.viewBox.baseVal;
  const [left, right, low, high] = ["left", "right", "xLow", "xHigh"].map((name) => Number(drawing.dataset[name]));
  const x = low + ((event.clientX - frame.left) / frame.width * box.width - left) / (right - left) * (high - low);
  const place = (value) => left + (value - low) / (high - low) * (right - left);
  forget(chart);
  const tip = Object.assign(document.createElement("p"), { className: "chart-tip" });
  for (const line of drawing.querySelectorAll("path[data-points]")) {
    const points = pointsOf(line), places = line.getAttribute("d").match(/[-\d.]+ [-\d.]+/g);
    let at = 0;
    points.forEach((point, index) => { if (Math.abs(point[0] - x) < Math.abs(points[at][0] - x)) at = index; });
    const mark = document.createElementNS(drawing.namespaceURI, "circle");
    mark.setAttribute("class", `chart-mark ${line.getAttribute("class")}`);
    mark.setAttribute("r", 4);
    mark.setAttribute("cx", place(points[at][0]));
    mark.setAttribute("cy", places[at].split(" ")[1]);
    drawing.append(mark);
    if (!tip.childElementCount) tip.append(Object.assign(document.createElement("span"), { textContent: `${drawing.dataset.xLabel} ${points[at][0].toLocaleString(document.documentElement.lang)}` }));
    tip.append(Object.assign(document.createElement("b"), { textContent: `${line.dataset.name} ${spoken(points[at][1])}${drawing.dataset.unit}` }));
    tip.dataset.at = place(points[at][0]) / box.width;
  }
  if (!tip.childElementCount) return;
  drawing.after(tip);
  const wanted = frame.left - chart.getBoundingClientRect().left + tip.dataset.at * frame.width;
  tip.style.left = `${Math.max(0, Math.min(wanted + 10, chart.clientWidth - tip.offsetWidth))}px`;
});
document.addEventListener("pointerleave", () => document.querySelectorAll(".chart").forEach(forget));
