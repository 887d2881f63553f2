// How a GPU is named: by its UUID, which is the same in every process.

/** A CUDA device's UUID as CUDA_VISIBLE_DEVICES and nvidia-smi write it. */
export function deviceName(uuid: Uint8Array): string {
  const digits = [...uuid].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `GPU-${digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")}`;
}
