// Shows what arrives on /live and sends what people ask. Words come from people and models: they become text, never HTML.
"use strict";

const SILENT_AFTER_MS = 3000; // at 1 image per second a node is still alive
const RECONNECT_MS = 1000;
const REGIONS_FOUND = 5;
const ANSWERS_KEPT = 30; // pictures come more rarely than answers, and later
const LONGEST_LATENCY_MS = 60000; // above it the image's stamp comes from another clock
const SVG = "http://www.w3.org/2000/svg";

const STATUS = {
  OK: ["found", ""],
  NO_QUERY: ["nothing asked", "The robot looks for nothing now."],
  NOT_FOUND: ["not found", "is in no region of this image"],
  AMBIGUOUS: ["ambiguous", "fits two regions nearly equally well"],
  DEGRADED: ["degraded", "input or engine are faulty; do not rely on this answer"],
};

const $ = (id) => document.getElementById(id);
const answers = new Map(); // the last ones by the stamp of their image
let newest = null; // answer
let queries = null; // newest state of the query
let answeredAt = 0; // performance.now() of the newest answer
let pictured = { stamp: "", at: -Infinity, url: "" }; // the picture that is shown

// ------------------------------------------------------------------------------------------------ small parts

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

const percent = (share) => `${(100 * share).toFixed(0)} %`;

function area(region, { width, height }) {
  const share = (100 * region.area) / (width * height);
  return `${share < 10 ? share.toFixed(1) : share.toFixed(0)} %`;
}

function show(id, ...children) {
  $(id).replaceChildren(...children);
}

// ---------------------------------------------------------------------------------------------- the live side

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/live`);
  socket.binaryType = "blob";
  let stamp = ""; // of the picture that comes next
  const shown = {
    answer: showAnswer, query_state: showQueries, node: showNode, overlay: (update) => { stamp = update.stamp; },
  };
  socket.onmessage = ({ data }) => {
    if (data instanceof Blob) return showOverlay(data, stamp);
    const update = JSON.parse(data);
    shown[update.kind](update);
  };
  socket.onopen = () => notice("");
  socket.onclose = () => {
    notice("Connection to openseg view lost; trying again. Does it still run?");
    $("node").textContent = "not connected";
    delete $("node").dataset.level;
    setTimeout(connect, RECONNECT_MS);
  };
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function showOverlay(jpeg, stamp) {
  const old = pictured.url;
  pictured = { stamp, at: performance.now(), url: URL.createObjectURL(jpeg) };
  $("overlay").onload = () => old && URL.revokeObjectURL(old);
  $("overlay").src = pictured.url;
  $("overlay").hidden = false;
  $("waiting").hidden = true;
  showCurrent();
}

/** The answer to show in words: that of the picture, so that both say the same; the newest where pictures are off. */
function current() {
  const recent = performance.now() - pictured.at < SILENT_AFTER_MS;
  return (recent && answers.get(pictured.stamp)) || newest;
}

function showCurrent() {
  if (!newest) return;
  showRegions(current());
  beatOfLife();
}

function showNode(node) {
  const said = node.message || (node.present ? "running" : "");
  $("node").textContent = node.present ? `${node.name}: ${said}` : `${node.name} is not running`;
  $("node").dataset.level = node.present ? node.level : "ERROR";
}

function showQueries(state) {
  queries = state;
  const lines = [];
  if (state.status === "REJECTED") {
    lines.push(element("p", `Refused: ${state.message}`, "bad"));
  } else if (state.status === "ENCODING") {
    lines.push(element("p", `Reading ${state.parsed_phrases.join("; ")}`, "note"));
  } else if (state.parsed_phrases.length) {
    const line = element("p", "Understood as ");
    line.append(...state.parsed_phrases.map((phrase) => element("span", phrase, "chip")));
    lines.push(line);
  }
  lines.push(...state.rejected.map((reason) => element("p", `Refused: ${reason}`, "bad")));
  if (state.message && state.status !== "REJECTED") lines.push(element("p", state.message, "note"));
  if (state.status === "REJECTED") {
    const kept = state.active.filter((query) => !query.background).map((query) => query.text);
    if (kept.length) lines.push(element("p", `Still looks for ${kept.join("; ")}`, "note"));
  }
  show("understood", ...lines);
  showCurrent();
}

function showAnswer(update) {
  newest = update;
  answeredAt = performance.now();
  answers.set(newest.stamp, newest);
  if (answers.size > ANSWERS_KEPT) answers.delete(answers.keys().next().value);
  $("version").textContent = newest.version;
  $("rate").textContent = newest.rate_hz === null ? "–" : `${newest.rate_hz.toFixed(1)} Hz`;
  const odd = newest.latency_ms < 0 || newest.latency_ms > LONGEST_LATENCY_MS;
  $("latency").textContent = odd ? "other clock" : `${newest.latency_ms.toFixed(0)} ms`;
  $("latency").title = odd
    ? `The image's stamp ${newest.stamp} is not of this machine's clock. Replaying? Start openseg view with --use-sim-time.`
    : `From the image's stamp ${newest.stamp} until its answer was here`;
  showCurrent();
}

/** Say what became of the query, or that nothing has come for a while: then what is shown is not the present. */
function beatOfLife() {
  if (!newest) return;
  const silentMs = performance.now() - answeredAt;
  const silent = silentMs > SILENT_AFTER_MS;
  document.body.classList.toggle("stale", silent);
  if (silent) {
    $("status").textContent = `no answer for ${(silentMs / 1000).toFixed(0)} s`;
    $("status").dataset.status = "silent";
    $("status-text").textContent = "The picture is old: the camera or the node has stopped.";
    $("rate").textContent = $("latency").textContent = "–";
    return;
  }
  const { status, query } = current();
  const [word, sentence] = STATUS[status] ?? [status, ""];
  $("status").textContent = word;
  $("status").dataset.status = status;
  $("status-text").textContent = `${query && `“${query}” `}${sentence}`;
}

// ------------------------------------------------------------------------------------------------- the tables

function row(region, image) {
  const made = document.createElement("tr");
  made.dataset.box = region.box.join(" ");
  made.tabIndex = 0;
  const name = element("td");
  const swatch = element("span", "", "swatch");
  swatch.style.background = region.colour;
  name.append(swatch, region.phrase || `region ${region.id}`);
  if (region.position) {
    const [x, y, z] = region.position.map((metres) => metres.toFixed(2));
    name.append(element("span", `x ${x}  y ${y}  z ${z} m`, "place"));
  }
  const score = element("td", percent(region.score), "score");
  score.style.setProperty("--share", `${100 * region.score}%`);
  const size = element("td", area(region, image));
  size.title = `${region.area} pixels`;
  made.append(name, score, element("td", percent(region.margin)), size);
  const mark = () => drawBoxes([region], image, false);
  made.onmouseenter = made.onfocus = mark;
  made.onmouseleave = made.onblur = () => drawBoxes([], image, false);
  return made;
}

function wideRow(text, className) {
  const made = element("tr", "", className);
  const cell = element("td", text, "empty");
  cell.colSpan = 4;
  made.append(cell);
  return made;
}

/** One row per region, and one for each phrase that this image does not show. */
function showRegions(answer) {
  if (document.activeElement?.closest?.("#regions") || $("regions").matches(":hover")) {
    return; // somebody reads a row; rows must not jump away
  }
  const rows = answer.regions.map((region) => row(region, answer));
  if (queries && queries.version === answer.version) {
    const seen = new Set(answer.regions.map((region) => region.phrase));
    for (const query of queries.active) {
      if (!query.background && !seen.has(query.text)) rows.push(wideRow(`${query.text}: not found`, "missing"));
    }
  }
  if (!rows.length) rows.push(wideRow(answer.status === "NO_QUERY" ? "Ask for something above" : "None", "missing"));
  $("regions").tBodies[0].replaceChildren(...rows);
  $("regions-count").textContent = answer.regions.length || "";
}

function drawBoxes(regions, { width, height }, fading) {
  $("boxes").setAttribute("viewBox", `0 0 ${width} ${height}`); // the svg fits it as the img fits the picture
  show("boxes", ...regions.map(({ box: [x, y, w, h] }) => {
    const rect = document.createElementNS(SVG, "rect");
    for (const [key, value] of Object.entries({ x, y, width: w, height: h })) rect.setAttribute(key, value);
    rect.setAttribute("class", fading ? "found" : "");
    return rect;
  }));
}

// ----------------------------------------------------------------------------------------------- the requests

async function request(method, path, body) {
  const options = { method };
  if (body) Object.assign(options, { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("openseg view does not answer; does it still run?");
  }
  const result = await response.json();
  if (!response.ok) throw new Error(result.error);
  return result;
}

/** Send while the form's buttons are off; an error goes to the element with id `where`. */
async function submit(form, where, send) {
  const buttons = form.querySelectorAll("button");
  buttons.forEach((button) => { button.disabled = true; });
  try {
    await send();
  } catch (error) {
    show(where, element("p", error.message, "bad"));
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
  }
}

$("ask").onsubmit = (event) => {
  event.preventDefault();
  submit($("ask"), "understood", () => request("POST", "/query", { text: $("ask-text").value }));
};

$("nothing").onclick = () => submit($("ask"), "understood", () => request("DELETE", "/query"));

$("find").onsubmit = (event) => {
  event.preventDefault();
  $("found").hidden = true;
  show("found-message");
  submit($("find"), "found-message", async () => {
    const text = $("find-text").value;
    const found = await request("POST", "/find", { text, top_k: REGIONS_FOUND });
    const words = { OK: "found", AMBIGUOUS: "found, but two regions fit nearly equally well" }[found.status]
      ?? `not found: no region is likely enough${found.regions.length ? "; the nearest are" : ""}`;
    show("found-message", element("p", `“${text}” ${words}`, found.status === "OK" ? "" : "bad"));
    $("found").tBodies[0].replaceChildren(...found.regions.map((region) => row(region, found)));
    $("found").hidden = !found.regions.length;
    drawBoxes(found.regions.slice(0, found.status === "NOT_FOUND" ? 0 : 1), found, true);
  });
};

setInterval(beatOfLife, 500);
connect();
