// The picture itself: a canvas of one pixel a pixel, scaled by the page, with lines and texts over it.

const SVG = "http://www.w3.org/2000/svg";
/** Pixels that a pointer may move between down and up and it still is a click. */
const CLICK_SLOP = 4;
/** Pixels of a wheel or trackpad that are one slice. */
const WHEEL_STEP = 50;

/** Say something, where it is not said already: each change makes the browser lay out the page anew. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Make an element. Texts go in as text, never as markup: they come from servers. */
function make(tag, className, attributes = {}, children = []) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

class Pane {
  /** `doer` has what gestures do: scroll, drag, zoom, pan, point, hover, key, reset. */
  constructor(doer) {
    this.doer = doer;
    this.canvas = make("canvas", "dfv-canvas");
    this.context = this.canvas.getContext("2d");
    this.lines = document.createElementNS(SVG, "svg");
    this.lines.setAttribute("class", "dfv-lines");
    this.lines.setAttribute("preserveAspectRatio", "none");
    this.lines.setAttribute("aria-hidden", "true");
    this.stage = make("div", "dfv-stage", {}, [this.canvas, this.lines]);
    this.corners = {};
    for (const name of ["what", "where", "window", "value", "left", "right", "top", "bottom"]) {
      this.corners[name] = make("div", `dfv-text dfv-${name}`, { "aria-hidden": "true" });
    }
    this.notice = make("div", "dfv-notice", { text: "Waiting for the kernel…" });
    this.element = make(
      "div",
      "dfv-pane",
      { tabindex: "0", role: "application", "aria-roledescription": "image viewer", "data-lm-suppress-shortcuts": true },
      [this.stage, ...Object.values(this.corners), this.notice],
    );
    this.pointers = new Map();
    this.turned = 0;
    this.picture = null;
    this.place = { left: 0, top: 0, across: 1, down: 1 };
    this.listen();
  }

  /** Paint pixels; `fill(Uint32Array)` gives them their colours. */
  paint(picture, fill) {
    const { rows, columns } = picture;
    if (this.picture === null || this.canvas.width !== columns || this.canvas.height !== rows) {
      this.canvas.width = columns;
      this.canvas.height = rows;
      this.lines.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
      this.image = this.context.createImageData(columns, rows);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    this.picture = picture;
    fill(this.pixels, this.image.data);
    this.context.putImageData(this.image, 0, 0);
  }

  /** Forget the picture: what is not here yet must not look like what was there before. */
  clear() {
    if (this.picture) this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.lines.replaceChildren();
    this.picture = null;
  }

  /** Place the picture: `zoom` 1 fits it in, `pan` is how far, in its pixels, the middle of the view is from its own. */
  layout(rows, columns, spacing, zoom, pan) {
    const { clientWidth, clientHeight } = this.element;
    const fit = Math.min(clientWidth / (columns * spacing[1]), clientHeight / (rows * spacing[0]));
    const [down, across] = [fit * zoom * spacing[0], fit * zoom * spacing[1]];
    const left = clientWidth / 2 - (columns / 2 + pan[0]) * across;
    const top = clientHeight / 2 - (rows / 2 + pan[1]) * down;
    this.place = { left, top, across, down };
    const { style } = this.stage;
    style.left = `${left}px`;
    style.top = `${top}px`;
    style.width = `${columns * across}px`;
    style.height = `${rows * down}px`;
    // Seen very close, pixels are what they are.
    style.imageRendering = Math.min(across, down) >= 8 ? "pixelated" : "auto";
  }

  /** Draw contours and the crosshair in the picture's own coordinates; pixel centres are at halves. */
  draw(contours, cross) {
    if (!contours.length && !cross && !this.lines.firstChild) return;
    const drawn = contours.map(({ points, colour, opacity }) => {
      const at = [];
      for (let i = 0; i < points.length; i += 2) at.push(`${points[i] + 0.5},${points[i + 1] + 0.5}`);
      const stroke = { stroke: `rgb(${colour.join()})`, "stroke-opacity": opacity };
      return this.line("polygon", { points: at.join(" "), class: "dfv-contour", ...stroke });
    });
    if (cross) {
      const [x, y] = [cross.column + 0.5, cross.row + 0.5];
      const [gapX, gapY] = [8 / this.place.across, 8 / this.place.down];
      const { width, height } = this.canvas;
      for (const [x1, y1, x2, y2] of [
        [0, y, x - gapX, y],
        [x + gapX, y, width, y],
        [x, 0, x, y - gapY],
        [x, y + gapY, x, height],
      ]) {
        drawn.push(this.line("line", { x1, y1, x2, y2, class: "dfv-cross" }));
      }
    }
    this.lines.replaceChildren(...drawn);
  }

  line(tag, attributes) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  }

  /** The pixel under the pointer, or null beside the picture. */
  pixelAt(event) {
    if (!this.picture) return null;
    const box = this.element.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.element.clientLeft - this.place.left) / this.place.across);
    const row = Math.floor((event.clientY - box.top - this.element.clientTop - this.place.top) / this.place.down);
    const { rows, columns } = this.picture;
    return row >= 0 && column >= 0 && row < rows && column < columns ? { row, column } : null;
  }

  /** How far a point of the pane is from the middle of the view. */
  fromMiddle(x, y) {
    const box = this.element.getBoundingClientRect();
    return [x - box.left - box.width / 2, y - box.top - box.height / 2];
  }

  listen() {
    const { element, doer } = this;
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    element.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      event.stopPropagation();
    });
    element.addEventListener("dblclick", () => doer.reset());
    element.addEventListener("keydown", (event) => {
      if (doer.key(event)) {
        event.preventDefault();
        event.stopPropagation();
      }
    });
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    element.addEventListener("pointerup", (event) => this.up(event));
    element.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    element.addEventListener("pointerleave", () => doer.hover(null));
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey && !this.doer.canScroll()) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey) {
      this.doer.zoom(Math.exp(-event.deltaY / 400), this.fromMiddle(event.clientX, event.clientY));
      return;
    }
    // A notch of a wheel is one slice, whatever the page makes of it; a trackpad's small steps add up.
    const isNotch = event.deltaMode !== WheelEvent.DOM_DELTA_PIXEL || Math.abs(event.deltaY) >= WHEEL_STEP;
    this.turned = isNotch ? Math.sign(event.deltaY) * WHEEL_STEP : this.turned + event.deltaY;
    const steps = Math.trunc(this.turned / WHEEL_STEP);
    this.turned = isNotch ? 0 : this.turned - steps * WHEEL_STEP;
    if (steps) this.doer.scroll(steps);
  }

  down(event) {
    this.element.focus({ preventScroll: true });
    this.element.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const does = event.button === 2 ? "zoom" : event.button === 1 || event.shiftKey ? "pan" : "window";
    this.gesture = { does, x: event.clientX, y: event.clientY, isClick: event.button === 0 };
    if (event.button === 1) event.preventDefault();
    this.doer.begin();
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.doer.hover(this.pixelAt(event));
      return;
    }
    const now = { x: event.clientX, y: event.clientY };
    const { gesture } = this;
    if (this.pointers.size === 2) {
      this.pinch(event.pointerId, before, now);
    } else {
      const [x, y] = [now.x - gesture.x, now.y - gesture.y];
      if (gesture.isClick && Math.hypot(x, y) < CLICK_SLOP) return;
      gesture.isClick = false;
      if (gesture.does === "window") this.doer.drag(x, y);
      if (gesture.does === "pan") this.doer.pan(now.x - before.x, now.y - before.y);
      if (gesture.does === "zoom") this.doer.zoom(Math.exp((before.y - now.y) / 150), this.fromMiddle(gesture.x, gesture.y));
    }
    this.pointers.set(event.pointerId, now);
  }

  /** Two fingers: their distance zooms, their middle pans. */
  pinch(moving, before, now) {
    const [, other] = [...this.pointers].find(([id]) => id !== moving);
    const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
    this.gesture.isClick = false;
    this.gesture.does = "none";
    this.doer.zoom(apart(now) / apart(before), this.fromMiddle((now.x + other.x) / 2, (now.y + other.y) / 2));
    this.doer.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.pointers.size === 0 && this.gesture?.isClick) {
      const pixel = this.pixelAt(event);
      if (pixel) this.doer.point(pixel);
    }
  }
}
