// Transfers that show how far they are and go on after a broken connection. Without scripts the browser does both in its own way.
// A file travels to the server in parts as soon as it is chosen; a download is put together here, or goes straight to the disk.
"use strict";

const BLOB_BYTES = 8 * 2 ** 20;
const PAUSES = [1, 2, 4, 8, 15, 30, 30, 30]; // seconds between attempts, two minutes in all
const LARGEST_BLOB = 2 ** 30;
const going = new Set();

class Refused extends Error {} // the server has said why; asking again would not help
class Stopped extends Error {} // by a person

const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const token = () => document.querySelector('meta[name="csrf-token"]').content;

function bytes(count) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (count < 1024 || unit === "GiB") return unit === "B" ? `${count.toFixed(0)} B` : `${count.toFixed(1)} ${unit}`;
    count /= 1024;
  }
}

function clock(seconds) {
  const whole = Math.ceil(seconds), two = (number) => String(number).padStart(2, "0");
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

// What a transfer shows: share, amount, and from the last seconds its speed and the time left.
class Display {
  constructor(root, texts, size) { Object.assign(this, { root, texts, size, points: [] }); }
  find(name) { return this.root.querySelector(`[data-${name}]`); }
  show(done) {
    const now = performance.now() / 1000;
    if (this.points.length && done < this.points.at(-1)[1]) this.points = [];
    this.points.push([now, done]);
    while (this.points.length > 2 && now - this.points[0][0] > 8) this.points.shift();
    const [since, before] = this.points[0];
    const speed = now - since > 0.5 ? (done - before) / (now - since) : 0;
    this.root.querySelector("progress").value = done / this.size;
    this.find("percent").textContent = `${Math.floor(100 * done / this.size)} %`;
    const amount = fill(this.texts.arrived, { done: bytes(done), size: bytes(this.size) });
    const rest = speed ? ` · ${fill(this.texts.speed, { speed: bytes(speed), left: clock((this.size - done) / speed) })}` : "";
    this.say(amount + rest);
  }
  say(text) { if (this.find("detail").textContent !== text) this.find("detail").textContent = text; }
}

async function ask(address, fields) {
  const options = { headers: { Accept: "application/json", "X-CSRF-Token": token() } };
  if (fields) Object.assign(options, { method: "POST", body: new URLSearchParams(fields) });
  return understood(await fetch(address, options));
}
async function understood(answer) {
  if (answer.status >= 500) throw new Error(`the server answered ${answer.status}`);
  const said = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (answer.ok || answer.status === 409) return said;
  throw new Refused(said?.refusals?.map(([, sentence]) => sentence).join(" ") || said?.title || String(answer.status));
}

// Uploads

class Upload {
  constructor(block, file) {
    const transfer = block.querySelector("[data-transfer]");
    Object.assign(this, { block, file, transfer, form: block.closest("form"), display: new Display(transfer, block.dataset, file.size) });
    this.problem = block.querySelector("[data-problem]");
    this.isStopped = false;
  }
  async run() {
    going.add(this);
    this.dress({ isGoing: true });
    this.transfer.querySelector("[data-name]").textContent = this.file.name;
    try {
      this.upload ??= await this.begin();
      this.display.show(this.upload.received);
      await this.sendAll();
      this.block.querySelector('[name="upload_id"]').value = this.upload.upload_id;
      this.block.querySelector('[type="file"]').value = "";
      this.display.say(this.block.dataset.complete);
      this.dress({ isDone: true });
    } catch (error) {
      if (error instanceof Refused) { this.forget(); this.complain(error.message); }
      else if (!(error instanceof Stopped)) { this.display.say(this.block.dataset.broken); this.dress({ isBroken: true }); }
    } finally { going.delete(this); guard(this.form); }
  }
  begin() {
    const { begin, into } = this.block.dataset;
    return ask(begin, { file_name: this.file.name, size: this.file.size, mark: this.file.lastModified, model_image_id: into });
  }
  get address() { return `${this.block.dataset.begin}/${this.upload.upload_id}`; }
  async sendAll() {
    for (let failures = 0, mustAsk = false; this.upload.received < this.upload.size;) {
      const before = this.upload.received;
      try {
        this.upload = mustAsk ? await ask(this.address) : await this.sendPart();
        if (!mustAsk && this.upload.received === before) throw new Error("the request before has not noticed yet that it broke");
        if (this.upload.received > before) failures = 0;
        mustAsk = false;
      } catch (error) {
        if (error instanceof Refused || this.isStopped || failures >= PAUSES.length) throw this.isStopped ? new Stopped() : error;
        this.display.say(this.block.dataset.again);
        await wait(PAUSES[failures++]);
        mustAsk = true;
      }
      if (this.isStopped) throw new Stopped();
    }
  }
  sendPart() {
    const { received } = this.upload, request = this.request = new XMLHttpRequest();
    return new Promise((resolve, reject) => {
      request.open("PUT", `${this.address}?offset=${received}`);
      request.setRequestHeader("X-CSRF-Token", token());
      request.setRequestHeader("Accept", "application/json");
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.onprogress = (event) => this.display.show(Math.min(this.upload.size, received + event.loaded));
      request.onload = () => understood(new Response(request.status === 204 ? null : request.responseText, { status: request.status })).then(resolve, reject);
      request.onerror = request.ontimeout = () => reject(new Error("the connection broke"));
      request.onabort = () => reject(new Stopped());
      request.send(this.file.slice(received, received + Number(this.block.dataset.part)));
    });
  }
  async stop() {
    this.isStopped = true;
    this.request?.abort();
    const address = this.upload && `${this.address}/cancel`;
    this.forget();
    if (address) await ask(address, {}).catch(() => {}); // otherwise it expires
  }
  forget() {
    this.block.querySelector('[name="upload_id"]').value = "";
    this.block.querySelector('[type="file"]').value = "";
    this.dress({ isShown: false });
  }
  complain(sentence) { this.problem.textContent = sentence; this.problem.hidden = false; }
  dress({ isShown = true, isGoing = false, isDone = false, isBroken = false }) {
    this.transfer.hidden = !isShown;
    this.problem.hidden = true;
    this.block.querySelectorAll(".field-error:not([data-problem])").forEach((said) => said.remove());
    this.block.classList.toggle("is-going", isGoing || isBroken);
    this.transfer.querySelector("[data-go-on]").hidden = !isBroken;
    this.transfer.querySelector("[data-stop]").hidden = !(isGoing || isBroken || isDone);
    guard(this.form);
  }
}

const uploads = new WeakMap(); // by block
const isWaiting = (form) => form.elements.source?.value === "upload" && [...going].some((one) => one.form === form);
function guard(form) { const button = form?.querySelector(".form-end button"); if (button) button.disabled = isWaiting(form); }

document.addEventListener("change", (event) => {
  const block = event.target.closest("[data-upload]");
  if (event.target.name === "source") guard(event.target.form);
  if (!block || event.target.type !== "file" || !event.target.files.length) return;
  const upload = new Upload(block, event.target.files[0]);
  uploads.set(block, upload);
  upload.run();
});
document.addEventListener("click", (event) => {
  const block = event.target.closest("[data-upload]"), upload = block && uploads.get(block);
  if (event.target.closest("[data-stop]")) upload?.stop();
  if (event.target.closest("[data-go-on]")) upload?.run();
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.plainAction) return;
  const refused = form.elements.source?.value === "upload" && form.querySelector("[data-problem]:not([hidden])");
  if (refused) form.querySelector('[type="file"]').focus(); // what was said of the chosen file stays until another one is chosen
  if (refused || isWaiting(form)) { event.preventDefault(); event.stopImmediatePropagation(); return; }
  form.action = form.dataset.plainAction; // the file has arrived already, or a path was typed
  form.enctype = "application/x-www-form-urlencoded";
  for (const one of going) if (one.form === form) { one.isStopped = true; one.request?.abort(); }
}, true);

// Downloads

class Download {
  constructor(link, corner) {
    const row = corner.querySelector("template").content.firstElementChild.cloneNode(true);
    corner.append(row);
    Object.assign(this, { link, row, texts: corner.dataset, size: Number(link.dataset.download), display: new Display(row, corner.dataset, Number(link.dataset.download)) });
    this.row.querySelector("[data-name]").textContent = link.download;
    this.row.querySelector("[data-stop]").addEventListener("click", () => { this.stopper.abort(); this.row.remove(); });
    this.stopper = new AbortController();
  }
  async run(sink) {
    going.add(this);
    this.display.show(0);
    try {
      await this.fetchAll(sink);
      await sink.finish(this.link.download);
      this.display.show(this.size);
      this.display.say(this.texts.complete);
      this.row.querySelector("[data-stop]").textContent = this.texts.close;
    } catch (error) {
      await sink.drop();
      if (!this.stopper.signal.aborted) this.display.say(error instanceof Refused ? error.message : this.texts.broken);
    } finally { going.delete(this); }
  }
  async fetchAll(sink) {
    let done = 0, mark = "", failures = 0;
    while (done < this.size) {
      try {
        const headers = { Accept: "application/octet-stream, application/json", ...(done && { Range: `bytes=${done}-`, "If-Range": mark }) };
        const answer = await fetch(this.link.href, { headers, signal: this.stopper.signal, cache: "no-store" });
        if (!answer.ok) await understood(answer);
        if (done && answer.status === 200) { done = 0; await sink.restart(); } // another file by now
        mark = answer.headers.get("ETag");
        for (const reader = answer.body.getReader();;) {
          const { value, done: isEnd } = await reader.read();
          if (isEnd) break;
          await sink.write(value);
          done += value.length;
          failures = 0;
          this.display.show(done);
        }
      } catch (error) {
        if (error instanceof Refused || this.stopper.signal.aborted) throw error;
      }
      if (done < this.size) {
        if (failures >= PAUSES.length) throw new Error("the connection did not come back");
        this.display.say(this.texts.again);
        await wait(PAUSES[failures++]);
      }
    }
  }
}

// Where a download goes: pieces that the browser keeps outside of the page's memory, or a file that a person has chosen.
class Pieces {
  constructor() { this.restart(); }
  async restart() { this.blobs = []; this.collected = []; this.count = 0; }
  async write(piece) {
    this.collected.push(piece);
    this.count += piece.length;
    if (this.count >= BLOB_BYTES) { this.blobs.push(new Blob(this.collected)); this.collected = []; this.count = 0; }
  }
  async finish(name) {
    const address = URL.createObjectURL(new Blob([...this.blobs, ...this.collected], { type: "application/octet-stream" }));
    Object.assign(document.createElement("a"), { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    await this.restart();
  }
  async drop() { await this.restart(); }
}
class ChosenFile {
  constructor(file) { this.file = file; }
  async restart() { await this.file.truncate(0); await this.file.seek(0); }
  async write(piece) { await this.file.write(piece); }
  async finish() { await this.file.close(); }
  async drop() { await this.file.abort().catch(() => {}); }
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-download]"), corner = document.querySelector("[data-transfers]");
  if (!link || !corner || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const isLarge = Number(link.dataset.download) > LARGEST_BLOB;
  if (isLarge && !window.showSaveFilePicker) return; // the browser's own download writes to the disk, shows how far it is and can go on
  event.preventDefault();
  let sink = new Pieces();
  if (isLarge) {
    try { sink = new ChosenFile(await (await window.showSaveFilePicker({ suggestedName: link.download })).createWritable()); }
    catch { return; } // nothing was chosen
  }
  new Download(link, corner).run(sink);
});

addEventListener("beforeunload", (event) => { if (going.size) event.preventDefault(); });
