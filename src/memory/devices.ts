// The CUDA devices of this machine.

import { checked, Device as Layout, library, Struct } from "../ffi/mod.ts";
import { DEVICES_MAX, UUID_SIZE } from "../core/mod.ts";

import { deviceName } from "./device_name.ts";

/** A CUDA device that this process sees. */
export interface Device {
  /** Its number in this process, which `CUDA_VISIBLE_DEVICES` changes. */
  ordinal: number;
  /** `"GPU-<uuid>"`: the same in every process. */
  uuid: string;
  /** The driver's name for it. */
  name: string;
  /** Bytes. */
  totalMemory: number;
  /** As `"9.0"`. */
  computeCapability: string;
  /** The CUDA version that the driver is for, as `"13.0"`. */
  driverVersion: string;
  /** Virtual memory management, which frames need. */
  virtualMemoryManagement: boolean;
  /** Memory handles as file descriptors, which frames need. */
  posixFileDescriptors: boolean;
  /** Memory can be exported as a dma-buf. */
  dmabuf: boolean;
}

/** Bytes of the name field, up to the field behind it. */
const NAME_SIZE = Layout.ordinal - Layout.name;

/**
 * The CUDA devices that this process sees. No context is created on them.
 *
 * @throws {CuframesError} `UNSUPPORTED`: CUDA cannot be used here, and why
 * @example
 * ```ts
 * import { devices } from "@cuframes/core";
 *
 * for (const { uuid, name } of devices()) console.log(uuid, name);
 * ```
 */
export function devices(): Device[] {
  const struct = new Struct(Layout.SIZE * DEVICES_MAX);
  const count = checked(
    library().symbols.cuframes_devices(struct.bytes, DEVICES_MAX),
    "listing the CUDA devices",
  );
  return Array.from({ length: count }, (_, index) => {
    const field = (name: keyof typeof Layout) => index * Layout.SIZE + Layout[name];
    const version = struct.u32(field("driverVersion"));
    return {
      ordinal: struct.u32(field("ordinal")),
      uuid: deviceName(struct.bytes.subarray(field("uuid"), field("uuid") + UUID_SIZE)),
      name: struct.text(field("name"), NAME_SIZE),
      totalMemory: struct.count(field("totalMemory")),
      computeCapability: `${struct.u32(field("computeCapabilityMajor"))}.${
        struct.u32(field("computeCapabilityMinor"))
      }`,
      driverVersion: `${Math.trunc(version / 1000)}.${Math.trunc(version % 1000 / 10)}`,
      virtualMemoryManagement: struct.bytes[field("virtualMemoryManagement")] === 1,
      posixFileDescriptors: struct.bytes[field("posixFileDescriptors")] === 1,
      dmabuf: struct.bytes[field("dmaBuf")] === 1,
    };
  });
}
