// The custom element <before-after>.

/** Two pictures over each other, a divider between them, zoom and pan; by mouse, touch and keyboard. */
class BeforeAfter extends HTMLElement {
  connectedCallback() {
    if (this.stage) return;
    this.innerHTML = `
      <div class="stage" tabindex="0" role="group" aria-label="Before and after; arrow keys move the picture, plus and minus zoom, 0 fits, 1 shows 100 %">
        <div class="layer"><img class="before" alt="Before" draggable="false"></div>
        <div class="layer upper"><img class="after" alt="After" draggable="false"></div>
        <div class="divider"></div><span class="tag before">Before</span><span class="tag after">After</span>
      </div>
      <div class="viewer-bar">
        <label>Divider <input type="range" min="0" max="100" value="50" step="1"></label>
        <div class="zoom" role="group" aria-label="Zoom">
          <button type="button" data-do="out" aria-label="Smaller">−</button>
          <button type="button" data-do="in" aria-label="Larger">+</button>
          <button type="button" data-do="fit">Fit</button>
          <button type="button" data-do="actual">100 %</button>
          <output aria-label="Zoom"></output>
        </div>
      </div>`;
    this.stage = this.querySelector(".stage");
    this.images = [...this.querySelectorAll("img")];
    this.range = this.querySelector("input");
    this.range.oninput = () => this.place();
    this.pointers = new Map();
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      this.stage.addEventListener(type, (event) => this.onPointer(event));
    }
    this.stage.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    this.stage.addEventListener("dblclick", (event) => (this.fits ? this.zoom(1 / devicePixelRatio, event) : this.fit()));
    this.addEventListener("keydown", (event) => this.onKey(event));
    this.addEventListener("click", (event) => this.act(event.target.dataset?.do));
    new ResizeObserver(() => (this.fits ? this.fit() : this.place())).observe(this.stage);
  }

  /** Shows two pictures; the size is that of the second, in its pixels. */
  show(before, after, [width, height]) {
    this.size = { width, height };
    for (const [image, url] of [[this.images[0], before], [this.images[1], after]]) {
      image.src = url;
      image.style.width = `${width}px`;
      image.style.height = `${height}px`;
    }
    this.range.value = 50;
    this.fit();
  }

  fit() {
    if (!this.size) return;
    const { width, height } = this.stage.getBoundingClientRect();
    const scale = Math.min(width / this.size.width, height / this.size.height);
    this.view = { scale, x: 0, y: 0 };
    this.fits = true;
    this.place();
  }

  /** Zooms to a scale, CSS pixels a pixel, and keeps the place under the pointer, or the middle. */
  zoom(scale, at = null) {
    const box = this.stage.getBoundingClientRect();
    const x = at ? at.clientX - box.left : box.width / 2;
    const y = at ? at.clientY - box.top : box.height / 2;
    const next = Math.min(16, Math.max(0.02, scale));
    const grows = next / this.view.scale;
    this.view = { scale: next, x: x - (x - this.view.x) * grows, y: y - (y - this.view.y) * grows };
    this.fits = false;
    this.place();
  }

  pan(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.place();
  }

  /** Puts everything where the view and the divider say; the picture stays on the stage. */
  place() {
    if (!this.size) return;
    const box = this.stage.getBoundingClientRect();
    const held = (offset, room, length) => (length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, offset)));
    const view = this.view;
    view.x = held(view.x, box.width, this.size.width * view.scale);
    view.y = held(view.y, box.height, this.size.height * view.scale);
    for (const image of this.images) image.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    this.stage.classList.toggle("is-close", view.scale * devicePixelRatio >= 2);
    const share = `${this.range.value}%`;
    this.querySelector(".upper").style.clipPath = `inset(0 0 0 ${share})`;
    this.querySelector(".divider").style.left = share;
    this.range.setAttribute("aria-valuetext", `${this.range.value} % before`);
    this.querySelector("output").textContent = `${Math.round(view.scale * devicePixelRatio * 100)} %`;
  }

  act(what) {
    if (what === "in") this.zoom(this.view.scale * 1.25);
    if (what === "out") this.zoom(this.view.scale / 1.25);
    if (what === "fit") this.fit();
    if (what === "actual") this.zoom(1 / devicePixelRatio);
  }

  onKey(event) {
    const what = { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "actual" }[event.key];
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (what) this.act(what);
    else if (step && event.target === this.stage) this.pan(...step);
    else return;
    event.preventDefault();
  }

  onWheel(event) {
    event.preventDefault();
    this.zoom(this.view.scale * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event);
  }

  onPointer(event) {
    const before = this.pointers.get(event.pointerId);
    if (event.type === "pointerdown" && event.button === 0) {
      this.stage.setPointerCapture(event.pointerId);
      const divides = event.target.classList.contains("divider");
      this.pointers.set(event.pointerId, { clientX: event.clientX, clientY: event.clientY, divides });
    } else if (event.type === "pointermove" && before) {
      const others = [...this.pointers.entries()].filter(([id]) => id !== event.pointerId).map(([, each]) => each);
      const dx = event.clientX - before.clientX;
      const dy = event.clientY - before.clientY;
      if (others.length) this.pinch(before, event, others[0]);
      else if (before.divides) this.divide(event.clientX);
      else this.pan(dx, dy);
      this.pointers.set(event.pointerId, { ...before, clientX: event.clientX, clientY: event.clientY });
    } else if (event.type !== "pointermove") this.pointers.delete(event.pointerId);
    this.stage.classList.toggle("is-panning", [...this.pointers.values()].some((each) => !each.divides));
  }

  pinch(before, now, other) {
    const between = (each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
    const middle = { clientX: (now.clientX + other.clientX) / 2, clientY: (now.clientY + other.clientY) / 2 };
    this.zoom((this.view.scale * between(now)) / Math.max(1, between(before)), middle);
    this.pan((now.clientX - before.clientX) / 2, (now.clientY - before.clientY) / 2);
  }

  divide(clientX) {
    const box = this.stage.getBoundingClientRect();
    this.range.value = Math.round(((clientX - box.left) / box.width) * 100);
    this.place();
  }
}
customElements.define("before-after", BeforeAfter);
