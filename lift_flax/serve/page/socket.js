// The socket of the page: messages are a head in JSON and bytes behind it (lift_flax/serve/messages.py).

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const PAUSES = [1, 2, 4, 8, 15, 30]; // s before the next try

export function packed(head, bytes) {
  const text = encoder.encode(JSON.stringify(head));
  const message = new Uint8Array(4 + text.length + bytes.byteLength);
  new DataView(message.buffer).setUint32(0, text.length, true);
  message.set(text, 4);
  message.set(new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength), 4 + text.length);
  return message;
}

export function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, length)));
  return [head, buffer.slice(4 + length)];
}

// The token of the address, kept for this tab alone and taken out of what others may read over a shoulder.
export function token() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  return sessionStorage.getItem("token") ?? "";
}

export class Connection {
  // receive(head, bytes) gets each message; changed(state, reason, seconds to the next try) what becomes of the socket.
  constructor(receive, changed) {
    this.receive = receive;
    this.changed = changed;
    this.token = token();
    this.tries = 0;
    this.reason = "";
    this.open();
  }

  open() {
    const address = new URL("live", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = this.token ? `token=${encodeURIComponent(this.token)}` : "";
    this.reason = "";
    this.greeted = false;
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => {
      const [head, bytes] = typeof data === "string" ? [JSON.parse(data), null] : unpacked(data);
      if (head.type === "error") this.reason = head.reason;
      if (head.type === "greeting") {
        this.tries = 0;
        this.greeted = true;
        this.changed("open", "", 0);
      }
      this.receive(head, bytes);
    };
    this.socket.onclose = async () => {
      const refused = !this.greeted && (await this.refusal(address.search));
      if (refused) {
        this.changed("refused", refused, 0);
        return;
      }
      const pause = PAUSES[Math.min(this.tries, PAUSES.length - 1)];
      this.tries += 1;
      this.changed("lost", this.reason, pause);
      setTimeout(() => this.open(), 1000 * pause);
    };
  }

  // Why the server does not let this page in, which a socket does not tell; "" where it does, or is not there.
  async refusal(search) {
    try {
      const answer = await fetch(`live${search}`);
      return answer.status === 401 ? (await answer.json()).error : "";
    } catch {
      return "";
    }
  }

  get ready() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  // Bytes that wait in this browser.
  get waiting() {
    return this.socket.bufferedAmount;
  }

  ask(message) {
    if (this.ready) this.socket.send(JSON.stringify(message));
  }

  send(head, bytes) {
    this.socket.send(packed(head, bytes));
  }
}
