import { columnWidths, markdownTable } from "../scripts/measure/markdown.ts";

/** One line of the table. */
export interface Row {
  section: string;
  what: string;
  runtime: string;
  unit: "ns" | "µs" | "MiB" | "B" | "%";
  p50: number;
  p99?: number;
  /** The floor or rival of the same run, in the same unit. */
  against?: { name: string; value: number };
  budget?: { text: string; met: boolean };
}

/** How often the larger of the two is the other one. */
function ratio({ p50, against }: Row): string {
  if (against === undefined) return "";
  const { name, value } = against;
  const times = value >= p50 ? `${digits(value / p50)}× less than` : `${digits(p50 / value)}×`;
  return `${times} ${name} (${digits(value)})`;
}

/** Three digits that mean something. */
function digits(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude >= 100) return value.toFixed(0);
  return value.toFixed(magnitude >= 10 ? 1 : 2);
}

function cells(row: Row): string[] {
  const { what, runtime, unit, p50, p99, budget } = row;
  return [
    what,
    runtime,
    `${digits(p50)} ${unit}`,
    p99 === undefined ? "" : `${digits(p99)} ${unit}`,
    ratio(row),
    budget === undefined ? "" : `${budget.text}: ${budget.met ? "met" : "missed"}`,
  ];
}

const heads = ["what", "runtime", "p50", "p99", "beside, in the same run", "budget"];

/** The table, as Markdown, one heading a section. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map(cells);
  const widths = columnWidths(heads, lines);
  const sections = [...new Set(rows.map(({ section }) => section))];
  return sections.map((section) => {
    const body = rows.flatMap((row, index) => row.section === section ? [lines[index]!] : []);
    return `### ${section}\n\n${markdownTable(heads, body, widths)}`;
  }).join("\n\n");
}
