/**
 * What a page of results does in a browser: sorts and searches tables, unpacks details when they are opened, saves figures. Nothing is
 * fetched. Without it, everything but the details is there, and these are in files beside the page.
 */
export const PAGE_SCRIPT = `"use strict";
const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

for (const table of all("table[data-sortable]")) {
  const body = table.tBodies[0];
  all("th button", table).forEach((button, column) => button.addEventListener("click", () => {
    const head = button.closest("th");
    // Large numbers are looked for more often than small ones.
    const first = head.classList.contains("n") ? "descending" : "ascending";
    const now = head.getAttribute("aria-sort");
    const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
    for (const other of all("th", table)) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (typeof x === "string" || typeof y === "string") return sign * String(x).localeCompare(String(y), "en", { numeric: true });
      // What is no number stands last, whatever the order.
      if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y));
      return sign * (x - y);
    };
    body.append(...all("tr", body).sort(compare));
  }));
}

for (const input of all("input[data-filters]")) {
  const table = document.getElementById(input.dataset.filters);
  const status = document.getElementById(input.getAttribute("aria-describedby"));
  const rows = all("tbody tr", table);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) shown++;
    }
    status.textContent = shown + " of " + rows.length + " rows";
  });
}

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function fill(details) {
  const place = details.querySelector(".inside");
  const packed = details.dataset.packed;
  if (packed === undefined) return;
  delete details.dataset.packed;
  try {
    place.innerHTML = await unpacked(packed);
  } catch {
    place.textContent = "This browser is too old to unpack it. The figures and numbers are in the folders beside this page.";
  }
}
for (const details of all("details[data-packed]")) details.addEventListener("toggle", () => details.open && fill(details));

async function goToTarget() {
  let target = null;
  try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
  if (target === null || target.tagName !== "DETAILS") return;
  target.open = true;
  await fill(target);
  target.scrollIntoView();
  target.querySelector("summary").focus({ preventScroll: true });
}
addEventListener("hashchange", goToTarget);
goToTarget();

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-save]");
  if (button === null) return;
  if (button.dataset.save === "packed") return save(new Blob([await unpacked(button.dataset.from)]), button.dataset.name);
  const svg = button.closest("figure").querySelector("svg");
  const text = new XMLSerializer().serializeToString(svg);
  const picture = new Blob([text], { type: "image/svg+xml" });
  if (button.dataset.save === "svg") return save(picture, button.dataset.name);
  const image = new Image();
  const address = URL.createObjectURL(picture);
  image.onload = () => {
    const canvas = document.createElement("canvas");
    const { width, height } = svg.viewBox.baseVal;
    [canvas.width, canvas.height] = [2 * width, 2 * height];
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(address);
    canvas.toBlob((blob) => save(blob, button.dataset.name));
  };
  image.src = address;
});
`;
