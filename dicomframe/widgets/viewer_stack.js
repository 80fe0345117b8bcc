// The slices that are here, and the asking for those that are not: nearest to the present one first.

/** Bytes asked for that have not come yet: a few slices, so that a sudden jump is served at once. */
const ASKED_BYTES = 4 * 1024 * 1024;
/** Pictures of planes that Python cut, kept for going back. */
const CUTS_KEPT = 24;

class Stack {
  constructor(model) {
    this.model = model;
    // Several pages may look at one kernel: each answers to its own name.
    this.name = Math.random().toString(36).slice(2);
    this.setup = null;
    this.slices = new Map();
    this.failed = new Map();
    this.cuts = new Map();
    this.asked = new Set();
    this.askedCuts = new Set();
    this.failedCuts = new Map();
    this.at = 0;
    this.listeners = new Set();
    this.views = new Set();
    this.received = (content, buffers) => this.receive(content, buffers ?? []);
    model.on("msg:custom", this.received);
    model.send({ kind: "ready", name: this.name });
  }

  close() {
    this.model.off("msg:custom", this.received);
  }

  /** Whether a view is the one that moves the cine; the others only show it. */
  leads(view) {
    return this.views.values().next().value === view;
  }

  tell(what, index) {
    for (const listener of this.listeners) listener(what, index);
  }

  receive(content, buffers) {
    const parts = [...buffers];
    if (content.kind === "setup") {
      if (content.name === this.name) this.take(content, parts);
    } else if (this.setup === null) {
      return;
    } else if (content.kind === "slices") {
      for (const slice of content.slices) {
        this.slices.set(slice.index, pictureOf(slice, parts));
        this.asked.delete(slice.index);
        this.failed.delete(slice.index);
      }
      this.evict();
      for (const slice of content.slices) this.tell("slice", slice.index);
    } else if (content.kind === "plane") {
      const name = `${content.plane} ${content.index}`;
      this.cuts.set(name, pictureOf(content, parts));
      this.askedCuts.delete(name);
      if (this.cuts.size > CUTS_KEPT) this.cuts.delete(this.cuts.keys().next().value);
      this.tell("plane", content.index);
    } else if (content.kind === "failed" && content.plane) {
      this.askedCuts.delete(`${content.plane} ${content.index}`);
      this.failedCuts.set(`${content.plane} ${content.index}`, content.reason);
      this.tell("failed", content.index);
    } else if (content.kind === "failed") {
      this.asked.delete(content.index);
      this.failed.set(content.index, content.reason);
      this.tell("failed", content.index);
    }
    this.pump();
  }

  take(setup, parts) {
    for (const overlay of setup.overlays) {
      if (overlay.kind === "dose") overlay.table = arrayOf("uint8", parts.shift());
    }
    setup.luts.forEach((lut, number) => Object.assign(lut, { number, grey: arrayOf("uint8", parts.shift()) }));
    this.setup = setup;
    const isAcquired = this.model.get("plane") === setup.acquired;
    this.at = isAcquired ? this.model.get("index") : Math.floor(setup.count / 2);
    // What came before belongs to the setup before.
    this.slices.clear();
    this.cuts.clear();
    this.asked.clear();
    this.askedCuts.clear();
    this.failedCuts.clear();
    this.failed.clear();
    this.tell("setup", 0);
  }

  get isWhole() {
    return this.setup !== null && this.slices.size === this.setup.count;
  }

  /** The picture of a plane, or null while it is not here; then it is asked for. */
  picture(name, index) {
    if (this.setup === null) return null;
    if (name === this.setup.acquired) {
      if (index !== this.at) this.go(index);
      return this.slices.get(index) ?? null;
    }
    const key = `${name} ${index}`;
    if (this.cuts.has(key)) return this.cuts.get(key);
    if (this.isWhole) {
      const slices = Array.from({ length: this.setup.count }, (_, number) => this.slices.get(number));
      const made = cut(slices, this.setup.planes[name], index);
      if (made === null) {
        this.failedCuts.set(key, "the slices make no plane");
        return null;
      }
      this.cuts.set(key, made);
      if (this.cuts.size > CUTS_KEPT) this.cuts.delete(this.cuts.keys().next().value);
      return made;
    }
    if (!this.setup.fits && this.askedCuts.size < 3 && !this.askedCuts.has(key) && !this.failedCuts.has(key)) {
      this.askedCuts.add(key);
      this.model.send({ kind: "ask_plane", plane: name, index });
    }
    return null;
  }

  /** Make a slice the present one: it goes first, and a failed one is tried again. */
  go(index) {
    // Plane and index come one after the other: for a moment the index may be another plane's.
    if (this.setup !== null && index >= this.setup.count) return;
    this.at = index;
    this.failed.delete(index);
    if (this.setup !== null && !this.slices.has(index) && !this.asked.has(index)) {
      this.asked.add(index);
      this.model.send({ kind: "ask", slices: [index], first: true });
    }
    this.pump();
  }

  /** Ask for the nearest slices that are missing, as long as not too much is under way. */
  pump() {
    if (this.setup === null) return;
    const { count, bytes, held, fits } = this.setup;
    const most = Math.max(Math.floor(ASKED_BYTES / bytes), 2);
    // In larger portions: each message costs more than what is in it.
    if (this.asked.size > most / 2) return;
    const wanted = [];
    for (let distance = 0; distance < count && this.asked.size + wanted.length < most; distance += 1) {
      if (!fits && distance > 0 && (2 * distance + 1) * bytes > held) break;
      for (const index of distance ? [this.at + distance, this.at - distance] : [this.at]) {
        const isMissing = index >= 0 && index < count && !this.slices.has(index);
        if (isMissing && !this.asked.has(index) && !this.failed.has(index)) wanted.push(index);
      }
    }
    if (wanted.length) {
      for (const index of wanted) this.asked.add(index);
      this.model.send({ kind: "ask", slices: wanted, first: false });
    }
  }

  /** Forget the slices that are farthest from the present one, past what may be held. */
  evict() {
    if (this.setup.fits) return;
    const most = Math.max(Math.floor(this.setup.held / this.setup.bytes), 3);
    while (this.slices.size > most) {
      let farthest = this.at;
      for (const index of this.slices.keys()) {
        if (Math.abs(index - this.at) > Math.abs(farthest - this.at)) farthest = index;
      }
      this.slices.delete(farthest);
    }
  }
}

/** Read one picture of a message; its buffers are taken from the front of `parts`. */
function pictureOf(described, parts) {
  const picture = {
    ...described,
    values: arrayOf(described.type, parts.shift()),
    layers: new Map(),
    contours: [],
  };
  for (const { overlay, kind } of described.layers) {
    const buffer = parts.shift();
    if (kind === "contour") picture.contours.push({ overlay, points: arrayOf("float32", buffer) });
    else picture.layers.set(overlay, arrayOf(kind === "bits" ? "uint8" : "uint16", buffer));
  }
  return picture;
}
