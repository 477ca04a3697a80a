"use strict";
(() => {
  const SETTINGS = JSON.parse(document.getElementById("settings").textContent);
  const STORE = "listening-test-" + SETTINGS.test;
  const SCALE = ["Bad", "Poor", "Fair", "Good", "Excellent"].map((word, i) => [i + 1, word]);
  const CHOICES = [["A", "key 1"], ["B", "key 2"], ["No difference", "key 3"]];
  const NUMBERS = [1, 2, 3, 4, 5].map(n => [n, ""]);
  const KINDS = { audio: "Sound only", visual: "Silent video", audiovisual: "Sound and video" };
  const QUESTIONS = {
    rate_audio: ["How natural and how good is the speech?", SCALE],
    rate_visual: ["How natural and how good is the picture of the talking face?", SCALE],
    rate_audiovisual: ["How natural and how good is the video as a whole: speech, picture, and how well lips and speech fit together in time?", SCALE],
    prefer_audio: ["Which voice is more like the person X?", CHOICES],
    prefer_visual: ["Which face is more like the person X?", CHOICES],
    prefer_audiovisual: ["Which talking person, by voice and face, is more like the person X?", CHOICES],
    count_audio: ["How many beeps do you hear?", NUMBERS],
    count_visual: ["How many times does the disc light up?", NUMBERS],
  };
  const ICONS = { play: "M3 1.5v13l11-6.5z", stop: "M3 3h10v10H3z", again: "M8 2a6 6 0 1 1-5.7 4.1l1.9.6A4 4 0 1 0 8 4v2.5L4 3l4-3.5z" };
  const get = id => document.getElementById(id);

  let state = load();  // what this rater was given and did; null before consent
  let position = 0;    // of the page in view, from 1
  let players = [];    // of the page in view
  let sending = false, pause = 0, byArrow = false;

  function load() { try { return JSON.parse(localStorage.getItem(STORE)); } catch { return null; } }
  function save() { try { localStorage.setItem(STORE, JSON.stringify(state)); } catch { /* private window: the server keeps the answers */ } }

  function element(tag, properties = {}, ...children) {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  }
  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
    svg.firstChild.setAttribute("d", ICONS[name]);
    return svg;
  }

  // ---- the server -------------------------------------------------------------------------------------------------
  async function ask(path, body) {
    const options = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), keepalive: true };
    const response = await fetch("api/" + path, options);
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    throw Object.assign(new Error(answer.error || "error " + response.status), { refused: response.status >= 400 && response.status < 500 && ![408, 425, 429].includes(response.status), status: response.status });
  }

  function show_status(text, late = false) {
    if (get("status").textContent !== text) get("status").textContent = text;
    get("status").classList.toggle("late", late);
  }

  async function flush() {
    if (sending || !state) return;
    sending = true;
    clearTimeout(pause);
    while (state.queue.length) {
      const item = state.queue[0];
      try {
        show_status("Saving …");
        await ask(`raters/${state.rater}/answers`, item);
      } catch (error) {
        if (!error.refused) {
          state.tries = (state.tries || 0) + 1;
          show_status("No connection: your answers are kept on this device and sent later", true);
          pause = setTimeout(flush, Math.min(15000, 500 * 2 ** Math.min(state.tries, 5)));
          sending = false;
          return;
        }
        message("page-message", "The server did not take an answer: " + error.message);
      }
      state.tries = 0;
      state.queue = state.queue.filter(other => other !== item);
      save();
    }
    sending = false;
    show_status("All answers saved");
    show_code();
  }

  function message(id, text) {
    get(id).textContent = text;
    get(id).hidden = !text;
  }

  async function start() {
    get("start").disabled = true;
    try {
      const given = await ask("raters", { consent: true });
      state = { ...given, queue: [], played: {}, seconds: {}, stopped: false };
      save();
      message("intro-message", "");
      next();
    } catch (error) {
      message("intro-message", error.refused ? error.message : "The server cannot be reached. Please try again in a moment.");
    }
    get("start").disabled = false;
  }

  async function compare() {  // with what the server has: the browser may have been closed before it was told
    try {
      const known = await ask("raters/" + state.rater);
      for (const [page, answers] of Object.entries(known.answers))
        state.answers[page] = { ...answers, ...state.answers[page] };
      save();
    } catch (error) {
      if (error.status !== 404) return;
      state = null;
      try { localStorage.removeItem(STORE); } catch { /* was not stored */ }
      show("intro");
    }
  }

  // ---- screens ----------------------------------------------------------------------------------------------------
  function show(name) {
    for (const id of ["intro", "page", "thanks"]) get(id).hidden = id !== name;
    get("head").hidden = name === "intro";
  }
  const open_questions = page => state.pages[page - 1].questions.filter(q => !(state.answers[page] || {})[q.id]);
  const pages_done = () => state.pages.filter((_, i) => !open_questions(i + 1).length).length;

  function next() {
    const at = state.pages.findIndex((_, i) => open_questions(i + 1).length);
    if (at < 0 || state.stopped) thanks(); else show_page(at + 1);
  }

  function thanks() {
    clear_players();
    const done = pages_done(), all = state.pages.length;
    show("thanks");
    get("where").textContent = done === all ? "All pages done" : `${done} of ${all} pages done`;
    get("progress").value = done / all;
    get("thanks-lead").textContent = done === all ? `You have done all ${all} pages.` : `You have done ${done} of ${all} pages; they count.`;
    show_code();
    get("resume").hidden = done === all;
    get("thanks").querySelector("h1").focus();
    flush();
  }

  function show_code() {  // only when every answer has arrived
    get("saved").hidden = state.queue.length > 0;
    get("code").textContent = state.queue.length ? "Sending your last answers …" : state.code;
  }

  function show_page(number) {
    clear_players();
    position = number;
    const { questions } = state.pages[number - 1], all = state.pages.length;
    const check = questions[0].id.startsWith("count");
    state.answers[number] ||= {};
    state.played[number] ||= {};
    get("where").textContent = `Page ${number} of ${all}`;
    get("progress").value = pages_done() / all;
    get("page-title").textContent = check ? "Count what you hear and see" : "How good is this clip?";
    get("page-lead").textContent = check ? "A short check of your device and your attention." : "Play each clip to its end, then answer.";
    message("page-message", "");
    get("cards").replaceChildren(...questions.map((question, i) => card(question, i + 1, questions.length)));
    get("next").textContent = number === all ? "Finish" : "Next page";
    show("page");
    scrollTo({ top: 0, behavior: "instant" });
    questions.forEach(refresh);
    const first = open_questions(number)[0];
    if (first !== questions[0]) go_to(first); else card_of(first).focus({ preventScroll: true });
  }

  const card_of = question => get("card-" + question.id);

  function card(question, number, all) {
    const [text, options] = QUESTIONS[question.id], three = question.clips.length > 1;
    const clips = element("div", { className: "clips" + (three ? " three" : "") + (question.modality === "audio" ? "" : " pictures") });
    clips.append(...question.clips.map(clip => player(question, clip)));
    const scale = element("div", { className: "scale" });
    scale.style.setProperty("--n", options.length);
    options.forEach(([name, note], i) => {
      const input = element("input", { type: "radio", name: question.id, value: i + 1, checked: state.answers[position][question.id] === i + 1 });
      input.setAttribute("aria-describedby", "hint-" + question.id);
      input.addEventListener("change", () => answer(question, i + 1, !byArrow));
      const small = element("small", { textContent: note, className: note.startsWith("key") ? "keys" : "" });
      scale.append(element("label", {}, input, element("span", {}, String(name), ...(note ? [small] : []))));
    });
    const fields = element("fieldset", {}, element("legend", { textContent: text }), clips,
      element("p", { className: "hint", id: "hint-" + question.id }), scale);
    return element("section", { className: "card", id: "card-" + question.id, tabIndex: -1 },
      element("p", { className: "kind", textContent: `${number} of ${all} · ${KINDS[question.modality]}` }), fields);
  }

  const is_open = question => question.clips.every(clip => (state.played[position][question.id] || {})[clip.label || "-"]);

  function refresh(question) {
    const node = card_of(question), open = is_open(question), value = state.answers[position][question.id];
    for (const input of node.querySelectorAll("input")) input.disabled = !open;
    const left = players.filter(p => p.question === question && !p.whole()).length;
    const hint = node.querySelector(".hint");
    hint.textContent = open ? (value ? "" : "Now answer.") : question.clips.length === 1 ? "Play the clip to its end, then answer." : `Play all three to the end, then answer (${left} left).`;
    hint.classList.remove("now");
    get("next").classList.toggle("open", open_questions(position).length > 0);
  }

  // ---- clips ------------------------------------------------------------------------------------------------------
  function player(question, clip) {
    const media = element(question.modality === "audio" ? "audio" : "video", { src: clip.src, preload: "auto", playsInline: true, disableRemotePlayback: true });
    const bar = element("i"), word = element("span"), button = element("button", { type: "button", className: "play" });
    const name = clip.label ? "clip " + clip.label : "the clip";
    const self = { question, media, whole: () => !!(state.played[position][question.id] || {})[clip.label || "-"], play, stop, playing: () => !media.paused && !media.ended };
    function look(failed = false) {
      const what = self.playing() ? "stop" : self.whole() ? "again" : "play";
      word.textContent = failed ? "Try again" : { play: "Play", stop: "Stop", again: "Again" }[what];
      button.replaceChildren(icon(what), word, bar);
      button.setAttribute("aria-label", `${word.textContent}: ${name}`);
      button.classList.toggle("whole", self.whole() && !self.playing());
    }
    async function play() {
      players.forEach(other => other !== self && other.stop());
      if (media.error) media.load();
      media.currentTime = 0;
      try { await media.play(); } catch (error) {
        if (error.name === "AbortError") return;
        look(true);
        message("page-message", "The clip could not be played. Check the connection and try again.");
      }
    }
    function stop() {
      if (!media.paused) media.pause();
    }
    function ended() {
      let heard = 0;
      for (let i = 0; i < media.played.length; i++) heard += media.played.end(i) - media.played.start(i);
      if (media.duration - heard <= Math.max(0.15, 0.1 * media.duration)) {
        (state.played[position][question.id] ||= {})[clip.label || "-"] = true;
        save();
        refresh(question);
        if (is_open(question)) card_of(question).querySelector(".scale").scrollIntoView({ block: "nearest" });
      }
      look();
    }
    media.addEventListener("play", () => { message("page-message", ""); look(); });
    media.addEventListener("pause", () => look());
    media.addEventListener("ended", ended);
    media.addEventListener("timeupdate", () => { bar.style.width = 100 * media.currentTime / (media.duration || 1) + "%"; });
    const toggle = () => self.playing() ? stop() : play();
    button.addEventListener("click", toggle);
    if (question.modality !== "audio") media.addEventListener("click", toggle);
    players.push(self);
    look();
    const caption = element("figcaption", {}, clip.label, ...(clip.label === "X" ? [" ", element("span", { textContent: "another sentence" })] : []));
    return element("figure", { className: "clip" }, ...(clip.label ? [caption] : []), media, button);
  }

  function clear_players() {
    for (const { media } of players) { media.pause(); media.removeAttribute("src"); media.load(); }
    players = [];
  }

  function play_next(question) {
    const own = players.filter(p => p.question === question), now = own.findIndex(p => p.playing());
    if (now >= 0 && !own[now].whole()) return own[now].stop();
    const unheard = own.find(p => !p.whole());
    (unheard || own[(now + 1) % own.length]).play();
  }

  function warm_up() {  // the next page's clips, so that they play at once
    for (const question of (state.pages[position] || { questions: [] }).questions)
      for (const clip of question.clips) fetch(clip.src, { priority: "low" }).catch(() => {});
  }

  // ---- answers ----------------------------------------------------------------------------------------------------
  function answer(question, value, move_on) {
    const first = !state.answers[position][question.id];
    state.answers[position][question.id] = value;
    const seconds = Math.round((state.seconds[position] || 0) * 10) / 10;
    state.queue = state.queue.filter(item => item.page !== position || item.question !== question.id);
    state.queue.push({ page: position, question: question.id, value, seconds });
    save();
    card_of(question).querySelector(`input[value="${value}"]`).checked = true;
    refresh(question);
    flush();
    if (!first) return;
    if (Object.keys(state.answers[position]).length === 1) warm_up();
    if (move_on) go_to(open_questions(position)[0]);
  }

  function go_to(question) {
    const node = question ? card_of(question) : get("next");
    node.focus({ preventScroll: true });
    node.scrollIntoView({ block: question ? "start" : "nearest" });
  }

  function press_next() {
    const open = open_questions(position);
    if (!open.length) return next();
    message("page-message", open.length === 1 ? "One question is still open." : `${open.length} questions are still open.`);
    go_to(open[0]);
  }

  function active_question() {
    const { questions } = state.pages[position - 1], node = document.activeElement?.closest(".card");
    return questions.find(question => card_of(question) === node) || open_questions(position)[0] || questions[0];
  }

  document.addEventListener("keydown", event => {
    byArrow = event.key.startsWith("Arrow");
    if (get("page").hidden || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
    const on_button = event.target.closest("button"), question = active_question();
    if (event.key === " " && !on_button && !event.target.matches("input:not(:checked)")) {
      event.preventDefault();
      play_next(question);
    } else if (event.key === "Enter" && !on_button) {
      event.preventDefault();
      press_next();
    } else if (/^[1-5]$/.test(event.key) && Number(event.key) <= QUESTIONS[question.id][1].length) {
      event.preventDefault();
      if (is_open(question)) answer(question, Number(event.key), true);
      else card_of(question).querySelector(".hint").classList.add("now");
    }
  });
  document.addEventListener("pointerdown", () => { byArrow = false; });

  get("start").addEventListener("click", start);
  get("next").addEventListener("click", press_next);
  get("stop").addEventListener("click", () => { state.stopped = true; save(); thanks(); });
  get("resume").addEventListener("click", () => { state.stopped = false; save(); next(); });
  addEventListener("online", flush);
  addEventListener("pagehide", () => state && save());
  let ticked = performance.now();
  setInterval(() => {  // time in view; a sleeping tab does not count
    const now = performance.now(), seconds = Math.min(2, (now - ticked) / 1000);
    ticked = now;
    if (state && !get("page").hidden && !document.hidden) state.seconds[position] = (state.seconds[position] || 0) + seconds;
  }, 250);

  if (state && state.test === SETTINGS.test) compare().then(() => { if (state) { next(); flush(); } }); else show("intro");
})();
