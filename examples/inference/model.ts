// A tiny ONNX model, written byte by byte: the mean of a picture. onnx.proto has the field numbers.

const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

function field(number: number, value: number | string | Uint8Array): number[] {
  if (typeof value === "number") return [number << 3, value]; // a varint below 128
  const content = typeof value === "string" ? bytes(value) : value;
  if (content.length > 16_383) throw new Error("longer than two bytes of length can say");
  const length = content.length < 128 ? [content.length] : [content.length & 127 | 128, content.length >> 7];
  return [number << 3 | 2, ...length, ...content];
}

const message = (...fields: number[][]): Uint8Array => Uint8Array.from(fields.flat());

/** A float tensor of four dimensions, by number or by name. */
function tensor(name: string, shape: (number | string)[]): Uint8Array {
  const dimensions = shape.map((size) => field(1, message(field(typeof size === "number" ? 1 : 2, size))));
  const type = message(field(1, message(field(1, 1), field(2, message(...dimensions)))));
  return message(field(1, name), field(2, type));
}

/** Takes `picture`, 1×1×height×width, and gives `mean`, 1×1×1×1. */
export function meanModel(): Uint8Array {
  const node = message(field(1, "picture"), field(2, "mean"), field(4, "GlobalAveragePool"));
  const graph = message(
    field(1, node),
    field(2, "mean"),
    field(11, tensor("picture", [1, 1, "height", "width"])),
    field(12, tensor("mean", [1, 1, 1, 1])),
  );
  return message(field(1, 8), field(7, graph), field(8, message(field(2, 13))));
}
