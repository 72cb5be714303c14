// The camera of this browser: its newest frame, made smaller, goes to the server; what cannot be sent at once is dropped.

const SHORT_SIDE = 256; // px
const MOST_WAITING = 2 ** 20; // bytes
const QUALITY = 0.95; // of lossy pictures: lower ones harm the shadows that gamma lifts

export class Camera {
  constructor(video, connection) {
    this.video = video;
    this.connection = connection;
    this.lossless = true;
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
    if (this.encoding || this.connection.waiting > MOST_WAITING) {
      this.skipped += 1;
      return;
    }
    const scale = Math.min(1, SHORT_SIDE / Math.min(width, height));
    const size = { width: 2 * Math.round((width * scale) / 2), height: 2 * Math.round((height * scale) / 2) };
    if (this.canvas.width !== size.width || this.canvas.height !== size.height) Object.assign(this.canvas, size);
    this.context.drawImage(this.video, 0, 0, size.width, size.height);
    if (this.lossless) {
      const { data } = this.context.getImageData(0, 0, size.width, size.height);
      this.connection.send({ time, ...size, format: "rgba" }, data);
      return;
    }
    this.encoding = true;
    try {
      await this.sendLossy({ time, ...size });
    } finally {
      this.encoding = false;
    }
  }

  // As WebP; as JPEG where the browser has none, and would give a PNG.
  async sendLossy(head) {
    for (const format of ["webp", "jpeg"]) {
      const blob = await new Promise((done) => this.canvas.toBlob(done, `image/${format}`, QUALITY));
      if (blob?.type !== `image/${format}`) continue;
      const bytes = new Uint8Array(await blob.arrayBuffer());
      if (this.connection.ready) this.connection.send({ ...head, format }, bytes);
      return;
    }
  }
}
