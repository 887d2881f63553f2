/** What a sample of measurements says. */
export interface Summary {
  p50: number;
  p99: number;
  count: number;
}

/** The value below which that part of the sample lies. */
export function quantile(values: readonly number[], part: number): number {
  if (values.length === 0) throw new RangeError("an empty sample has no quantile");
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!;
}

export function summarize(values: readonly number[]): Summary {
  return { p50: quantile(values, 0.5), p99: quantile(values, 0.99), count: values.length };
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Samples under names, gathered over rounds. */
export class Samples {
  readonly #samples = new Map<string, number[]>();

  add(name: string, values: readonly number[]): void {
    const gathered = this.#samples.get(name);
    if (gathered === undefined) this.#samples.set(name, [...values]);
    else for (const value of values) gathered.push(value);
  }

  get(name: string): number[] {
    const values = this.#samples.get(name);
    if (values === undefined) throw new RangeError(`nothing was measured as ${name}`);
    return values;
  }
}
