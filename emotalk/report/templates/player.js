// Player: plays one clip at a time, its faces side by side in sync with the audio, with a curve per channel below.
"use strict";

(() => {
  const root = document.getElementById("player");
  const { fps, channels, clips } = JSON.parse(document.getElementById("player-data").textContent);
  const find = (name) => root.querySelector(`[data-${name}]`);
  const [choice, play, scrubber, speed, clock, faces, curves, status, audio] =
    ["choice", "play", "scrubber", "speed", "clock", "faces", "curves", "status", "audio"].map(find);
  if (innerWidth < 600) find("channels").open = false;
  let clip, tracks, canvases, plots, highlighted = null, time = 0, playing = false, last = 0;

  const decode = ({ name, kind, seconds, data, scale }) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const values = new Int16Array(bytes.buffer);
    return { name, kind, seconds, scale, values, count: values.length / channels.length };
  };
  const value = (track, frame, channel) => track.values[frame * channels.length + channel] / track.scale;
  // Frame k of n is at k / n of the duration; the last frame is held.
  const interpolate = (track, channel) => {
    const position = Math.min(track.count - 1, time / track.seconds * track.count + 1e-6), low = Math.floor(position);
    const high = Math.min(low + 1, track.count - 1), part = position - low;
    return value(track, low, channel) * (1 - part) + value(track, high, channel) * part;
  };

  function choose(number) {
    pause();
    clip = clips[number];
    choice.value = number;
    tracks = clip.tracks.map(decode);
    scrubber.max = clip.seconds;
    scrubber.step = 1 / fps;
    if (clip.audio) audio.src = clip.audio; else audio.removeAttribute("src");
    faces.style.setProperty("--faces", tracks.length);
    faces.replaceChildren(...tracks.map((track) => {
      const figure = document.createElement("figure"), canvas = document.createElement("canvas");
      const caption = document.createElement("figcaption");
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `face: ${track.name}`);
      caption.textContent = track.name;
      caption.className = track.kind;
      figure.className = "face";
      figure.append(canvas, caption);
      return figure;
    }));
    canvases = [...faces.querySelectorAll("canvas")];
    drawCurves();
    seek(0);
  }

  function drawCurves() {
    plots = channels.map((name, channel) => {
      const cell = document.createElement("div");
      const top = Math.max(0.2, ...tracks.map((track) => peak(track, channel)));
      const lines = tracks.map((track) => {
        const points = Array.from({ length: track.count }, (_, frame) =>
          `${(100 * frame / track.count * track.seconds / clip.seconds).toFixed(2)},${(30 - 28 * value(track, frame, channel) / top).toFixed(2)}`);
        return `<polyline class="${track.kind}" points="${points.join(" ")}"/>`;
      });
      cell.className = "curve";
      cell.tabIndex = channel === 0 ? 0 : -1;
      cell.setAttribute("role", "img");
      cell.setAttribute("aria-label", `curve: ${name}`);
      cell.innerHTML = `<span>${name}</span><svg viewBox="0 0 100 32" preserveAspectRatio="none" aria-hidden="true">`
        + `<line class="zero" x1="0" y1="30" x2="100" y2="30"/>${lines.join("")}</svg><i></i>`;
      cell.addEventListener("pointerenter", () => highlight(channel));
      cell.addEventListener("pointerleave", () => highlight(null));
      cell.addEventListener("focus", () => highlight(channel));
      cell.addEventListener("blur", () => highlight(null));
      cell.addEventListener("pointerdown", (event) => {
        const box = cell.getBoundingClientRect();
        seek(clip.seconds * (event.clientX - box.left) / box.width);
      });
      return cell;
    });
    curves.replaceChildren(...plots);
  }

  // Only one curve is a tab stop; the arrow keys move between curves.
  function moveFocus(step) {
    const from = plots.indexOf(document.activeElement), last = plots.length - 1;
    const target = from < 0 ? plots.find((cell) => cell.tabIndex === 0) : plots[Math.min(last, Math.max(0, from + step))];
    for (const cell of plots) cell.tabIndex = cell === target ? 0 : -1;
    target.focus();
  }

  function peak(track, channel) {
    let highest = 0;
    for (let frame = 0; frame < track.count; frame++) highest = Math.max(highest, value(track, frame, channel));
    return highest;
  }

  function highlight(channel) {
    if (highlighted !== null) plots[highlighted]?.classList.remove("highlighted");
    highlighted = channel;
    if (channel !== null) plots[channel].classList.add("highlighted");
    show();
  }

  function show() {
    tracks.forEach((track, index) => {
      const weights = {};
      channels.forEach((name, channel) => { weights[name] = interpolate(track, channel); });
      drawFace(canvases[index], weights);
    });
    const progress = Math.min(1, time / clip.seconds);
    for (const cell of plots) cell.lastElementChild.style.left = `${100 * progress}%`;
    scrubber.value = time;
    scrubber.setAttribute("aria-valuetext", `${time.toFixed(2)} seconds`);
    clock.textContent = `${time.toFixed(2)} s of ${clip.seconds.toFixed(2)} s · frame ${Math.floor(time * fps + 1e-6)}`;
    status.textContent = highlighted === null
      ? clip.note
      : `${channels[highlighted]}: ${tracks.map((track) => `${track.name} ${interpolate(track, highlighted).toFixed(3)}`).join(", ")}`;
  }

  function seek(seconds) {
    time = Math.min(clip.seconds, Math.max(0, seconds));
    if (clip.audio) audio.currentTime = time;
    show();
  }

  function pause() {
    playing = false;
    audio.pause();
    play.textContent = "Play";
    status.setAttribute("aria-live", "polite");
  }

  function start() {
    if (time >= clip.seconds - 0.5 / fps) seek(0);
    playing = true;
    last = performance.now();
    play.textContent = "Pause";
    status.setAttribute("aria-live", "off");
    if (clip.audio) {
      audio.playbackRate = Number(speed.value);
      audio.play().catch(pause);
    }
    requestAnimationFrame(tick);
  }

  function tick(now) {
    if (!playing) return;
    // The audio is the clock. Without audio, or before it starts, the time between screen updates is.
    const running = clip.audio && !audio.paused && audio.currentTime > 0;
    time = running ? audio.currentTime : time + Number(speed.value) * (now - last) / 1000;
    last = now;
    if (time >= clip.seconds || audio.ended) {
      time = clip.seconds;
      pause();
    }
    show();
    requestAnimationFrame(tick);
  }

  clips.forEach(({ label }, number) => choice.append(new Option(label, number)));
  choice.addEventListener("change", () => choose(Number(choice.value)));
  play.addEventListener("click", () => (playing ? pause() : start()));
  scrubber.addEventListener("input", () => seek(Number(scrubber.value)));
  speed.addEventListener("change", () => { audio.playbackRate = Number(speed.value); });
  root.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;  // Shortcuts of the browser.
    if (event.key === " " && event.target === play) return;  // The button's own click.
    const frame = 1 / fps, number = Number(choice.value);
    const actions = {
      " ": () => (playing ? pause() : start()),
      ArrowLeft: () => { pause(); seek(time - frame); },
      ArrowRight: () => { pause(); seek(time + frame); },
      ArrowUp: () => moveFocus(-1),
      ArrowDown: () => moveFocus(1),
      Home: () => seek(0),
      End: () => seek(clip.seconds),
      PageUp: () => choose((number + clips.length - 1) % clips.length),
      PageDown: () => choose((number + 1) % clips.length),
    };
    if (!(event.key in actions) || event.target.tagName === "SELECT") return;
    event.preventDefault();
    actions[event.key]();
  });
  // Links elsewhere on the page show a clip: <a href="#player" data-clip="3">.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-clip]");
    if (!link) return;
    event.preventDefault();
    choose(Number(link.dataset.clip));
    root.scrollIntoView({ block: "start" });
    play.focus({ preventScroll: true });
  });
  window.addEventListener("resize", () => clip && show());
  choose(0);
})();
