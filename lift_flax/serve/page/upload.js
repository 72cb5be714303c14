// A video file: sent to the server, its timeline drawn, and followed by the player.

import { clock, draw, list, percent, spans } from "./timeline.js";

export class Upload {
  // classes(): names by label; threshold(): below which an answer is unsure.
  constructor(token, limit, classes, threshold) {
    Object.assign(this, { token, limit, classes, threshold });
    for (const id of ["upload", "file", "upload-state", "player", "playing", "playing-label", "playing-timeline", "playing-spans"]) {
      this[id] = document.getElementById(id);
    }
    this.answers = [];
    this.upload.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(this.file.files[0]);
    });
    this.playing.addEventListener("timeupdate", () => this.follow());
    this.playing.addEventListener("error", () => {
      if (this.playing.src) this.say("This browser cannot play the file; its timeline is right all the same.");
    });
    window.addEventListener("resize", () => this.follow());
  }

  say(text) {
    this["upload-state"].textContent = text;
  }

  async send(file) {
    if (!file) return;
    if (file.size > this.limit()) {
      this.say(`The file has ${(file.size / 2 ** 20).toFixed(0)} MiB: at most ${(this.limit() / 2 ** 20).toFixed(0)} are taken.`);
      return;
    }
    this.say(`Reading ${file.name}…`);
    this.player.hidden = true; // of the file before
    this.playing.pause();
    const form = new FormData();
    form.append("file", file);
    const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
    let found;
    try {
      found = await (await fetch("predict?timeline=yes", { method: "POST", body: form, headers })).json();
    } catch {
      this.say("The server cannot be reached.");
      return;
    }
    if (found.error) {
      this.say(`${file.name} cannot be used: ${found.error}`);
      return;
    }
    this.whole = !found.timeline; // one answer for all of it
    this.answers = found.timeline ?? [{ start: 0, end: 0, label: found.label, probability: found.probability }];
    this.answers.forEach((after, index) => {
      const before = this.answers[index - 1];
      if (before && before.end > after.start) before.end = after.start = (before.end + after.start) / 2;
    });
    const unsure = found.probability < this.threshold() ? "unsure: " : "";
    this.say(`${file.name}: ${unsure}${found.label} ${percent(found.probability)}${found.notes.length ? ` (${found.notes.join("; ")})` : ""}`);
    this.player.hidden = false;
    if (this.playing.src) URL.revokeObjectURL(this.playing.src);
    this.playing.src = URL.createObjectURL(file);
    this.playing.addEventListener("loadedmetadata", () => this.follow(), { once: true });
    this.follow();
  }

  follow() {
    if (this.player.hidden) return;
    const now = this.playing.currentTime;
    const duration = Number.isFinite(this.playing.duration) ? this.playing.duration : 0;
    if (this.whole) this.answers[0].end = duration;
    const end = Math.max(duration, this.answers.at(-1).end);
    const found = spans(this.answers, this.threshold());
    draw(this["playing-timeline"], found, this.classes(), 0, end, now);
    list(this["playing-spans"], found);
    const span = found.find((each) => each.start <= now && now < each.end) ?? (now < found[0].start ? found[0] : found.at(-1));
    this["playing-label"].textContent = `${clock(now)}: ${span.label}${span.label === "unsure" ? "" : ` ${percent(span.probability)}`}`;
  }
}
