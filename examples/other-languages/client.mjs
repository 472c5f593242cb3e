// A client of the llmledger daemon for Node.js, written from PROTOCOL.md. It needs nothing else.
//
// Invariant: lines leave `#lines` from the front alone, when the daemon has called them durable; the
// line at index i has the number `#first + i` in every hello and on every connection.

import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { hostname } from "node:os";

const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 3_000;

/** Hands records to the daemon: bounded in memory, each line stored once, whatever dies meanwhile. */
export class Client {
  #session = randomUUID();
  #lines = []; // Buffers that are not durable yet
  #heldBytes = 0;
  #first = 1; // the number of lines[0], or of the next line where there is none
  #written = 0; // the newest line that this connection was given
  #last = 0; // the newest line that any connection was given
  #taken = 0;
  #dropped = {}; // by reason, since the last report
  #maxLineBytes = 128 * 1024 * 1024;
  #delayMs = FIRST_DELAY_MS;
  #socket = null;
  #isGreeted = false;
  #isOver = false;
  #timer = null;
  #whenDurable = () => {};

  constructor({ path = process.env.LLMLEDGER_SOCKET ?? "/run/llmledgerd/llmledgerd.sock", maxBytes = 64 << 20 } = {}) {
    this.path = path;
    this.maxBytes = maxBytes;
  }

  /** Take one record, an object with the fields of version 4; return whether it was taken. */
  record(fields) {
    this.#taken += 1;
    const made = { provider_trace_id: randomUUID(), timestamp: new Date().toISOString() };
    const line = encoded({ ...made, ...fields, protocol_version: 4 });
    const reason = this.#isOver ? "closed" : this.#reasonToDrop(line);
    if (reason) this.#drop(reason);
    else this.#append(line);
    return !reason;
  }

  /** End the session; resolve, after `timeoutMs` at most, to whether all of it is durable. */
  async close(timeoutMs = 2_000) {
    this.#report();
    this.#append(encoded({ protocol_version: 4, end: { taken: this.#taken } }));
    const isDurable = await new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      this.#whenDurable = (isIt) => (clearTimeout(timer), resolve(isIt));
      if (this.#isOver) this.#whenDurable(false);
    });
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
    return isDurable;
  }

  #reasonToDrop(line) {
    if (line.length - 1 > this.#maxLineBytes) return "too_long";
    return this.#heldBytes && this.#heldBytes + line.length > this.maxBytes ? "buffer_full" : "";
  }

  #drop(reason) {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + 1;
  }

  #report() {
    if (!Object.keys(this.#dropped).length) return;
    const line = this.#takeReport();
    this.#append(line);
  }

  #takeReport() {
    const line = encoded({ protocol_version: 4, dropped: this.#dropped });
    this.#dropped = {};
    return line;
  }

  #append(line) {
    this.#lines.push(line);
    this.#heldBytes += line.length;
    if (!this.#socket && !this.#timer && !this.#isOver) this.#connect();
    else this.#write();
  }

  #connect() {
    this.#timer = null;
    let received = "";
    const socket = (this.#socket = connect(this.path));
    socket.setEncoding("utf8");
    socket.on("connect", () => socket.write(this.#hello()));
    socket.on("data", (text) => {
      const lines = (received + text).split("\n");
      received = lines.pop();
      try {
        for (const line of lines) this.#hear(JSON.parse(line));
      } catch {
        socket.destroy(); // not understood is as good as not there
      }
    });
    socket.on("drain", () => this.#write());
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#away());
  }

  #hello() {
    const hello = { session: this.#session, first: this.#first, client: "llmledger-node-example/1.0" };
    if (this.#last) hello.last = this.#last;
    return encoded({ protocol_version: 4, hello: { ...hello, pid: process.pid, host: hostname() } });
  }

  #hear(answer) {
    if (answer.error) return this.#giveUp();
    if (answer.max_line_bytes) this.#maxLineBytes = answer.max_line_bytes;
    if (answer.durable === undefined) return;
    this.#forget(answer.durable);
    if (!this.#isGreeted) {
      this.#isGreeted = true;
      this.#delayMs = FIRST_DELAY_MS;
      this.#written = this.#first - 1;
    }
    this.#write();
    if (!this.#lines.length) this.#whenDurable(true);
  }

  #forget(durable) {
    const gone = this.#lines.splice(0, Math.max(0, Math.min(durable, this.#last) - this.#first + 1));
    this.#first += gone.length;
    for (const line of gone) this.#heldBytes -= line.length;
  }

  /** Write while the kernel takes more; "drain" calls again. */
  #write() {
    while (this.#isGreeted && this.#written < this.#first + this.#lines.length - 1) {
      this.#replaceTooLong(this.#written + 1 - this.#first);
      this.#written += 1;
      this.#last = Math.max(this.#last, this.#written);
      if (!this.#socket.write(this.#lines[this.#written - this.#first])) return;
    }
  }

  /** The report of its loss takes a line's number, so that no other line's number moves. */
  #replaceTooLong(index) {
    const length = this.#lines[index].length;
    if (length - 1 <= this.#maxLineBytes) return;
    this.#drop("too_long");
    this.#lines[index] = this.#takeReport();
    this.#heldBytes += this.#lines[index].length - length;
  }

  #away() {
    this.#socket = null;
    this.#isGreeted = false;
    if (this.#isOver) return;
    this.#timer = setTimeout(() => this.#connect(), this.#delayMs * (0.5 + Math.random() / 2));
    this.#delayMs = Math.min(LONGEST_DELAY_MS, 2 * this.#delayMs);
  }

  #giveUp() {
    this.#isOver = true;
    this.#socket.destroy();
    this.#whenDurable(false);
  }
}

/** One line. JSON.stringify writes no raw newline. */
function encoded(value) {
  return Buffer.from(JSON.stringify(value) + "\n");
}
