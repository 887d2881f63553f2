/** The width of each column. */
export function columnWidths(heads: readonly string[], lines: readonly string[][]): number[] {
  return heads.map((head, column) => Math.max(head.length, ...lines.map((line) => line[column]!.length)));
}

/** A table, aligned. */
export function markdownTable(
  heads: readonly string[],
  lines: readonly string[][],
  widths: readonly number[] = columnWidths(heads, lines),
): string {
  const format = (line: readonly string[]) =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  return [heads, widths.map((width) => "-".repeat(width)), ...lines].map(format).join("\n");
}
