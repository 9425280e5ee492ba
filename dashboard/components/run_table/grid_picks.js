// Which rows are selected. Runs are known by their ids, never by where they stand.

/** @import { Grid, Line } from "./types.js" */

/** @param {Grid} grid @param {Line} line @returns {string[]} the runs of a line; of a group all of its rows */
export function idsOf(grid, line) {
  const { rows } = grid;
  return "row" in line ? [rows.ids[line.row]] : rows.ids.filter((_, row) => rows.groups[row] === line.place);
}

/** @param {Grid} grid @param {string} from @param {string} to @returns {string[]} the runs between two, in lines that are shown */
export function between(grid, from, to) {
  const shown = grid.lines.flatMap((line) => ("row" in line ? [grid.rows.ids[line.row]] : []));
  const ends = [shown.indexOf(from), shown.indexOf(to)].sort((a, b) => a - b);
  return ends[0] < 0 ? [to] : shown.slice(ends[0], ends[1] + 1);
}

/**
 * Selects a line or takes it out; with a range all from the last one that was touched to this one are selected.
 * @param {Grid} grid @param {Line} line @param {boolean} isRange
 */
export function toggle(grid, line, isRange) {
  const { picked } = grid.memory;
  const ids = idsOf(grid, line);
  if (isRange && grid.anchor && "row" in line) {
    for (const id of between(grid, grid.anchor, ids[0])) picked.add(id);
  } else {
    const isWhole = ids.every((id) => picked.has(id));
    for (const id of ids) {
      if (isWhole) picked.delete(id);
      else picked.add(id);
    }
  }
  grid.anchor = ids[0] ?? null;
}

/** Forgets what is not there any more. @param {Grid} grid */
export function tidy(grid) {
  for (const id of [...grid.memory.picked]) if (!grid.placeOf.has(id)) grid.memory.picked.delete(id);
  if (grid.anchor && !grid.placeOf.has(grid.anchor)) grid.anchor = null;
}
