// The page: what comes from the server is shown, what the visitor chooses is sent.

import { Camera } from "./camera.js";
import { parts, show } from "./pictures.js";
import { Connection } from "./socket.js";
import { clock, csv, download, draw, list, percent, spans } from "./timeline.js";
import { Upload } from "./upload.js";

const KEPT = 180; // s of the timeline
const MOST_BARS = 12;
const $ = (id) => document.getElementById(id);
const CAPTIONS = { lit: "lit, for the luminous stream", flow: "motion, for the luminous stream" };

let greeting = { classes: [], networks: ["student"], upload_bytes: 0 };
let answers = []; // of the last minutes
let began = null; // time of the first answer
let moments = []; // when the last answers came
let loudest = ""; // what was said last to those who listen
let greeted = false;

const threshold = () => Number($("threshold").value) / 100;
const connection = new Connection(receive, socketChanged);
const LOSES = "of quality 0.95: a little is lost, most of it in the shadows.";
const WAYS = {
  raw: "Frames travel without loss: the server is this machine.",
  whole: "Frames travel as WebP without loss.",
  webp: `Frames travel as WebP ${LOSES}`,
  jpeg: `Frames travel as JPEG ${LOSES}`,
};
const camera = new Camera($("camera"), connection, (way) => {
  $("travel").textContent = WAYS[way];
});
const upload = new Upload(connection.token, () => greeting.upload_bytes, () => greeting.classes, threshold);

function notice(text) {
  $("notice").hidden = !text;
  $("notice").textContent = text;
}

function socketChanged(state, reason, pause) {
  if (state === "open") return;
  $("why").disabled = true;
  if (state === "refused") {
    notice(`${reason}.`);
    return;
  }
  const why = reason ? `${reason}. ` : "";
  notice(`${why}No connection to the server: trying again in ${pause} s.`);
}

function receive(head, bytes) {
  const handlers = { greeting: greet, answer, state: stateChanged, source: sourceChanged, why: explained, error: ({ reason }) => notice(reason) };
  handlers[head.type]?.(head, bytes);
}

function greet(head) {
  greeting = head;
  notice("");
  const seconds = head.seconds ? ` in ${head.seconds.toFixed(1)} s` : "";
  $("about").textContent = `${head.classes.length} actions, from ${head.frames} frames of ${head.size} px${seconds}: ${head.classes.join(", ")}`;
  if (!greeted && head.threshold !== null) {
    $("threshold").value = Math.round(100 * head.threshold);
    $("threshold-shown").value = `${$("threshold").value} %`;
  }
  greeted = true;
  $("why").textContent = "Why?";
  $("card").hidden = !head.card;
  $("card").href = connection.token ? `card?token=${encodeURIComponent(connection.token)}` : "card";
  $("stops").min = head.stops[0];
  $("stops").max = head.stops[1];
  camera.raw = head.lossless;
  const ofServer = head.source === "server";
  $("start").hidden = ofServer;
  $("camera").hidden = ofServer;
  $("filmed").hidden = !ofServer;
  if (ofServer) $("travel").textContent = "The camera is the server’s.";
  chooseNetworks(head.networks);
  sendSettings();
}

function chooseNetworks(networks) {
  const chosen = document.querySelector("input[name=network]:checked")?.value ?? "student";
  const labels = networks.map((name) => {
    const [label, input] = [document.createElement("label"), document.createElement("input")];
    Object.assign(input, { type: "radio", name: "network", value: name, checked: name === chosen });
    input.addEventListener("change", sendSettings);
    label.append(input, name);
    return label;
  });
  $("networks").replaceChildren($("networks").querySelector("legend"), ...labels);
}

function sendSettings() {
  const network = document.querySelector("input[name=network]:checked")?.value ?? "student";
  connection.ask({ type: "settings", network, stops: Number($("stops").value), smooth: Number($("smooth").value) });
}

function stateChanged({ state, reason }) {
  const texts = { preparing: "The network is being prepared; the first time takes a while.", ready: "", failed: reason };
  notice(texts[state] ?? "");
}

function sourceChanged({ state, reason, again_in: pause }) {
  const texts = { starting: "The camera is being opened.", running: "", lost: `The camera is lost (${reason}): trying again in ${pause} s.` };
  notice(texts[state] ?? "");
}

function answer(head, bytes) {
  began ??= head.time;
  const at = head.time - began;
  const last = answers.at(-1);
  const start = last && at - last.end < 1.5 && at > last.end ? last.end : at;
  if (last && at < last.end) answers = []; // another camera
  answers.push({ start, end: at, ...head, pictures: undefined, counts: undefined });
  const old = answers.findIndex((each) => each.end > at - KEPT);
  if (old > 0) answers.splice(0, old);
  moments = [...moments.filter((moment) => performance.now() - moment < 5000), performance.now()];
  $("why").disabled = false;
  showLabel(head);
  showBars(head.probabilities);
  showNumbers(head.counts);
  showPictures(head, bytes);
}

function showLabel(head) {
  const unsure = head.probability < threshold();
  const text = unsure ? "unsure" : head.label;
  $("label").classList.toggle("unsure", unsure);
  $("label").dataset.label = head.label;
  if (text !== loudest) {
    loudest = text;
    $("label").textContent = text;
  }
}

function showBars(shares) {
  const order = shares.map((_, index) => index).sort((a, b) => shares[b] - shares[a]).slice(0, MOST_BARS);
  const bars = $("bars");
  while (bars.children.length < order.length) bars.append(bar());
  while (bars.children.length > order.length) bars.lastChild.remove();
  order.forEach((index, row) => {
    const item = bars.children[row];
    const [name, track, share] = item.children;
    name.textContent = greeting.classes[index];
    share.textContent = percent(shares[index]);
    track.firstChild.style.width = percent(shares[index]).replace(" ", "");
    item.classList.toggle("unsure", shares[index] < threshold());
  });
}

function bar() {
  const item = document.createElement("li");
  const [name, track, fill, share] = ["span", "div", "div", "span"].map((tag) => document.createElement(tag));
  track.className = "track";
  fill.className = "fill";
  share.className = "share";
  track.append(fill);
  item.append(name, track, share);
  return item;
}

function showNumbers(counts) {
  $("n-received").textContent = counts.received + camera.skipped;
  $("n-dropped").textContent = counts.dropped + camera.skipped;
  $("n-answers").textContent = counts.answers;
  const span = (moments.at(-1) - moments[0]) / 1000;
  $("n-rate").textContent = span > 0.5 ? ((moments.length - 1) / span).toFixed(1) : "–";
  $("n-p50").textContent = `${counts.p50_ms.toFixed(0)} ms`;
  $("n-p95").textContent = `${counts.p95_ms.toFixed(0)} ms`;
}

function showPictures(head, bytes) {
  const found = parts(head, bytes);
  const luminous = found.flow ? "flow" : "lit";
  show($("seen-frame"), ...found.frame);
  if (found[luminous]) show($("seen-luminous"), ...found[luminous]);
  $("seen-frame-caption").textContent = `as the network takes it, ${greeting.size} px`;
  $("seen-luminous-caption").textContent = CAPTIONS[luminous];
  const refilmed = Boolean(found.filmed);
  if (refilmed) show($("filmed"), ...found.filmed);
  $("filmed").hidden = !refilmed;
  $("camera").hidden = refilmed;
  $("filmed-caption").textContent = head.stops ? `as filmed with ${stops(head.stops)}` : "as filmed";
}

function stops(value) {
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)} ${Math.abs(value) === 1 ? "stop" : "stops"}`;
}

function explained(head, bytes) {
  $("why").disabled = false;
  $("why").textContent = "Why?";
  if (head.error) {
    notice(head.error);
    return;
  }
  const picture = $("explained-picture");
  if (picture.src) URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  picture.alt = `Where the student looked in the window just answered, ${head.title}: frames, space-time attention, and class activation`;
  $("explained-link").href = picture.src;
  $("explained-link").target = "_blank";
  $("explained-caption").textContent = `What the student looked at in one window: ${head.title}`;
  $("explained").hidden = false;
}

function redraw() {
  const end = answers.at(-1)?.end ?? 0;
  const found = spans(answers, threshold());
  draw($("timeline"), found, greeting.classes, Math.max(end - KEPT, 0), Math.max(end, 10));
  if (document.querySelector("#spans").closest("details").open) list($("spans"), found);
}

$("start").addEventListener("click", async () => {
  if (camera.running) {
    camera.stop();
    $("start").textContent = "Start the camera";
    notice("The camera is stopped: pictures and answer are the last ones.");
    return;
  }
  try {
    await camera.start();
  } catch (error) {
    notice(`There is no camera: ${error.message}`);
    return;
  }
  $("start").textContent = "Stop the camera";
  notice("");
  const devices = await camera.devices();
  $("camera-choice").hidden = devices.length < 2;
  const names = devices.map((device, index) => new Option(device.label || `camera ${index + 1}`, device.deviceId));
  $("cameras").replaceChildren(...names);
});
$("cameras").addEventListener("change", () => camera.start($("cameras").value));
$("stops").addEventListener("input", () => {
  $("stops-shown").value = stops(Number($("stops").value));
  sendSettings();
});
$("smooth").addEventListener("change", sendSettings);
$("threshold").addEventListener("input", () => {
  $("threshold-shown").value = `${$("threshold").value} %`;
  upload.follow();
});
$("why").addEventListener("click", () => {
  $("why").disabled = true;
  $("why").textContent = "Looking…";
  connection.ask({ type: "why" });
});
$("as-csv").addEventListener("click", () => download("timeline.csv", "text/csv", csv(answers, greeting.classes)));
$("as-json").addEventListener("click", () => {
  const rows = answers.map(({ end, label, probability, probabilities, network, stops: exposure }) => ({ time: end, label, probability, probabilities, network, stops: exposure }));
  download("timeline.json", "application/json", JSON.stringify({ classes: greeting.classes, answers: rows }, null, 1));
});
$("clear").addEventListener("click", () => {
  answers = [];
  began = null;
});
setInterval(redraw, 250);
