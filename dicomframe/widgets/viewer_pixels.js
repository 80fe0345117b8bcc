// Numbers to colours, and slices to planes: pure functions, without the page. The same in Python: painting.py.
// The parts viewer_*.js and viewer.js are joined to one ES module by viewer.py, in the order named there.

const ARRAYS = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float32: Float32Array,
  // Planes that Python cut through slices which differ in slope or type; slices themselves are narrower.
  float64: Float64Array,
};

const OPAQUE = 0xff000000;

/** Copy a buffer of a message into an array of its own: a view would keep the whole message alive. */
function arrayOf(type, view) {
  const bytes = view.buffer ? view : new DataView(view);
  return new ARRAYS[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

/** The VOI functions of PS3.3 C.11.2: a value to 0 … 255, by a table or a window; halves rounded up, no number to 0. */
function voi({ center, width, function: kind, lut }) {
  if (lut) {
    const { first, grey } = lut;
    const last = grey.length - 1;
    return (x) => (Number.isNaN(x) ? 0 : grey[Math.max(0, Math.min(Math.floor(x) - first, last))]);
  }
  if (kind === "SIGMOID") {
    return (x) => Math.floor((1 / (1 + Math.exp((-4 * (x - center)) / width))) * 255 + 0.5) || 0;
  }
  const middle = kind === "LINEAR" ? center - 0.5 : center;
  const span = kind === "LINEAR" ? width - 1 : width;
  if (!(span > 0)) return (x) => (x > middle ? 255 : 0);
  return (x) => {
    const y = (x - middle) / span + 0.5;
    return y > 0 ? (y >= 1 ? 255 : Math.floor(y * 255 + 0.5)) : 0;
  };
}

/** Makes pixels of pictures; it keeps the last look-up table, since scrolling changes nothing in it. */
class Painter {
  constructor() {
    this.key = "";
    this.table = null;
  }

  /** Paint a picture into `pixels`, a Uint32Array of little-endian RGBA. */
  paint(picture, window, inverted, pixels) {
    const { values, samples, slope, intercept } = picture;
    if (samples === 3) {
      for (let i = 0, j = 0; i < pixels.length; i += 1, j += 3) {
        pixels[i] = OPAQUE | (values[j + 2] << 16) | (values[j + 1] << 8) | values[j];
      }
    } else if (values.BYTES_PER_ELEMENT < 4) {
      const table = this.tableFor(values, slope, intercept, window, inverted);
      const mask = table.length - 1;
      for (let i = 0; i < pixels.length; i += 1) pixels[i] = table[values[i] & mask];
    } else {
      const grey = voi(window);
      const flip = inverted ? 255 : 0;
      for (let i = 0; i < pixels.length; i += 1) {
        pixels[i] = OPAQUE | ((grey(values[i] * slope + intercept) ^ flip) * 0x010101);
      }
    }
  }

  /** A colour for each stored value of 8 or 16 bits; those below zero have the upper half. */
  tableFor(values, slope, intercept, window, inverted) {
    const type = values.constructor.name;
    const key = [type, slope, intercept, window.center, window.width, window.function, window.lut?.number, inverted].join();
    if (key === this.key) return this.table;
    const size = values.BYTES_PER_ELEMENT === 1 ? 0x100 : 0x10000;
    const firstNegative = type.startsWith("Int") ? size / 2 : size;
    const grey = voi(window);
    const flip = inverted ? 255 : 0;
    const table = new Uint32Array(size);
    for (let i = 0; i < size; i += 1) {
      const stored = i < firstNegative ? i : i - size;
      table[i] = OPAQUE | ((grey(stored * slope + intercept) ^ flip) * 0x010101);
    }
    this.key = key;
    this.table = table;
    return table;
  }
}

/** Whether a mask of packed bits, the first in the highest place, has a pixel. */
function hasBit(bits, at) {
  return (bits[at >> 3] >> (7 - (at & 7))) & 1;
}

function mixed(below, above, opacity) {
  return Math.floor(below + (above - below) * opacity + 0.5);
}

/** Lay a mask or a dose over pixels; `bytes` are those of the painted picture. */
function blend(bytes, layer, overlay, opacity) {
  const isMask = overlay.kind === "mask";
  const table = isMask ? null : overlay.table;
  const [red, green, blue] = overlay.colour;
  for (let pixel = 0, at = 0; at < bytes.length; pixel += 1, at += 4) {
    if (isMask) {
      if (!hasBit(layer, pixel)) continue;
      bytes[at] = mixed(bytes[at], red, opacity);
      bytes[at + 1] = mixed(bytes[at + 1], green, opacity);
      bytes[at + 2] = mixed(bytes[at + 2], blue, opacity);
    } else {
      // A dose is a share of the greatest in 16 bits, its colour that of the upper 8; the lowest are not drawn.
      const share = layer[pixel] >> 8;
      if (share < overlay.least) continue;
      bytes[at] = mixed(bytes[at], table[3 * share], opacity);
      bytes[at + 1] = mixed(bytes[at + 1], table[3 * share + 1], opacity);
      bytes[at + 2] = mixed(bytes[at + 2], table[3 * share + 2], opacity);
    }
  }
}

/** The pixels of a mask that have a neighbour, above, below or beside, which is not in it. */
function edgesOf(bits, rows, columns) {
  const edges = new Uint8Array(bits.length);
  const isIn = (row, column) => row >= 0 && column >= 0 && row < rows && column < columns && hasBit(bits, row * columns + column);
  for (let row = 0, at = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1, at += 1) {
      if (!hasBit(bits, at)) continue;
      const isInside = isIn(row - 1, column) && isIn(row + 1, column) && isIn(row, column - 1) && isIn(row, column + 1);
      if (!isInside) edges[at >> 3] |= 128 >> (at & 7);
    }
  }
  return edges;
}

/** Where in the volume a pixel of a plane is: [slice, row, column]. */
function placeIn(plane, index, row, column) {
  const place = [0, 0, 0];
  place[plane.axis] = index;
  place[plane.down.axis] = plane.down.reversed ? plane.rows - 1 - row : row;
  place[plane.across.axis] = plane.across.reversed ? plane.columns - 1 - column : column;
  return place;
}

/** Where in a plane a place of the volume is: {index, row, column}. */
function placeOn(plane, place) {
  const row = place[plane.down.axis];
  const column = place[plane.across.axis];
  return {
    index: place[plane.axis],
    row: plane.down.reversed ? plane.rows - 1 - row : row,
    column: plane.across.reversed ? plane.columns - 1 - column : column,
  };
}

/** Walk a plane: call `visit(pixel, slice, offset)` for each pixel, with the place in the slices it is cut from. */
function walk(plane, index, sliceColumns, visit) {
  const start = placeIn(plane, index, 0, 0);
  const right = placeIn(plane, index, 0, 1);
  const below = placeIn(plane, index, 1, 0);
  const offset = (place) => place[1] * sliceColumns + place[2];
  const [acrossSlices, acrossOffset] = [right[0] - start[0], offset(right) - offset(start)];
  const [downSlices, downOffset] = [below[0] - start[0], offset(below) - offset(start)];
  let pixel = 0;
  for (let row = 0; row < plane.rows; row += 1) {
    let slice = start[0] + row * downSlices;
    let at = offset(start) + row * downOffset;
    for (let column = 0; column < plane.columns; column += 1) {
      visit(pixel, slice, at);
      pixel += 1;
      slice += acrossSlices;
      at += acrossOffset;
    }
  }
}

/** Cut a plane out of slices: a picture like a slice, with its layers; null if they differ in size or some have colour. */
function cut(slices, plane, index) {
  const first = slices[0];
  const isAlike = ({ rows, columns, samples }) => rows === first.rows && columns === first.columns && samples === first.samples;
  if (!slices.every(isAlike)) return null;
  const { samples } = first;
  const size = plane.rows * plane.columns;
  const isUniform = slices.every((each) => each.slope === first.slope && each.intercept === first.intercept
    && each.values.constructor === first.values.constructor);
  const values = isUniform ? new first.values.constructor(size * samples) : new Float64Array(size);
  const stored = slices.map((each) => each.values);
  const units = slices.map((each) => each.units[0] ?? "");
  walk(plane, index, first.columns, (pixel, slice, at) => {
    if (samples === 3) {
      for (let part = 0; part < 3; part += 1) values[3 * pixel + part] = stored[slice][3 * at + part];
    } else if (isUniform) {
      values[pixel] = stored[slice][at];
    } else {
      values[pixel] = stored[slice][at] * slices[slice].slope + slices[slice].intercept;
    }
  });
  return {
    values,
    samples,
    rows: plane.rows,
    columns: plane.columns,
    slope: isUniform ? first.slope : 1,
    intercept: isUniform ? first.intercept : 0,
    units: new Set(units).size === 1 ? first.units : units,
    layers: cutLayers(slices, plane, index, size),
    contours: [],
  };
}

function cutLayers(slices, plane, index, size) {
  const layers = new Map();
  const numbers = [...new Set(slices.flatMap((each) => [...each.layers.keys()]))].sort((a, b) => a - b);
  for (const number of numbers) {
    const isBits = slices.find((each) => each.layers.has(number)).layers.get(number) instanceof Uint8Array;
    const layer = isBits ? new Uint8Array((size + 7) >> 3) : new Uint16Array(size);
    walk(plane, index, slices[0].columns, (pixel, slice, at) => {
      const from = slices[slice].layers.get(number);
      if (!from) return;
      if (!isBits) layer[pixel] = from[at];
      else if (hasBit(from, at)) layer[pixel >> 3] |= 128 >> (pixel & 7);
    });
    layers.set(number, layer);
  }
  return layers;
}

/** A number as a person reads it: whole ones whole, others with four digits that count. */
function spoken(number) {
  if (!Number.isFinite(number)) return "no number";
  if (Number.isInteger(number)) return String(number);
  const size = Math.abs(number);
  return size >= 1e-3 && size < 1e6 ? String(Number(number.toPrecision(size >= 1000 ? 6 : 4))) : number.toExponential(3);
}
