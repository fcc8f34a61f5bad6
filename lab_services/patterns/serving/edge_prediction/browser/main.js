// The device's package in the browser: the same model, the same preparation, the same known answers.
// Nothing is loaded before the reader asks for it.

const TOLERANCE = 0.05; // of a known answer, as on the device
const TIMED = 300; // answers of which the mean time is told: clocks of browsers are coarse
const CODED = ["carrier", "origin", "destination"];
const FIELDS = {
  carrier: "Airline",
  origin: "From",
  destination: "To",
  weekday: "Weekday (Monday is 1)",
  departs: "Departs (minutes after midnight)",
  distance: "Distance (miles)",
  temperature: "Temperature (°F)",
  humidity: "Humidity (%)",
  wind: "Wind (mph)",
  rain: "Rain (inches in the hour)",
  visibility: "Visibility (miles)",
};

/** Fill `place` with a button that loads the package at `source` and the runtime beside this file. */
export function mount(place, source) {
  const button = element("button", "Load the model into this browser (4 MB)");
  const told = element("div");
  told.setAttribute("role", "status");
  button.type = "button";
  button.onclick = async () => {
    button.disabled = true;
    told.textContent = "Loading …";
    try {
      const device = await load(source);
      told.replaceChildren(facts(await check(device)));
      place.append(form(device));
      button.remove();
    } catch (problem) {
      told.textContent = `It does not run here: ${problem.message}`;
      button.disabled = false;
    }
  };
  place.replaceChildren(button, told);
}

/** The newest package, verified, and a session of it. Throws where it is not what was signed. */
export async function load(source) {
  const began = performance.now();
  const { manifest, model } = await (await fetched(source)).json();
  const bytes = Uint8Array.from(atob(model), (sign) => sign.charCodeAt(0));
  await verify(manifest, bytes);
  const ort = await import("./ort.wasm.bundle.min.mjs");
  ort.env.wasm.numThreads = 1; // more would need a page that is isolated from others
  const runtime = await fetched(new URL("ort-wasm-simd-threaded.wasm.gz", import.meta.url));
  const packed = runtime.body.pipeThrough(new DecompressionStream("gzip"));
  ort.env.wasm.wasmBinary = await new Response(packed).arrayBuffer();
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const seconds = (performance.now() - began) / 1000;
  return { manifest, session, seconds, size: bytes.length, Tensor: ort.Tensor };
}

/** The hash is in the manifest; pages that came unencrypted from another host cannot compute one. */
async function verify(manifest, bytes) {
  if (bytes.length !== manifest.bytes) throw new Error("the model is not whole");
  if (!globalThis.crypto?.subtle) return;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== manifest.sha256) throw new Error("the model's bytes are not those that were signed");
}

/** The row of numbers that the model reads: as `features.prepare` makes it. */
export function prepare(flight, codes) {
  return Float32Array.from(Object.keys(FIELDS), (name) =>
    CODED.includes(name) ? (codes[name][flight[name]] ?? codes.overall) : flight[name],
  );
}

/** The probability that a flight arrives late. */
export async function predict(device, flight) {
  const row = new device.Tensor("float32", prepare(flight, device.manifest.codes), [1, 11]);
  const answer = await device.session.run({ flights: row }, ["probabilities"]);
  return answer.probabilities.data[1];
}

/** What the known flights are answered, how far off that is, and how long an answer takes. */
export async function check(device) {
  const { known } = device.manifest;
  const answers = [];
  for (const { flight } of known) answers.push(await predict(device, flight));
  const off = Math.max(...answers.map((said, at) => Math.abs(said - known[at].probability)));
  const began = performance.now();
  for (let at = 0; at < TIMED; at++) await predict(device, known[at % known.length].flight);
  const mean = (performance.now() - began) / TIMED;
  const { version } = device.manifest;
  return { version, size: device.size, seconds: device.seconds, answers, off, mean };
}

function facts({ version, size, seconds, answers, off, mean }) {
  const verdict = off <= TOLERANCE ? "as it should" : "NOT as it should";
  const rows = [
    ["Version", version],
    ["Model", `${(size / 1000).toFixed(0)} kB`],
    ["Loaded in", `${seconds.toFixed(1)} s, with the runtime`],
    ["Known flights", `${answers.length}, off by at most ${off.toFixed(4)}: ${verdict}`],
    ["One answer", `${mean.toFixed(2)} ms (mean of ${TIMED})`],
  ];
  const table = element("table");
  for (const [name, value] of rows) {
    const row = table.insertRow();
    const head = element("th", name);
    head.scope = "row";
    head.style.textAlign = "left";
    row.append(head);
    row.insertCell().textContent = value;
  }
  return table;
}

function form(device) {
  const made = element("form");
  made.style.cssText =
    "display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 0.6rem";
  const answer = element("output");
  answer.style.cssText = "grid-column: 1 / -1; font-weight: bold";
  const { flight } = device.manifest.known[0];
  const fields = Object.entries(FIELDS).map(([name, text]) => {
    const label = element("label", text);
    const field = CODED.includes(name) ? choice(device.manifest.codes[name]) : element("input");
    if (field.tagName === "INPUT") Object.assign(field, { type: "number", step: "any" });
    field.style.cssText = "display: block; width: 100%; box-sizing: border-box";
    field.value = flight[name];
    label.append(field);
    made.append(label);
    return [name, field];
  });
  const tell = async () => {
    const asked = fields.map(([name, field]) => [
      name,
      field.type === "number" ? field.valueAsNumber : field.value,
    ]);
    const said = await predict(device, Object.fromEntries(asked));
    answer.textContent = Number.isFinite(said)
      ? `More than 15 minutes late with ${(said * 100).toFixed(1)} %`
      : "A number is missing.";
  };
  made.oninput = tell;
  made.onsubmit = (event) => event.preventDefault();
  made.append(answer);
  tell();
  return made;
}

function choice(codes) {
  const select = element("select");
  for (const code of Object.keys(codes)) select.append(new Option(code, code));
  return select;
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} is not there (${answer.status})`);
  return answer;
}

function element(kind, text = "") {
  return Object.assign(document.createElement(kind), { textContent: text });
}
