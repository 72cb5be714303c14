// The camera of this browser: its newest frame, made smaller, goes to the server; what cannot be sent at once is dropped.

const SHORT_SIDE = 256; // px
const MOST_WAITING = 3; // frames on the way to the line
const WHOLE = 1; // of WebP: nothing is lost, in browsers that have it so
const QUALITY = 0.95; // of lossy pictures: lower ones harm the shadows that gamma lifts
const JUDGED = 60; // frames, after which a line is too slow that has held up half of them

export class Camera {
  // `told` gets how frames travel, once and after each change: "raw", "whole" (WebP without loss), "webp" or "jpeg".
  constructor(video, connection, told) {
    this.video = video;
    this.connection = connection;
    this.told = told;
    this.raw = true;
    this.quality = WHOLE;
    this.bytes = 0; // of the last frame
    this.tried = 0;
    this.heldUp = 0;
    this.running = false;
    this.encoding = false;
    this.skipped = 0;
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
  }

  async start(device) {
    if (!navigator.mediaDevices) {
      throw new Error("browsers give a camera to pages over https or from localhost alone: see “Live” in the docs");
    }
    this.stop();
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: device ? { deviceId: { exact: device } } : { width: { ideal: 640 }, frameRate: { ideal: 30 } },
    });
    this.video.srcObject = stream;
    await this.video.play();
    this.running = true;
    this.next();
  }

  stop() {
    this.running = false;
    this.video.cancelVideoFrameCallback?.(this.handle);
    clearTimeout(this.timer);
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }

  async devices() {
    return (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
  }

  next() {
    if (!this.running) return;
    const take = () => {
      this.send(performance.now() / 1000);
      this.next();
    };
    if (this.video.requestVideoFrameCallback) this.handle = this.video.requestVideoFrameCallback(take);
    else this.timer = setTimeout(take, 40);
  }

  async send(time) {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width || !this.connection.ready) return;
    const heldUp = this.connection.waiting > MOST_WAITING * this.bytes;
    this.judge(heldUp);
    if (this.encoding || heldUp) {
      this.skipped += 1;
      return;
    }
    const scale = Math.min(1, SHORT_SIDE / Math.min(width, height));
    const size = { width: 2 * Math.round((width * scale) / 2), height: 2 * Math.round((height * scale) / 2) };
    if (this.canvas.width !== size.width || this.canvas.height !== size.height) Object.assign(this.canvas, size);
    this.context.drawImage(this.video, 0, 0, size.width, size.height);
    if (this.raw) {
      this.give({ time, ...size, format: "rgba" }, this.context.getImageData(0, 0, size.width, size.height).data, "raw");
      return;
    }
    this.encoding = true;
    try {
      await this.sendEncoded({ time, ...size });
    } finally {
      this.encoding = false;
    }
  }

  // A line that holds up too many frames gets smaller ones.
  judge(heldUp) {
    this.tried += 1;
    this.heldUp += heldUp;
    if (this.tried < JUDGED) return;
    if (2 * this.heldUp > this.tried && !this.raw) this.quality = QUALITY;
    this.tried = this.heldUp = 0;
  }

  // As WebP, without loss where browser and line allow it; as JPEG where the browser has no WebP, and would give a PNG.
  async sendEncoded(head) {
    for (const format of ["webp", "jpeg"]) {
      const quality = format === "webp" ? this.quality : QUALITY;
      const blob = await new Promise((done) => this.canvas.toBlob(done, `image/${format}`, quality));
      if (blob?.type !== `image/${format}`) continue;
      const bytes = new Uint8Array(await blob.arrayBuffer());
      const whole = format === "webp" && isWhole(bytes);
      if (!whole) this.quality = QUALITY;
      this.give({ ...head, format }, bytes, whole ? "whole" : format);
      return;
    }
  }

  give(head, bytes, way) {
    this.bytes = bytes.length;
    if (this.connection.ready) this.connection.send(head, bytes);
    if (way !== this.way) this.told(way);
    this.way = way;
  }
}

// Whether a WebP was made without loss: one of its chunks is called VP8L.
function isWhole(bytes) {
  const view = new DataView(bytes.buffer);
  for (let at = 12; at + 8 <= bytes.length; ) {
    if (String.fromCharCode(...bytes.subarray(at, at + 4)) === "VP8L") return true;
    const size = view.getUint32(at + 4, true);
    at += 8 + size + (size % 2);
  }
  return false;
}
