// The shop window: draws the state that Python sends, and sends back what was pressed.
const MOST = 14; // events that are drawn one by one; the others are a number
const FLIGHT = 220; // how long an event flies into its component [ms]

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function button(className, text, press) {
  const element = make("button", className, text);
  element.type = "button";
  element.addEventListener("click", press);
  return element;
}

// An event that leaves the queue flies into its component; where motion is not wanted it is gone at once.
function leave(box) {
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
    box.remove();
    return;
  }
  box.classList.add("leaving");
  setTimeout(() => box.remove(), FLIGHT);
}

function makeLane(model, name) {
  const row = make("li", "lane");
  const queue = make("span", "queue");
  queue.setAttribute("aria-hidden", "true");
  const waiting = make("span", "waiting");
  const component = make("span", "component");
  const title = make("strong", "title");
  const count = make("span", "count");
  const note = make("span", "note");
  const toggle = button("switch", "", () =>
    model.send({ press: "switch", lane: name, on: toggle.getAttribute("aria-checked") !== "true" }),
  );
  toggle.setAttribute("role", "switch");
  const about = make("span", "about");
  about.append(title, note);
  component.append(about, count);
  row.append(queue, waiting, component, toggle);
  row.dataset.lane = name;

  // The first box is the head of the queue: the one that is handled now, or next.
  function boxes(wanted) {
    const there = [...queue.querySelectorAll(".event:not(.leaving)")];
    for (let extra = there.length; extra > wanted; extra -= 1) leave(there[there.length - extra]);
    for (let missing = there.length; missing < wanted; missing += 1) queue.append(make("span", "event"));
    for (const box of queue.querySelectorAll(".now")) box.classList.remove("now");
    queue.querySelector(".event:not(.leaving)")?.classList.add("now");
  }

  function draw(lane) {
    const inside = lane.waiting + lane.busy;
    title.textContent = lane.title;
    note.textContent = lane.note;
    count.textContent = String(lane.handled);
    waiting.textContent = lane.waiting ? `${lane.waiting} wait${lane.waiting === 1 ? "s" : ""}` : lane.busy ? "at work" : "";
    row.classList.toggle("off", !lane.on);
    row.classList.toggle("busy", lane.busy > 0);
    toggle.setAttribute("aria-checked", String(lane.on));
    toggle.setAttribute("aria-label", lane.title);
    toggle.textContent = lane.on ? "on" : "off";
    boxes(Math.min(inside, MOST));
  }

  return { row, draw };
}

function render({ model, el }) {
  const window_ = make("div", "window");
  const desk = make("div", "desk");
  const send = button("send", "", () => model.send({ press: "send" }));
  const clicks = make("span", "clicks");
  const newcomer = button("newcomer", "Let a newcomer subscribe", () => model.send({ press: "newcomer" }));
  const list = make("ul", "lanes");
  const head = make("p", "head", "Events that wait, the component, and how many it has handled");
  const says = make("p", "says");
  says.setAttribute("role", "status");
  says.setAttribute("aria-live", "polite");
  const lanes = new Map();

  function draw() {
    const state = model.get("state");
    send.textContent = state.button;
    clicks.textContent = `${state.clicks} click${state.clicks === 1 ? "" : "s"}`;
    newcomer.hidden = !state.newcomer;
    newcomer.disabled = state.newcomer === "there";
    for (const lane of state.lanes) {
      if (!lanes.has(lane.name)) {
        lanes.set(lane.name, makeLane(model, lane.name));
        list.append(lanes.get(lane.name).row);
      }
      lanes.get(lane.name).draw(lane);
    }
    // Written only when it is another sentence: what is read aloud must not be read twice.
    if (says.textContent !== state.says) says.textContent = state.says;
  }

  desk.append(send, clicks, newcomer);
  const stage = make("div", "stage");
  stage.append(head, list);
  window_.append(desk, stage);
  el.append(window_, says);
  model.on("change:state", draw);
  draw();
  return () => model.off("change:state", draw);
}

export default { render };
