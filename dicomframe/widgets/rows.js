// The rows of a cohort browser: a table that Python wrote, with a box in front of each row. Python alone keeps the ticks;
// the page tells what was clicked, and shows what Python says.

/** JupyterLab's keys stay away from a box, but for those with Ctrl or Cmd: Ctrl + S still saves the notebook. */
const OWN_KEYS = "data-lm-suppress-shortcuts";

function render({ model, el }) {
  const boxes = () => [...el.querySelectorAll("input[data-place]")];

  const nameOf = (element) => element.dataset.place ?? element.getAttribute("aria-label");

  function mark() {
    const ticked = new Set(model.get("ticked"));
    for (const box of boxes()) {
      box.checked = ticked.has(Number(box.dataset.place));
      box.closest("tr").classList.toggle("dicomframe-ticked", box.checked);
    }
    const all = el.querySelector("input[data-all]");
    if (all === null) return;
    const count = boxes().filter((box) => box.checked).length;
    all.checked = count > 0 && count === boxes().length;
    all.indeterminate = count > 0 && !all.checked;
  }

  /** Show the table anew, as when its pictures have come: focus and place stay where they were. */
  function draw() {
    const { activeElement } = el.getRootNode();
    const kept = el.contains(activeElement) ? nameOf(activeElement) : null;
    const top = el.firstElementChild?.scrollTop ?? 0;
    el.innerHTML = model.get("value");
    for (const box of el.querySelectorAll("input")) box.setAttribute(OWN_KEYS, "");
    mark();
    if (el.firstElementChild) el.firstElementChild.scrollTop = top;
    if (kept !== null) {
      const again = [...el.querySelectorAll("input, [tabindex]")].find((each) => nameOf(each) === kept);
      again?.focus({ preventScroll: true });
    }
  }

  function clicked({ target }) {
    const changed = "all" in target.dataset ? boxes() : [target];
    model.send({ kind: "tick", places: changed.map((box) => Number(box.dataset.place)), ticked: target.checked });
  }

  function lendKeys({ type, key, target }) {
    if (target.tagName !== "INPUT") return;
    if (type === "keydown" && ["Control", "Meta"].includes(key)) target.removeAttribute(OWN_KEYS);
    else if (type === "keyup") target.setAttribute(OWN_KEYS, "");
  }

  el.addEventListener("change", clicked);
  el.addEventListener("keydown", lendKeys);
  el.addEventListener("keyup", lendKeys);
  model.on("change:value", draw);
  model.on("change:ticked", mark);
  draw();
  return () => {
    model.off("change:value", draw);
    model.off("change:ticked", mark);
  };
}

export default { render };
