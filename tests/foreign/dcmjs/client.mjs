// dcmjs' dicomweb-client, driven from outside: a JSON line in, {url, method, options}, and one out, {value} or {error}.
// Bytes go through as {"bytes": "<base64>"}.
import { createInterface } from "node:readline";
import XMLHttpRequest from "xhr2";
import { api } from "dicomweb-client";

globalThis.XMLHttpRequest = XMLHttpRequest;

function toBytes(value) {
  if (Array.isArray(value)) return value.map(toBytes);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.bytes === "string") {
    const buffer = Buffer.from(value.bytes, "base64");
    return buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, toBytes(each)]));
}

function fromBytes(value) {
  if (value instanceof ArrayBuffer) return { bytes: Buffer.from(value).toString("base64") };
  if (ArrayBuffer.isView(value)) {
    return { bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64") };
  }
  if (Array.isArray(value)) return value.map(fromBytes);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, fromBytes(each)]));
}

for await (const line of createInterface({ input: process.stdin })) {
  const { url, method, options } = JSON.parse(line);
  let outcome;
  try {
    const client = new api.DICOMwebClient({ url, verbose: false });
    outcome = { value: fromBytes(await client[method](toBytes(options))) };
  } catch (error) {
    outcome = { error: { message: String(error.message), status: error.status ?? null } };
  }
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
