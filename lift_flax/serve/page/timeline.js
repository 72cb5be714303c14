// Answers over time: drawn as spans of one class, listed as text, written as CSV and JSON.

const HUES = [205, 32, 145, 280, 0, 60, 175, 320, 95, 240, 15];

export function colour(index) {
  const hue = HUES[index % HUES.length];
  return `hsl(${hue} 62% ${index < HUES.length ? 48 : 62}%)`;
}

export const percent = (share) => `${(100 * share).toFixed(1)} %`;

export function clock(seconds) {
  const tenths = Math.round(10 * seconds);
  const [minutes, rest] = [Math.floor(tenths / 600), (tenths % 600) / 10];
  return `${minutes}:${rest.toFixed(1).padStart(4, "0")}`;
}

// Neighbours of one label as one span; answers below the threshold are unsure.  Each answer: {start, end, label, probability}.
export function spans(answers, threshold) {
  const joined = [];
  for (const answer of answers) {
    const label = answer.probability < threshold ? "unsure" : answer.label;
    const last = joined.at(-1);
    if (last && last.label === label && answer.start - last.end < 1.5) {
      last.end = answer.end;
      last.sum += answer.probability;
      last.count += 1;
    } else joined.push({ start: answer.start, end: answer.end, label, sum: answer.probability, count: 1 });
  }
  return joined.map(({ sum, count, ...span }) => ({ ...span, probability: sum / count }));
}

export function draw(canvas, found, classes, from, to, now) {
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = canvas.getBoundingClientRect();
  if (!width) return;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const style = getComputedStyle(canvas);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const place = (time) => ((time - from) / Math.max(to - from, 1e-3)) * width;
  context.font = `12px ${style.fontFamily}`;
  context.textBaseline = "middle";
  const bottom = height - 18;
  for (const span of found) {
    if (span.end < from) continue;
    const [left, right] = [Math.max(place(span.start), 0), Math.min(place(span.end), width)];
    const index = classes.indexOf(span.label);
    const tall = index < 0 ? bottom * 0.15 : bottom * Math.max(span.probability, 0.15);
    context.fillStyle = index < 0 ? style.getPropertyValue("--unsure") : colour(index);
    context.fillRect(left, bottom - tall, Math.max(right - left, 1), tall);
    if (index >= 0 && context.measureText(span.label).width + 8 < right - left) {
      context.fillStyle = "#000";
      context.globalAlpha = 0.55;
      context.fillRect(left + 2, bottom - 19, context.measureText(span.label).width + 6, 17);
      context.globalAlpha = 1;
      context.fillStyle = "#fff";
      context.fillText(span.label, left + 5, bottom - 10);
    }
  }
  context.fillStyle = style.getPropertyValue("--quiet") || style.color;
  const step = [1, 2, 5, 10, 20, 30, 60, 120, 300].find((each) => (each / (to - from)) * width > 60) ?? 600;
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
    const x = place(time);
    context.fillRect(x, bottom, 1, 4);
    if (x < width - 34) context.fillText(clock(time).replace(/\.0$/, ""), x + 3, height - 8);
  }
  if (now !== undefined) {
    context.fillStyle = style.color;
    context.fillRect(place(now) - 1, 0, 2, height);
  }
}

export function list(element, found, most = 200) {
  element.replaceChildren(
    ...found.slice(-most).map((span) => {
      const item = document.createElement("li");
      const share = span.label === "unsure" ? "" : ` ${percent(span.probability)}`;
      item.textContent = `${clock(span.start)} to ${clock(span.end)}: ${span.label}${share}`;
      return item;
    }),
  );
}

// A cell that a spreadsheet would read as a formula begins with a quote.
function cell(value) {
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function csv(answers, classes) {
  const head = ["time", "label", "probability", "network", "stops", ...classes];
  const rows = answers.map((answer) => [
    answer.end.toFixed(3), answer.label, answer.probability, answer.network, answer.stops, ...answer.probabilities,
  ]);
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

export function download(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
