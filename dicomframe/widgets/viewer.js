// The viewer: its state is the model's, so that Python sees it and sets it; everything else is drawn from that.

const STATE = [
  "index", "plane", "center", "width", "function", "lut", "inverted", "zoom", "pan", "cursor", "playing", "rate", "visible",
  "opacities",
];
/** Milliseconds between two messages to Python about the state, and before something is read out. */
const SAVE_EVERY = 100;
const QUIET = 500;
/** After so long without an answer there is no kernel that could give one. */
const NO_KERNEL = 8000;

class View {
  constructor(model, stack) {
    this.model = model;
    this.stack = stack;
    this.painter = new Painter();
    this.pane = new Pane(this);
    this.controls = new Controls(this);
    this.status = make("div", "dfv-status", { role: "status", "aria-live": "polite" });
    this.pane.element.setAttribute("aria-label", "Picture. Arrow keys change the slice; the question mark lists the keys.");
    this.element = make("div", "dfv", { role: "group", "aria-label": "DICOM viewer" }, [
      this.controls.bar,
      make("div", "dfv-body", {}, [this.pane.element, this.controls.side]),
      this.controls.slider,
      this.status,
      this.controls.help,
    ]);
    for (const type of ["keydown", "keyup", "focusout"]) this.element.addEventListener(type, lendKeys);
    this.hovered = null;
    this.needsPaint = true;
    this.heard = (what, index) => this.hear(what, index);
    stack.listeners.add(this.heard);
    stack.views.add(this);
    for (const name of STATE) model.on(`change:${name}`, () => this.changed(name));
    this.observer = new ResizeObserver(() => this.schedule(false));
    this.observer.observe(this.pane.element);
    this.waiting = setTimeout(() => {
      if (!stack.setup) this.pane.notice.textContent = "There is no answer from Python: run the cell again.";
    }, NO_KERNEL);
    if (stack.setup) this.hear("setup", 0);
  }

  close() {
    this.stack.listeners.delete(this.heard);
    this.stack.views.delete(this);
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.waiting);
    clearTimeout(this.speaking);
    if (this.saving) this.save();
  }

  // -- state -----------------------------------------------------------------------------------------------------

  get(name) {
    return this.model.get(name);
  }

  put(changes) {
    for (const [name, value] of Object.entries(changes)) this.model.set(name, value);
    this.saving ??= setTimeout(() => this.save(), SAVE_EVERY);
  }

  save() {
    clearTimeout(this.saving);
    this.saving = null;
    this.model.save_changes();
  }

  hear(what, index) {
    if (what === "setup") {
      this.controls.build(this.stack.setup);
      this.needsPaint = true;
    }
    const isShown = what === "setup" || index === this.get("index") || this.get("plane") !== this.stack.setup.acquired;
    this.schedule(isShown);
  }

  changed(name) {
    if (name === "playing") this.tick();
    // A slice that is not here is asked for at once, not only when it is to be painted.
    if (name === "index" && this.get("plane") === this.stack.setup?.acquired) this.stack.go(this.get("index"));
    this.schedule(!["zoom", "pan", "cursor", "playing", "rate"].includes(name));
    this.announce();
  }

  window() {
    const lut = this.stack.setup?.luts[this.get("lut")] ?? null;
    return { center: this.get("center"), width: this.get("width"), function: this.get("function"), lut };
  }

  /** What the grey is made by, in words: the table's name, or the window's numbers. */
  voiInWords(center, width) {
    const { presets } = this.stack.setup;
    const lut = this.get("lut");
    if (lut !== null) return presets.find((preset) => preset.lut === lut).name;
    return `${center}${spoken(this.get("center"))}${width}${spoken(this.get("width"))}`;
  }

  plane() {
    const { planes, acquired } = this.stack.setup;
    return planes[this.get("plane")] ?? planes[acquired];
  }

  leastWidth() {
    return this.get("function") === "LINEAR" ? 1 : Number.MIN_VALUE;
  }

  // -- drawing ---------------------------------------------------------------------------------------------------

  schedule(needsPaint = true) {
    this.needsPaint ||= needsPaint;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.stack.setup) this.draw();
    });
  }

  draw() {
    const { pane, stack } = this;
    const plane = this.plane();
    const index = this.get("index");
    const picture = stack.picture(this.get("plane"), index);
    if (this.needsPaint) {
      this.needsPaint = false;
      if (picture) pane.paint(picture, (pixels, bytes) => this.fill(picture, pixels, bytes));
      else pane.clear();
    }
    const name = this.get("plane");
    const failure = name === stack.setup?.acquired ? stack.failed.get(index) : stack.failedCuts.get(`${name} ${index}`);
    say(pane.notice, picture ? "" : failure ? `This slice cannot be shown: ${failure}` : "Loading…");
    const { rows, columns } = picture ?? plane;
    pane.layout(rows, columns, plane.spacing, this.get("zoom"), this.get("pan"));
    const cursor = this.get("cursor");
    const cross = cursor ? placeOn(plane, cursor) : null;
    pane.draw(picture ? this.contours(picture) : [], cross?.index === index ? cross : null);
    this.write(plane, index, picture, cross);
    this.controls.update(stack.setup);
  }

  fill(picture, pixels, bytes) {
    this.painter.paint(picture, this.window(), this.get("inverted"), pixels);
    const [visible, opacities] = [this.get("visible"), this.get("opacities")];
    const isAcquired = this.get("plane") === this.stack.setup.acquired;
    this.stack.setup.overlays.forEach((overlay, number) => {
      const layer = picture.layers.get(number);
      if (!layer || !visible[number]) return;
      // Structures are lines: on the slices that they were drawn on their own, across them the edges of what they enclose.
      if (!overlay.isLines) blend(bytes, layer, overlay, opacities[number]);
      else if (!isAcquired) blend(bytes, edgesOf(layer, picture.rows, picture.columns), overlay, opacities[number]);
    });
  }

  contours(picture) {
    const { overlays } = this.stack.setup;
    const [visible, opacities] = [this.get("visible"), this.get("opacities")];
    const shown = picture.contours.filter(({ overlay }) => visible[overlay]);
    return shown.map(({ overlay, points }) => ({ points, colour: overlays[overlay].colour, opacity: opacities[overlay] }));
  }

  write(plane, index, picture, cross) {
    const { corners } = this.pane;
    const { setup } = this.stack;
    const pixel = this.hovered ?? (cross?.index === index ? cross : null);
    const [value, where] = picture && pixel ? this.read(plane, index, picture, pixel) : ["", ""];
    const zoom = Math.abs(this.get("zoom") - 1) < 0.005 ? "" : `  zoom ${this.get("zoom").toFixed(2)}×`;
    const window = setup.isColour ? "" : this.voiInWords("C ", "  W ");
    say(corners.what, setup.title);
    say(corners.where, `${NAMES[this.get("plane")]} ${index + 1} / ${plane.count}`);
    say(corners.window, `${window}${zoom}`);
    say(corners.value, value ? `${value}\n${where}` : "");
    for (const side of ["left", "right", "top", "bottom"]) say(corners[side], plane.letters?.[side] ?? "");
  }

  /** The value of a pixel in words, and its place in the patient. */
  read(plane, index, picture, { row, column }) {
    const { setup } = this.stack;
    if (row < 0 || column < 0 || row >= picture.rows || column >= picture.columns) return ["", ""];
    const at = row * picture.columns + column;
    const { values, samples, slope, intercept, units } = picture;
    const place = placeIn(plane, index, row, column);
    const unit = (units.length > 1 ? units[place[0]] : units[0]) ?? setup.unit;
    const value = samples === 3
      ? `RGB ${values[3 * at]}, ${values[3 * at + 1]}, ${values[3 * at + 2]}`
      : `${spoken(values[at] * slope + intercept)} ${unit}`.trim();
    const over = [];
    const visible = this.get("visible");
    for (const [number, layer] of picture.layers) {
      const { label, kind, unit, maximum } = setup.overlays[number];
      if (!visible[number]) continue;
      if (kind === "dose") over.push(`${label} ${spoken((layer[at] / 65535) * maximum)} ${unit}`);
      else if (hasBit(layer, at)) over.push(label);
    }
    return [[value, ...over].join("\n"), this.where(place, picture)];
  }

  where([slice, row, column], picture) {
    const steps = picture.to_mm ?? this.stack.setup.affine;
    const pixel = `row ${row}, column ${column}`;
    if (!steps) return pixel;
    const [down, across, origin] = picture.to_mm ? steps : [steps[1], steps[2], steps[3].map((mm, axis) => mm + slice * steps[0][axis])];
    const mm = origin.map((start, axis) => (start + row * down[axis] + column * across[axis]).toFixed(1));
    return `${pixel}\nx ${mm[0]}, y ${mm[1]}, z ${mm[2]} mm`;
  }

  /** Say what changed to those who do not see it, once it rests. */
  announce() {
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      if (!this.stack.setup || this.get("playing")) return;
      const plane = this.plane();
      const index = this.get("index");
      const picture = this.stack.picture(this.get("plane"), index);
      const cursor = this.get("cursor");
      const read = cursor && picture ? this.read(plane, index, picture, placeOn(plane, cursor)).join(" at ") : "";
      const window = this.stack.setup.isColour ? "" : `, window ${this.voiInWords("", ", ")}`;
      const text = `${NAMES[this.get("plane")]} ${index + 1} of ${plane.count}${window}${read ? `. ${read}` : ""}`;
      this.status.textContent = text.replaceAll("\n", ", ");
    }, QUIET);
  }

  // -- doing -----------------------------------------------------------------------------------------------------

  canScroll() {
    return this.stack.setup !== null && this.plane().count > 1;
  }

  scroll(steps) {
    this.go(this.get("index") + steps);
  }

  go(index) {
    if (!this.stack.setup) return;
    const plane = this.plane();
    const chosen = Math.max(0, Math.min(index, plane.count - 1));
    const cursor = this.get("cursor");
    // The crosshair comes along, so that the value of one place is read through the slices.
    const moved = cursor ? cursor.map((at, axis) => (axis === plane.axis ? chosen : at)) : null;
    this.put({ index: chosen, cursor: moved });
  }

  /** Turn to a plane, at the crosshair if there is one. */
  turn(name) {
    const { setup } = this.stack;
    const plane = setup?.planes[name];
    if (!plane || name === this.get("plane") || (setup.fits && !this.stack.isWhole && name !== setup.acquired)) return;
    const cursor = this.get("cursor");
    const index = cursor ? cursor[plane.axis] : Math.floor(plane.count / 2);
    this.put({ plane: name, index, zoom: 1, pan: [0, 0], playing: false });
  }

  begin() {
    this.started = this.window();
  }

  /** Window by a drag from where it began: across for the width, down for the level, as on workstations. */
  drag(across, down) {
    const { setup } = this.stack;
    if (!setup || setup.isColour) return;
    const { center, width } = this.started;
    const sensitivity = Math.max(width, (setup.high - setup.low) / 20) / 400;
    const step = 10 ** Math.floor(Math.log10(sensitivity * 4));
    // Whole steps, without the noise of their last digits.
    const round = (number) => Number((Math.round(number / step) * step).toPrecision(12));
    this.put({
      width: Math.max(round(width + across * sensitivity), this.get("function") === "LINEAR" ? 1 : step),
      center: round(center + down * sensitivity),
      lut: null,
    });
  }

  nudge(level, width) {
    this.begin();
    this.drag(20 * width, 20 * level);
  }

  preset(number) {
    const preset = this.stack.setup?.presets[number];
    if (preset && !this.stack.setup.isColour) this.put(shownBy(preset));
  }

  zoom(factor, [x, y] = [0, 0]) {
    const zoom = Math.max(0.1, Math.min(this.get("zoom") * factor, 40));
    const change = 1 / this.get("zoom") - 1 / zoom;
    const { across, down } = this.pane.place;
    const [panX, panY] = this.get("pan");
    // The point under the pointer stays where it is.
    const scaled = change * this.get("zoom");
    this.put({ zoom, pan: [panX + (x / across) * scaled, panY + (y / down) * scaled] });
  }

  pan(x, y) {
    const { across, down } = this.pane.place;
    const [panX, panY] = this.get("pan");
    this.put({ pan: [panX - x / across, panY - y / down] });
  }

  point({ row, column }) {
    this.put({ cursor: placeIn(this.plane(), this.get("index"), row, column) });
  }

  /** Move the crosshair, or put it into the middle. */
  step(down, across) {
    if (!this.stack.setup) return;
    const plane = this.plane();
    const { rows, columns } = this.pane.picture ?? plane;
    const cursor = this.get("cursor");
    const at = cursor ? placeOn(plane, cursor) : { row: (rows >> 1) - down, column: (columns >> 1) - across };
    const inside = (number, count) => Math.max(0, Math.min(number, count - 1));
    this.point({ row: inside(at.row + down, rows), column: inside(at.column + across, columns) });
  }

  hover(pixel) {
    this.hovered = pixel;
    this.schedule(false);
  }

  reset() {
    this.preset(0);
    this.put({ zoom: 1, pan: [0, 0], inverted: this.stack.setup?.inverted ?? false });
  }

  overlays() {
    const visible = this.get("visible");
    const isAny = visible.some(Boolean);
    this.put({ visible: visible.map(() => !isAny) });
  }

  help() {
    const { help, question } = this.controls;
    help.hidden = !help.hidden;
    question.setAttribute("aria-expanded", String(!help.hidden));
    (help.hidden ? this.pane.element : help.querySelector("button")).focus({ preventScroll: true });
  }

  play() {
    if (this.canScroll()) this.put({ playing: !this.get("playing") });
  }

  /** Cine: as many frames on as the time calls for; it waits for one that is not here. */
  tick() {
    if (!this.get("playing") || this.ticking) return;
    let last = performance.now();
    const next = (now) => {
      this.ticking = this.get("playing") && this.element.isConnected ? requestAnimationFrame(next) : null;
      const rate = this.get("rate");
      const due = Math.floor(((now - last) * rate) / 1000);
      if (!this.ticking || due < 1 || !this.stack.leads(this)) return;
      const index = (this.get("index") + due) % this.plane().count;
      if (this.stack.picture(this.get("plane"), index) === null) return;
      last += (due * 1000) / rate;
      this.go(index);
    };
    this.ticking = requestAnimationFrame(next);
  }

  key(event) {
    const isArrow = event.key.startsWith("Arrow");
    if (event.ctrlKey || event.metaKey || (event.altKey && !isArrow)) return false;
    const prefix = isArrow && event.altKey ? "Alt+" : isArrow && event.shiftKey ? "Shift+" : "";
    const found = KEYS.find(({ keys }) => keys.includes(prefix + event.key));
    if (found && this.stack.setup) found.does(this, event.key);
    return found !== undefined;
  }
}

/** What of a preset is the model's. */
function shownBy({ center, width, function: kind, lut }) {
  return { center, width, function: kind, lut };
}

/** While Ctrl or Cmd is down, keys are JupyterLab's again: Ctrl + S saves the notebook. */
function lendKeys(event) {
  const [name] = Object.keys(OWN_KEYS);
  if (event.type === "keydown" && ["Control", "Meta"].includes(event.key)) event.target.removeAttribute(name);
  if (event.type !== "keydown") event.target.setAttribute(name, "");
}

/** anywidget calls this once for each model, and `render` for each place where it is shown. */
export default () => {
  let stack = null;
  return {
    initialize({ model }) {
      stack = new Stack(model);
      return () => stack.close();
    },
    render({ model, el }) {
      const view = new View(model, stack);
      el.append(view.element);
      return () => view.close();
    },
  };
};
