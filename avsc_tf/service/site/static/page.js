"use strict";

const at = (id) => document.getElementById(id);
const STAGES = { check: "Checking the clip", read: "Finding the face and hearing the words", speak: "Making the voice",
  paint: "Painting the face", finish: "Writing the video" };
const ENDED = ["done", "failed", "cancelled"];
let about = null, events = null, upload = null, shownId = "";

function say(text) { at("message").textContent = text; at("message").hidden = !text; }
function show(name) { for (const id of ["login", "send", "job", "done"]) at(id).hidden = id !== name; }
function seconds(value) {
  if (value >= 90) return `about ${Math.round(value / 60)} minutes left`;
  return value >= 2 ? `about ${Math.round(value)} s left` : "nearly there";
}

async function ask(method, path, body) {
  const how = { method, headers: {} };
  if (body) { how.body = JSON.stringify(body); how.headers["content-type"] = "application/json"; }
  let answer;
  try { answer = await fetch(path, how); } catch { throw new Error("The server cannot be reached. Try again in a moment."); }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const said = await answer.json().catch(() => ({}));
  const error = new Error(plain(answer.status, said.error));
  error.status = answer.status;
  throw error;
}

function plain(status, error) {
  const text = error || `The server answered ${status}.`;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

async function begin() {
  try { about = await ask("GET", "/session"); } catch (error) { say(error.message); return; }
  at("limits").textContent = `Video or sound, up to ${about.max_seconds} s and ${Math.round(about.max_bytes / 1e6)} MB`;
  at("kept").textContent = `Clips and results are removed ${about.retention_hours} hours after they are finished.`;
  at("logout").hidden = !about.name;
  for (const radio of document.querySelectorAll("[name=vocoder]")) {
    radio.parentElement.hidden = !about.vocoders.includes(radio.value);
    radio.checked = radio.value === about.vocoder;
  }
  at("voices").hidden = about.vocoders.length < 2;
  if (about.needs_token && !about.name) { at("earlier").hidden = true; show("login"); at("token").focus(); return; }
  await list();
  if (location.hash.length > 1) await open(location.hash.slice(1)); else show("send");
}

async function list() {
  let jobs = [];
  try { jobs = (await ask("GET", "/v1/conversions?limit=10")).conversions; } catch (error) { say(error.message); }
  at("earlier").hidden = !jobs.length;
  at("list").replaceChildren(...jobs.map((job) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const name = document.createElement("span"), state = document.createElement("span");
    name.textContent = job.name || "clip"; state.textContent = job.state; state.className = "soft";
    button.type = "button"; button.append(name, state);
    button.addEventListener("click", () => open(job.id));
    item.append(button);
    return item;
  }));
}

async function open(id) {
  say("");
  try { follow(await ask("GET", `/v1/conversions/${encodeURIComponent(id)}`)); }
  catch (error) { location.hash = ""; show("send"); say(error.message); }
}

function send(file) {
  say("");
  if (!file.size) return say("The file is empty.");
  if (file.size > about.max_bytes) return say(`The file has ${Math.ceil(file.size / 1e6)} MB; at most ${Math.floor(about.max_bytes / 1e6)} are taken.`);
  const form = new FormData();
  form.append("vocoder", document.querySelector("[name=vocoder]:checked").value);
  form.append("file", file);
  upload = new XMLHttpRequest();
  upload.open("POST", "/v1/conversions");
  upload.responseType = "json";
  upload.upload.onprogress = (event) => { if (event.lengthComputable) at("bar").value = event.loaded / event.total; };
  upload.onload = () => {
    const { status, response } = upload;
    upload = null;
    if (status === 202 || status === 200) return follow(response);
    show("send");
    say(plain(status, response && response.error));
  };
  upload.onerror = () => { upload = null; show("send"); say("The upload was broken off. The clip may be too large, or the server cannot be reached."); };
  upload.onabort = () => { upload = null; show("send"); };
  waiting(file.name, "Sending the clip", 0, "");
  upload.send(form);
}

function waiting(name, stage, share, left) {
  at("job-title").textContent = name || "clip";
  if (at("stage").textContent !== stage) at("stage").textContent = stage;
  at("bar").value = share;
  at("left").textContent = left;
  if (at("job").hidden) { show("job"); at("job-title").focus(); }
}

function follow(job) {
  shownId = job.id;
  history.replaceState(null, "", `#${job.id}`);
  stopEvents();
  tell(job);
  if (ENDED.includes(job.state)) return;
  events = new EventSource(job.links.events);
  events.addEventListener("state", (event) => tell(JSON.parse(event.data)));
  events.addEventListener("gone", () => { stopEvents(); leave(); });
  events.onerror = () => { if (events) at("left").textContent = "No connection; trying again"; };
}

function stopEvents() { if (events) { events.close(); events = null; } }

function tell(job) {
  if (job.id !== shownId) return;
  if (job.state === "queued") return waiting(job.name, job.ahead ? `Waiting: ${job.ahead} before it` : "Waiting", 0, "");
  if (!ENDED.includes(job.state)) {
    return waiting(job.name, STAGES[job.stage] || "Starting", job.progress, job.seconds_left === null ? "" : seconds(job.seconds_left));
  }
  stopEvents();
  list();
  if (job.state === "done") return play(job);
  leave();
  say(job.state === "cancelled" ? "" : `${job.name || "The clip"} could not be converted: ${job.error}`);
}

function leave() { shownId = ""; history.replaceState(null, "", "/"); silence(); show("send"); list(); }

const source = at("source"), result = at("result");
function silence() { for (const video of [source, result]) { video.pause(); video.removeAttribute("src"); video.load(); } }
function longest() { return Math.max(result.duration || 0, 0) || 1; }

function play(job) {
  at("done-title").textContent = job.name || "clip";
  at("unplayable").hidden = true; source.hidden = false;
  source.src = job.links.source; result.src = job.links.result;
  at("download").href = job.links.result;
  at("download").download = `${(job.name || "clip").replace(/\.[^.]*$/, "")}-converted`;
  at("notes").replaceChildren(...job.notes.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  show("done"); place(); at("done-title").focus();
}

function place() {
  at("seek").max = longest(); at("seek").value = result.currentTime;
  at("clock").textContent = `${result.currentTime.toFixed(1)} s`;
  at("play").textContent = result.paused ? "Play both" : "Pause";
  at("play").setAttribute("aria-pressed", String(!result.paused));
}

function together() {
  if (!source.hidden && Math.abs(source.currentTime - result.currentTime) > 0.06 && result.currentTime < (source.duration || 0)) source.currentTime = result.currentTime;
}

async function toggle() {
  if (!result.paused) { result.pause(); source.pause(); return; }
  if (result.ended) result.currentTime = 0;
  source.currentTime = result.currentTime;
  const starts = [result.play()];
  if (!source.hidden) starts.push(source.play());
  const failed = (await Promise.allSettled(starts))[0];
  if (failed.status === "rejected" && failed.reason.name !== "AbortError") say("This browser cannot play the result; download it instead.");
}

function tick() { if (!result.paused) { together(); place(); } requestAnimationFrame(tick); }
requestAnimationFrame(tick);
for (const name of ["loadedmetadata", "play", "pause", "seeked", "ended"]) result.addEventListener(name, place);
result.addEventListener("ended", () => source.pause());
source.addEventListener("error", () => { if (source.hasAttribute("src")) { source.hidden = true; at("unplayable").hidden = false; } });
at("play").addEventListener("click", toggle);
for (const video of [source, result]) video.addEventListener("click", toggle);
at("seek").addEventListener("input", () => { const to = Number(at("seek").value); result.currentTime = to; source.currentTime = to; at("clock").textContent = `${to.toFixed(1)} s`; });
for (const radio of document.querySelectorAll("[name=sound]")) radio.addEventListener("change", () => { source.muted = radio.value !== "source"; result.muted = radio.value !== "result"; });

at("file").addEventListener("change", () => { const [file] = at("file").files; if (file) send(file); });
at("send").addEventListener("submit", (event) => event.preventDefault());
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && !at("send").hidden && event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  });
}
at("cancel").addEventListener("click", async () => {
  if (upload) return upload.abort();
  stopEvents();
  const id = shownId;
  leave();
  try { await ask("DELETE", `/v1/conversions/${id}`); } catch (error) { say(error.message); }
  list();
});
at("remove").addEventListener("click", async () => {
  const id = shownId;
  try { await ask("DELETE", `/v1/conversions/${id}`); leave(); } catch (error) { say(error.message); }
});
at("another").addEventListener("click", () => { at("file").value = ""; leave(); at("file").focus(); });
at("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  try { await ask("POST", "/login", { token: at("token").value.trim() }); at("token").value = ""; say(""); show(""); begin(); }
  catch (error) { say(error.message); }
});
at("logout").addEventListener("click", async () => { await ask("POST", "/logout"); location.href = "/"; });
begin();
