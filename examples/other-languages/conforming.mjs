// What conformance/check.py runs to check client.mjs; PROTOCOL.md, section 6.

import { Client } from "./client.mjs";

const client = new Client();
const request = "x".repeat(Number(process.env.CONFORMANCE_BYTES));
for (let number = 1; number <= Number(process.env.CONFORMANCE_RECORDS); number += 1) {
  client.record({ provider_trace_id: `conformance-${number}`, model: "m", request });
}
await client.close(20_000);
