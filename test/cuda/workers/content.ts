// What is in the frames of the CUDA tests' publishers: one byte all over, told by the sequence. The ring has fewer
// slots than there are values, so that a slot's earlier frame has another one.

const values = 251;

export function valueOf(sequence: bigint | number): number {
  return 1 + Number(sequence) % values;
}
