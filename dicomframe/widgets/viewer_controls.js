// What stands around the picture: planes, window, cine, the slider, overlays, the list of keys.

const NAMES = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal", slices: "Slice" };

/** Every control tells JupyterLab that its keys are not the notebook's. */
const OWN_KEYS = { "data-lm-suppress-shortcuts": true };

/** What each key does: names as in KeyboardEvent.key, with Shift+ and Alt+ before arrows. */
const KEYS = [
  { keys: ["ArrowDown", "ArrowRight"], shown: "↓ →", says: "next slice", does: (view) => view.scroll(1) },
  { keys: ["ArrowUp", "ArrowLeft"], shown: "↑ ←", says: "slice before", does: (view) => view.scroll(-1) },
  { keys: ["PageDown"], shown: "Page ↓", says: "ten slices on", does: (view) => view.scroll(10) },
  { keys: ["PageUp"], shown: "Page ↑", says: "ten slices back", does: (view) => view.scroll(-10) },
  { keys: ["Home"], shown: "Home", says: "first slice", does: (view) => view.go(0) },
  { keys: ["End"], shown: "End", says: "last slice", does: (view) => view.go(Infinity) },
  { keys: [" "], shown: "Space", says: "play or pause", does: (view) => view.play() },
  { keys: ["Shift+ArrowUp"], shown: "Shift + arrows", says: "move the crosshair", does: (view) => view.step(-1, 0) },
  { keys: ["Shift+ArrowDown"], does: (view) => view.step(1, 0) },
  { keys: ["Shift+ArrowLeft"], does: (view) => view.step(0, -1) },
  { keys: ["Shift+ArrowRight"], does: (view) => view.step(0, 1) },
  { keys: ["Escape"], shown: "Esc", says: "take the crosshair away", does: (view) => view.put({ cursor: null }) },
  { keys: ["w"], shown: "w  W", says: "wider or narrower window", does: (view) => view.nudge(0, 1) },
  { keys: ["W"], does: (view) => view.nudge(0, -1) },
  { keys: ["l"], shown: "l  L", says: "higher or lower level", does: (view) => view.nudge(1, 0) },
  { keys: ["L"], does: (view) => view.nudge(-1, 0) },
  { keys: [..."123456789"], shown: "1 … 9", says: "a window of the list", does: (view, key) => view.preset(Number(key) - 1) },
  { keys: ["i"], shown: "i", says: "black for white", does: (view) => view.put({ inverted: !view.get("inverted") }) },
  { keys: ["+", "="], shown: "+  −", says: "zoom", does: (view) => view.zoom(1.25) },
  { keys: ["-", "_"], does: (view) => view.zoom(0.8) },
  { keys: ["Alt+ArrowUp"], shown: "Alt + arrows", says: "pan", does: (view) => view.pan(0, 24) },
  { keys: ["Alt+ArrowDown"], does: (view) => view.pan(0, -24) },
  { keys: ["Alt+ArrowLeft"], does: (view) => view.pan(24, 0) },
  { keys: ["Alt+ArrowRight"], does: (view) => view.pan(-24, 0) },
  { keys: ["r", "0"], shown: "r", says: "as at first: window, zoom, pan", does: (view) => view.reset() },
  { keys: ["a"], shown: "a  c  s", says: "axial, coronal, sagittal", does: (view) => view.turn("axial") },
  { keys: ["c"], does: (view) => view.turn("coronal") },
  { keys: ["s"], does: (view) => view.turn("sagittal") },
  { keys: ["o"], shown: "o", says: "overlays on or off", does: (view) => view.overlays() },
  { keys: ["?"], shown: "?", says: "this list", does: (view) => view.help() },
];

const GESTURES = [
  ["wheel", "next slice, slice before"],
  ["drag", "window: right is wider, down is darker"],
  ["click", "crosshair: value and place"],
  ["right drag", "zoom"],
  ["Ctrl + wheel", "zoom"],
  ["two fingers", "zoom and pan"],
  ["middle drag", "pan"],
  ["Shift + drag", "pan"],
  ["double click", "as at first"],
];

function button(text, label, does, more = {}) {
  return make("button", "dfv-button", { type: "button", text, "aria-label": label, title: label, onclick: does, ...OWN_KEYS, ...more });
}

class Controls {
  constructor(view) {
    this.view = view;
    this.planes = make("div", "dfv-group", { role: "group", "aria-label": "Plane" });
    this.presets = make("select", "dfv-select", {
      "aria-label": "Window",
      title: "Window",
      onchange: () => view.preset(Number(this.presets.value)),
      ...OWN_KEYS,
    });
    this.center = this.number("Window center", (center) => ({ center, lut: null }));
    this.width = this.number("Window width", (width) => ({ width: Math.max(width, view.leastWidth()), lut: null }));
    this.window = make("div", "dfv-group", { role: "group", "aria-label": "Window" }, [
      this.presets,
      make("label", "dfv-label", { text: "C " }, [this.center]),
      make("label", "dfv-label", { text: "W " }, [this.width]),
    ]);
    this.inverted = button("◐", "Black for white", () => view.put({ inverted: !view.get("inverted") }));
    this.playing = button("▶", "Play", () => view.play());
    this.rate = make("select", "dfv-select", {
      "aria-label": "Frames a second",
      title: "Frames a second",
      onchange: () => view.put({ rate: Number(this.rate.value) }),
      ...OWN_KEYS,
    });
    this.cine = make("div", "dfv-group", { role: "group", "aria-label": "Cine" }, [this.playing, this.rate]);
    this.loaded = make("span", "dfv-loaded", { "aria-hidden": "true" });
    this.question = button("?", "Keys and gestures", () => view.help(), { "aria-expanded": "false" });
    this.bar = make("div", "dfv-bar", { role: "group", "aria-label": "Controls of the viewer" }, [
      this.planes,
      this.window,
      this.inverted,
      button("Reset", "Window, zoom and pan as at first", () => view.reset()),
      this.cine,
      this.loaded,
      this.question,
    ]);
    this.slider = make("input", "dfv-slider", {
      type: "range",
      min: "0",
      step: "1",
      "aria-label": "Slice",
      oninput: () => view.go(Number(this.slider.value)),
      ...OWN_KEYS,
    });
    this.side = make("div", "dfv-side", { role: "group", "aria-label": "Overlays" });
    this.help = this.listOfKeys();
  }

  number(label, change) {
    const input = make("input", "dfv-number", { type: "number", step: "any", "aria-label": label, title: label, ...OWN_KEYS });
    input.addEventListener("change", () => {
      const number = input.valueAsNumber;
      if (Number.isFinite(number)) this.view.put(change(number));
      this.view.schedule();
    });
    return input;
  }

  listOfKeys() {
    const row = ([keys, says]) => make("li", "dfv-key", {}, [make("b", "", { text: keys }), make("span", "", { text: says })]);
    const list = (rows) => make("ul", "dfv-keys", {}, rows.map(row));
    const keys = KEYS.filter((key) => key.says).map((key) => [key.shown, key.says]);
    const lists = make("div", "dfv-lists", {}, [list(GESTURES), list(keys)]);
    const close = button("×", "Close the list", () => this.view.help());
    return make("div", "dfv-help", { role: "dialog", "aria-label": "Keys and gestures", hidden: true }, [close, lists]);
  }

  /** Build what depends on the data. */
  build(setup) {
    const { view } = this;
    const names = Object.keys(setup.planes);
    this.planes.replaceChildren(
      ...names.map((name) => button(NAMES[name], `${NAMES[name]} plane`, () => view.turn(name), { "data-plane": name })),
    );
    this.planes.hidden = names.length < 2;
    this.presets.replaceChildren(
      ...setup.presets.map(({ name }, number) => make("option", "", { value: number, text: name })),
      make("option", "", { value: -1, text: "other", disabled: true }),
    );
    this.window.hidden = setup.isColour;
    this.inverted.hidden = setup.isColour;
    this.cine.hidden = setup.count < 2;
    const rates = [...new Set([1, 2, 5, 10, 15, 20, 25, 30, 60, view.get("rate")])].sort((a, b) => a - b);
    this.rate.replaceChildren(...rates.map((rate) => make("option", "", { value: rate, text: `${rate}/s` })));
    this.side.hidden = setup.overlays.length === 0 && !setup.missing;
    this.side.replaceChildren(
      ...setup.overlays.map((overlay, number) => this.overlay(overlay, number)),
      make("p", "dfv-missing", { text: setup.missing }),
    );
  }

  overlay(overlay, number) {
    const { view } = this;
    const change = (name, value) => view.put({ [name]: view.get(name).map((old, at) => (at === number ? value : old)) });
    const shown = make("input", "", { type: "checkbox", "data-visible": number, onchange: () => change("visible", shown.checked), ...OWN_KEYS });
    const opacity = make("input", "dfv-opacity", {
      type: "range",
      min: "0",
      max: "1",
      step: "0.05",
      "aria-label": `Opacity of ${overlay.label}`,
      title: "Opacity",
      "data-opacity": number,
      oninput: () => change("opacities", Number(opacity.value)),
      ...OWN_KEYS,
    });
    const colour = make("span", "dfv-colour", { "aria-hidden": "true" });
    const label = make("label", "dfv-name", { title: overlay.label }, [shown, colour, make("bdi", "", { text: overlay.label })]);
    const rows = [label, opacity];
    if (overlay.kind === "dose") {
      const { table } = overlay;
      const stops = [0, 64, 128, 192, 255].map((at) => `rgb(${table[3 * at]},${table[3 * at + 1]},${table[3 * at + 2]})`);
      colour.style.background = `linear-gradient(90deg, ${stops.join()})`;
      const scale = make("div", "dfv-scale", { "aria-hidden": "true" });
      scale.style.background = `linear-gradient(90deg, ${stops.join()})`;
      const ends = make("div", "dfv-ends", {}, [
        make("span", "", { text: `0 ${overlay.unit}` }),
        make("span", "", { text: `${spoken(overlay.maximum)} ${overlay.unit}` }),
      ]);
      rows.push(scale, ends);
    } else {
      colour.style.background = `rgb(${overlay.colour.join()})`;
    }
    return make("div", "dfv-overlay", {}, rows);
  }

  /** Show the state. */
  update(setup) {
    const { view } = this;
    const [name, index] = [view.get("plane"), view.get("index")];
    const canTurn = view.stack.isWhole || !setup.fits;
    for (const each of this.planes.children) {
      const isPressed = each.dataset.plane === name;
      each.setAttribute("aria-pressed", String(isPressed));
      each.disabled = !isPressed && !canTurn && each.dataset.plane !== setup.acquired;
      each.title = each.disabled ? "When all slices are here" : each.getAttribute("aria-label");
    }
    if (!setup.isColour) {
      const chosen = setup.presets.findIndex((preset) => isWindow(preset, view.window()));
      this.presets.value = String(chosen);
      if (document.activeElement !== this.center) this.center.value = spoken(view.get("center"));
      if (document.activeElement !== this.width) this.width.value = spoken(view.get("width"));
      this.inverted.setAttribute("aria-pressed", String(view.get("inverted")));
    }
    const isPlaying = view.get("playing");
    say(this.playing, isPlaying ? "❚❚" : "▶");
    this.playing.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
    this.rate.value = String(view.get("rate"));
    const { count } = view.plane();
    this.slider.max = String(count - 1);
    this.slider.value = String(index);
    this.slider.hidden = count < 2;
    this.slider.setAttribute("aria-valuetext", `${index + 1} of ${count}`);
    const here = view.stack.slices.size;
    say(this.loaded, here < setup.count && setup.fits ? `${here} of ${setup.count} loaded` : setup.note);
    const [visible, opacities] = [view.get("visible"), view.get("opacities")];
    for (const box of this.side.querySelectorAll("[data-visible]")) box.checked = visible[box.dataset.visible];
    for (const range of this.side.querySelectorAll("[data-opacity]")) range.value = opacities[range.dataset.opacity];
  }
}

function isWindow(preset, window) {
  if (preset.lut !== null || window.lut) return preset.lut === (window.lut?.number ?? null);
  return preset.center === window.center && preset.width === window.width && preset.function === window.function;
}
