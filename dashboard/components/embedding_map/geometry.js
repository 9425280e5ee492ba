// Points on a plane: the nearest one, those inside a lasso, and a choice of them as text.

const POINTS_PER_CELL = 3;
const MAX_CELLS_A_SIDE = 400;

function bounds(points) {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    const x = points[i], y = points[i + 1];
    if (x < left) left = x;
    if (x > right) right = x;
    if (y < low) low = y;
    if (y > high) high = y;
  }
  if (!(right >= left)) return { x: 0, y: 0, width: 1, height: 1 };
  return { x: (left + right) / 2, y: (low + high) / 2, width: right - left || 1, height: high - low || 1 };
}

// Points sorted into square cells: those of cell c are items[start[c]] to items[start[c + 1] - 1].
function makeGrid(points) {
  const box = bounds(points);
  const count = points.length / 2;
  const smallest = Math.max(box.width, box.height) / MAX_CELLS_A_SIDE;
  const cell = Math.max(smallest, Math.sqrt((box.width * box.height * POINTS_PER_CELL) / Math.max(1, count)));
  const left = box.x - box.width / 2, low = box.y - box.height / 2;
  const columns = Math.floor(box.width / cell) + 1, rows = Math.floor(box.height / cell) + 1;
  const start = new Uint32Array(columns * rows + 1), items = new Uint32Array(count), cells = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const column = Math.min(columns - 1, Math.max(0, Math.floor((points[2 * i] - left) / cell)));
    const row = Math.min(rows - 1, Math.max(0, Math.floor((points[2 * i + 1] - low) / cell)));
    cells[i] = row * columns + column;
    start[cells[i] + 1]++;
  }
  for (let c = 0; c < columns * rows; c++) start[c + 1] += start[c];
  const next = start.slice();
  for (let i = 0; i < count; i++) items[next[cells[i]]++] = i;
  return { left, low, cell, columns, rows, start, items };
}

// The point of least cost(index), if that is below `most`; -1 without. A cost may not be less than the distance from
// (x, y): cells too far away are then left out.
function search(grid, x, y, most, cost) {
  const { cell, columns, rows, start, items } = grid;
  const middleColumn = Math.min(columns - 1, Math.max(0, Math.floor((x - grid.left) / cell)));
  const middleRow = Math.min(rows - 1, Math.max(0, Math.floor((y - grid.low) / cell)));
  let best = -1, least = most;
  const visit = (column, row) => {
    if (column < 0 || column >= columns) return;
    const c = row * columns + column;
    for (let k = start[c]; k < start[c + 1]; k++) {
      const value = cost(items[k]);
      if (value < least) [best, least] = [items[k], value];
    }
  };
  for (let ring = 0; ring <= Math.max(columns, rows) && (ring - 1) * cell < least; ring++) {
    for (let row = Math.max(0, middleRow - ring); row <= Math.min(rows - 1, middleRow + ring); row++) {
      if (Math.abs(row - middleRow) === ring) {
        for (let column = middleColumn - ring; column <= middleColumn + ring; column++) visit(column, row);
      } else {
        visit(middleColumn - ring, row);
        visit(middleColumn + ring, row);
      }
    }
  }
  return best;
}

// 1 for each point inside the closed polygon [[x, y], ...], by the even-odd rule.
function insideLasso(points, polygon) {
  const found = new Uint8Array(points.length / 2);
  const corners = new Float64Array(polygon.flat());
  const box = bounds(corners);
  const left = box.x - box.width / 2, right = box.x + box.width / 2;
  const low = box.y - box.height / 2, high = box.y + box.height / 2;
  for (let i = 0; i < found.length; i++) {
    const x = points[2 * i], y = points[2 * i + 1];
    if (x < left || x > right || y < low || y > high) continue;
    let inside = 0;
    for (let a = 0, b = corners.length - 2; a < corners.length; b = a, a += 2) {
      const above = corners[a + 1] > y;
      if (above !== corners[b + 1] > y
          && x < ((corners[b] - corners[a]) * (y - corners[a + 1])) / (corners[b + 1] - corners[a + 1]) + corners[a]) {
        inside ^= 1;
      }
    }
    found[i] = inside;
  }
  return found;
}

// --- a choice of rows as text: bits ("b"), or gaps between rows in groups of seven bits ("d"), the shorter one ---

function base64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function fromBase64(text) {
  const raw = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  const found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  return found;
}

function choiceText(chosen) {
  const bits = new Uint8Array(Math.ceil(chosen.length / 8));
  const gaps = [];
  let last = -1;
  for (let i = 0; i < chosen.length; i++) {
    if (!chosen[i]) continue;
    bits[i >> 3] |= 1 << (i & 7);
    if (gaps.length <= bits.length) {
      let gap = i - last - 1;
      for (; gap > 127; gap >>= 7) gaps.push((gap & 127) | 128);
      gaps.push(gap);
    }
    last = i;
  }
  if (last < 0) return "";
  return gaps.length < bits.length ? `d${base64(Uint8Array.from(gaps))}` : `b${base64(bits)}`;
}

function choiceFrom(text, count) {
  const chosen = new Uint8Array(count);
  let bytes;
  try {
    bytes = fromBase64(text.slice(1));
  } catch {
    return chosen; // a damaged address chooses nothing
  }
  if (text[0] === "b") {
    for (let i = 0; i < count; i++) chosen[i] = ((bytes[i >> 3] ?? 0) >> (i & 7)) & 1;
  } else if (text[0] === "d") {
    let row = -1, gap = 0, shift = 0;
    for (const byte of bytes) {
      gap += (byte & 127) * 2 ** shift;
      shift += 7;
      if (byte & 128) continue;
      row += gap + 1;
      if (row < count) chosen[row] = 1;
      gap = shift = 0;
    }
  }
  return chosen;
}
