"use strict";
(() => {
  // While the page is visible the script fetches the JSON every two seconds and updates
  // the places that the server filled. It sets texts only as textContent.
  const pollEvery = 2000;
  const missing = "–";
  const expirySoon = 14 * 24 * 3600;
  const nearPercent = 80;
  const maxHolders = 3;

  // These formats are those of format.go, under the same names. A test compares them.
  const round = (n, digits) => (Math.floor(n * 10 ** digits + 0.5) / 10 ** digits).toFixed(digits);
  const count = (n) => round(n, 0).replace(/\B(?=(\d{3})+$)/g, ",");
  const rate = (n) => (n === 0 || n >= 9.95 ? count(n) : round(n, 1));
  const ms = (n) => {
    if (n === 0) return "0 ms";
    if (n < 0.995) return round(n, 2) + " ms";
    if (n < 9.95) return round(n, 1) + " ms";
    if (n < 999.5) return round(n, 0) + " ms";
    return round(n / 1000, 1) + " s";
  };
  const bytes = (n) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let i = 0;
    for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
    return round(n, i > 0 && n < 9.95 ? 1 : 0) + " " + units[i];
  };
  const age = (n) => {
    const whole = (unit) => count(Math.floor(n / unit));
    if (n < 0) return "expired";
    if (n < 60) return whole(1) + " s";
    if (n < 3600) return whole(60) + " min";
    if (n < 48 * 3600) return whole(3600) + " h";
    return whole(24 * 3600) + " days";
  };
  const unset = (text) => typeof text !== "string" || text.startsWith("0001-");
  const time = (text) => (unset(text) ? missing : text.slice(0, 10) + " " + text.slice(11, 19));
  const since = (text, now) =>
    unset(text) ? missing : age(Math.max(0, Math.floor((Date.parse(now) - Date.parse(text)) / 1000))) + " ago";
  const text = (value) => value || missing;
  const list = (items) => (items && items.length > 0 ? items.join(", ") : missing);
  const ambiguous = /^(everyone|nobody|no one|anonymous)$|[ ,;()"]/; // like acl.ShownName
  const name = (user) => (ambiguous.test(user) ? '"' + user.replace(/[\\"]/g, "\\$&") + '"' : user);
  const who = (group) => {
    if (group.everyone) return "everyone";
    if (!group.users || group.users.length === 0) return "no one";
    return list(group.users.map(name)) + (group.left_out > 0 ? " and " + count(group.left_out) + " more" : "");
  };
  const user = (row) => (row.others ? "other certificates" : row.claimed ? row.claimed + " (claimed)" : row.user || "anonymous");
  const what = (row) => row.key || row.path || "(unreadable)";
  const inUnit = (row, n) => (row.unit === "bytes" ? number(bytes) : number(count))(n);
  const amount = (field) => (row) => inUnit(row, row[field]);
  const percentage = (row) => (100 * row.used) / row.total;
  const holders = (row) =>
    (row.largest || []).slice(0, maxHolders).map((one) => one.account + ": " + inUnit(row, one.used)).join("; ") || missing;
  const why = (row) => round(row.status, 0) + " " + row.reason + (row.reason !== "unauthorized" || !row.login ? "" :
    ": " + (row.login === "ok" ? "no right" : row.login.replaceAll("_", " ")));
  const moods = {
    up: "good", serving: "good", free: "good", leader: "good",
    down: "bad", "no leader": "bad", full: "bad", out: "bad", "no space": "bad", corrupt: "bad", emptying: "warn", draining: "warn", short: "warn",
  };
  const number = (write) => (n) => (typeof n === "number" ? write(n) : missing);
  const formats = {
    text, key: text, name: text, error: text,
    count: number(count),
    alarm: number(count),
    rate: number(rate),
    percent: number((n) => rate(n) + " %"),
    share: number((n) => rate(n) + " %"),
    ms: number(ms),
    bytes: number(bytes),
    age: number(age),
    expiry: number(age),
    time, since, list, who, user, what, why,
    used: amount("used"),
    value: amount("value"),
    total: amount("total"),
    holders,
    fill: (row) => (row.total ? rate(percentage(row)) + " %" : missing),
    serving: (row) => (row.serving ? "yes" : "no: " + row.reason),
    following: (row) => (row.following ? "yes" : (row.lost ? "lost: " : "no: ") + row.reason),
    lag: number(age),
    has: (on) => (on ? "yes" : "no"),
    yes: (on) => (on ? "yes" : "no"),
    verdict: (ok) => (ok ? "yes" : "no, see what is in force as before"),
    mood: (text) => text || "",
  };
  const moodOf = (value, as) => {
    switch (as) {
      case "mood": return Object.hasOwn(moods, value) ? moods[value] : "";
      case "alarm": return value > 0 ? "warn" : "";
      case "share": return value >= nearPercent ? "warn" : "";
      case "fill": return percentage(value) >= nearPercent ? "warn" : "";
      case "serving": return value.serving ? "good" : "bad";
      case "following": return value.following ? "good" : value.lost ? "bad" : "warn";
      case "lag": return value > 0 ? "warn" : "";
      case "has":
      case "verdict": return value ? "good" : "bad";
      case "expiry": return value <= 0 ? "bad" : value < expirySoon ? "warn" : "good";
    }
    return "";
  };

  const valueAt = (value, path) => {
    if (path === "") return value;
    for (const step of path.split(".")) {
      if (value === null || value === undefined) return undefined;
      value = value[step];
    }
    return value;
  };

  const set = (element, value, as, now) => {
    const text = formats[as](value, now);
    // Only what changed, so that a selection stays.
    if (element.textContent !== text) element.textContent = text;
    const mood = moodOf(value, as);
    if (mood !== (element.dataset.mood || "")) {
      if (mood) element.dataset.mood = mood;
      else delete element.dataset.mood;
    }
  };

  const make = (name, parent) => parent.appendChild(document.createElement(name));

  const fillTable = (table, status) => {
    const items = valueAt(status, table.dataset.list) || [];
    const columns = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    items.forEach((item, i) => {
      const row = body.rows[i] || make("tr", body);
      columns.forEach((column, j) => {
        let cell = row.cells[j];
        if (!cell) {
          cell = make("td", row);
          cell.dataset.label = column.textContent;
          cell.dataset.as = column.dataset.as;
        }
        set(cell, valueAt(item, column.dataset.at), column.dataset.as, status.time);
      });
    });
    while (body.rows.length > items.length) body.deleteRow(-1);
    table.hidden = items.length === 0;
    table.nextElementSibling.hidden = items.length > 0;
    const card = table.parentElement;
    card.hidden = "optional" in card.dataset && items.length === 0;
  };

  const fillProblems = (problems) => {
    const section = document.getElementById("problems");
    const ul = section.firstElementChild;
    problems.forEach((text, i) => {
      const li = ul.children[i] || make("li", ul);
      if (li.textContent !== text) li.textContent = text;
    });
    while (ul.children.length > problems.length) ul.lastElementChild.remove();
    section.hidden = problems.length === 0;
  };

  const fill = (status) => {
    for (const span of document.querySelectorAll("span[data-at]")) {
      set(span, valueAt(status, span.dataset.at), span.dataset.as, status.time);
    }
    for (const table of document.querySelectorAll("table[data-list]")) fillTable(table, status);
    fillProblems(status.problems);
    history = status.history;
    for (const figure of figures) draw(figure);
  };

  // Charts of the last ten minutes, with the latest values at the right.
  const figures = [...document.querySelectorAll("figure")];
  let history = null;
  const maxPoints = 300;
  const height = 132, left = 54, right = 8, top = 8, bottom = 20;

  const svg = (name, parent, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return parent.appendChild(element);
  };

  // An axis has marks, and maps a value to a height between 0 and 1.
  const linear = (highest) => {
    const value = Math.max(highest, 4);
    const power = 10 ** Math.floor(Math.log10(value));
    const end = [1, 2, 4, 6, 8, 10].find((step) => value <= step * power) * power;
    return { marks: [0, end / 2, end], place: (v) => v / end };
  };

  // Latencies range from half a millisecond to seconds, so they need a logarithmic scale.
  const logarithmic = (highest, lowest) => {
    const first = Math.floor(Math.log10(Math.max(lowest, 0.01)));
    const last = Math.max(Math.ceil(Math.log10(Math.max(highest, 0.01))), first + 2);
    const marks = [];
    for (let power = first; power <= last; power++) marks.push(10 ** power);
    return { marks, place: (v) => Math.max(Math.log10(v) - first, 0) / (last - first) };
  };

  const prepare = (figure) => {
    const names = figure.dataset.names.split(",");
    const tones = (figure.dataset.tones || "one two three").split(" ");
    const legend = make("p", figure);
    legend.className = "legend";
    figure.curves = figure.dataset.curves.split(" ").map((key, i) => {
      const entry = make("span", legend);
      entry.dataset.tone = tones[i];
      make("span", entry).textContent = names[i];
      return { key, tone: tones[i], value: make("b", entry) };
    });
    figure.moment = make("span", legend);
    figure.moment.className = "moment";
    figure.plot = svg("svg", figure, { height, role: "img", "aria-label": figure.firstElementChild.textContent });
    figure.addEventListener("pointermove", (event) => {
      figure.pointer = event.clientX - figure.plot.getBoundingClientRect().left;
      draw(figure);
    });
    figure.addEventListener("pointerleave", () => {
      figure.pointer = undefined;
      draw(figure);
    });
  };

  const draw = (figure) => {
    if (!history) return;
    const { plot, curves } = figure;
    const n = history.times ? history.times.length : 0;
    const unit = formats[figure.dataset.unit];
    const width = plot.getBoundingClientRect().width;
    plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    plot.replaceChildren();
    let highest = 0, lowest = Infinity;
    for (const { key } of curves) {
      for (const v of history[key] || []) {
        if (v === null) continue;
        highest = Math.max(highest, v);
        lowest = Math.min(lowest, v);
      }
    }
    const axis = figure.dataset.unit === "ms" ? logarithmic(highest, lowest === Infinity ? 0.1 : lowest) : linear(highest);
    const x = (i) => left + ((width - left - right) * (i + maxPoints - n)) / (maxPoints - 1);
    const y = (v) => top + (height - top - bottom) * (1 - axis.place(v));
    for (const mark of axis.marks) {
      const at = Math.round(y(mark)) + 0.5;
      svg("line", plot, { class: "grid", x1: left, x2: width - right, y1: at, y2: at });
      svg("text", plot, { x: left - 6, y: at + 3.5, "text-anchor": "end" }).textContent = unit(mark);
    }
    for (const [minutes, anchor] of [[10, "start"], [5, "middle"], [0, "end"]]) {
      const at = left + ((width - left - right) * (10 - minutes)) / 10;
      svg("text", plot, { x: at, y: height - 5, "text-anchor": anchor }).textContent = minutes ? `−${minutes} min` : "now";
    }
    let chosen = n - 1;
    if (figure.pointer !== undefined && n > 0) {
      const i = Math.round(((figure.pointer - left) / (width - left - right)) * (maxPoints - 1)) - maxPoints + n;
      chosen = Math.min(Math.max(i, 0), n - 1);
      svg("line", plot, { class: "cursor", x1: x(chosen), x2: x(chosen), y1: top, y2: height - bottom });
    }
    for (const { key, tone, value } of curves) {
      const values = history[key] || [];
      let path = "", pen = "M", alone = false;
      values.forEach((v, i) => {
        if (v === null) {
          if (alone) path += "h0.01"; // a single value between two gaps is drawn as a dot
          pen = "M";
          alone = false;
          return;
        }
        path += `${pen}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
        alone = pen === "M";
        pen = "L";
      });
      if (alone) path += "h0.01";
      if (path) svg("path", plot, { class: "curve", "data-tone": tone, d: path });
      value.textContent = chosen < 0 ? missing : unit(values[chosen]);
      if (figure.pointer !== undefined && chosen >= 0 && values[chosen] !== null) {
        svg("circle", plot, { "data-tone": tone, cx: x(chosen), cy: y(values[chosen]), r: 3 });
      }
    }
    figure.moment.textContent = figure.pointer !== undefined && chosen >= 0 ? history.times[chosen].slice(11, 19) : "";
  };

  const live = document.getElementById("live");
  const setLive = (text, mood) => {
    if (live.textContent !== text) live.textContent = text;
    live.dataset.mood = mood;
  };

  let last = null;
  const poll = async () => {
    if (document.hidden) return;
    try {
      const response = await fetch("/-/status.json", { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (!response.ok) throw new Error(response.status);
      const status = await response.json();
      fill(status);
      last = status.time;
      setLive("live", "good");
    } catch {
      setLive(last ? "no response since " + time(last) + " UTC" : "no response", "bad");
    }
  };

  const loop = async () => {
    await poll();
    setTimeout(loop, pollEvery);
  };

  document.documentElement.classList.add("js");
  figures.forEach(prepare);
  document.addEventListener("visibilitychange", poll);
  addEventListener("resize", () => figures.forEach(draw));
  loop();
})();
