"""A viewer in a page without JupyterLab: the real `Viewer` on one side, the real module on the other.

What anywidget and the kernel do between them is done here, in the test's own thread, so that each step can be seen.
"""

import base64
import queue
import time

SHELL = """
<!doctype html><meta charset="utf-8"><style>body { margin: 8px; width: 900px; font-family: sans-serif; }</style>
<div id="place"></div>
<script>
class Model {
  constructor(state) { this.state = state; this.dirty = {}; this.listeners = {}; }
  get(name) { return this.state[name]; }
  set(name, value) {
    if (JSON.stringify(this.state[name]) === JSON.stringify(value)) return;
    this.state[name] = value;
    this.dirty[name] = value;
    this.trigger(`change:${name}`, this, value);
  }
  trigger(name, ...rest) { for (const each of [...(this.listeners[name] ?? [])]) each(...rest); }
  on(name, callback) { (this.listeners[name] ??= []).push(callback); }
  off(name, callback) { this.listeners[name] = (this.listeners[name] ?? []).filter((each) => each !== callback); }
  save_changes() { const dirty = this.dirty; this.dirty = {}; say({ state: dirty }); }
  send(content) { say({ content }); }
  told(state) {
    for (const [name, value] of Object.entries(state)) { this.set(name, value); delete this.dirty[name]; }
  }
}
let unheard = 0;
const say = async (message) => { unheard += 1; await window.toPython(message); unheard -= 1; };
const painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
// Nothing is set that Python has not been told, after what the last message made the page draw.
window.rests = async () => { await painted(); return unheard === 0 && Object.keys(model.dirty).length === 0; };
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (each) => each.charCodeAt(0)).buffer);
window.begin = async (module, css, state) => {
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  const { default: widget } = await import(URL.createObjectURL(new Blob([module], { type: "text/javascript" })));
  window.model = new Model(state);
  const { initialize, render } = widget();
  initialize({ model });
  render({ model, el: document.getElementById("place") });
};
window.fromPython = (messages) => {
  for (const { state, content, buffers } of messages) {
    if (state) model.told(state);
    else model.trigger("msg:custom", content, buffers.map(bytes));
  }
};
</script>
"""
#: Reads the canvas as it is painted: rows of red, green and blue.
PIXELS = """() => {
  const canvas = document.querySelector(".dfv-canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let at = 0; at < data.length; at += 32768) text += String.fromCharCode(...data.subarray(at, at + 32768));
  return [canvas.height, canvas.width, btoa(text)];
}"""


def pixels_of(page):
    """Give what is on the canvas, shape (rows, columns, 3)."""
    import numpy as np

    rows, columns, data = page.evaluate(PIXELS)
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(rows, columns, 4)[..., :3]


class Plain:
    """One viewer in one page."""

    def __init__(self, page, view, log=lambda content: None):
        self.page, self.view, self.log = page, view, log
        self.outbox = queue.Queue()
        self.sent = []
        # Slices and planes, since the last set-up: those that the page has been given, and those that it waits for.
        self._given, self._awaited = set(), set()
        view._tell = self._send
        view._feed._send = self._send
        names = [name for name in view.traits(sync=True) if not name.startswith("_")]
        state = {name: getattr(view, name) for name in names if name not in {"layout", "tabbable", "tooltip"}}
        view.observe(self._changed, list(state))
        self._from_page = False
        page.set_content(SHELL)
        page.expose_function("toPython", self._heard)
        page.evaluate("([module, css, state]) => begin(module, css, state)", [view._esm, view._css, state])
        self.settle()

    def _send(self, content, buffers):
        self.log(content)
        if content["kind"] == "setup":
            self._given, self._awaited = set(), set()
        for each in content.get("slices", [content]):
            places = {(content.get("plane"), each.get("index"))}
            if content["kind"] == "failed":
                places = {place for place in self._awaited if place[1] == each["index"]}
            self._given |= places
            self._awaited -= places
        self.sent.append((content, sum(memoryview(each).nbytes for each in buffers)))
        # As base64: the page gets JSON here.
        parts = [base64.b64encode(memoryview(each).tobytes()).decode() for each in buffers]
        self.outbox.put({"content": content, "buffers": parts})

    def _changed(self, change):
        if not self._from_page:
            self.outbox.put({"state": {change["name"]: change["new"]}})

    def _heard(self, message):
        if "state" in message:
            self._from_page = True
            self.view.set_state(message["state"])
            self._from_page = False
        else:
            content = message["content"]
            if content["kind"] in {"ask", "ask_plane"}:
                wanted = content.get("slices", [content.get("index")])
                self._awaited |= {(content.get("plane"), index) for index in wanted} - self._given
            self.view._hear(None, message["content"], [])

    def _carry(self):
        """Give the page what waits for it; say whether anything did."""
        messages = []
        while not self.outbox.empty():
            messages.append(self.outbox.get())
        if messages:
            self.page.evaluate("(messages) => fromPython(messages)", messages)
        self.page.wait_for_timeout(20)
        return bool(messages)

    def until(self, is_so, most=60.0):
        """Carry messages until something is so."""
        latest = time.monotonic() + most
        while not is_so():
            assert time.monotonic() < latest, "it did not come to be so"
            self._carry()

    def settle(self, quiet=0.1, most=60.0):
        """Carry messages until neither side has anything to tell for a moment, and the page has painted."""
        until = time.monotonic() + quiet
        latest = time.monotonic() + most
        rests = False
        while time.monotonic() < latest and not (rests and time.monotonic() >= until):
            if self._carry():
                until = time.monotonic() + quiet
            rests = self.page.evaluate("rests()") and self.outbox.empty() and not self._awaited
        assert not self._awaited, "the page waits for what nobody sends"

    def pixels(self):
        self.settle()
        return pixels_of(self.page)
