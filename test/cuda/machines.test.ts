// Machines with one GPU, several, none, or one that cannot share its memory; drivers that are old or absent.

import { expect } from "vitest";
import { devices, Publisher } from "../../mod.ts";
import { claimsOf, createPublisher, refusalOf, runClaim, subscribe } from "../support/cuda.ts";

const claim = claimsOf(import.meta.url);
const size = { width: 32, height: 16 };

interface Machine {
  name: string;
  environment: Record<string, string>;
  /** What is said of it. */
  text: RegExp;
  /** Whether its devices can be listed all the same. */
  listed?: boolean;
}

const machines: Machine[] = [
  {
    name: "no driver",
    environment: { LD_LIBRARY_PATH: "" },
    text:
      /the CUDA driver cannot be loaded: libcuda\.so\.1: .*No such file.* \(in a container, the host's driver must be mounted into it\)/,
  },
  {
    name: "a driver older than memory that can be shared",
    environment: { CUDA_DOUBLE_DRIVER_VERSION: "10010" },
    text:
      /the CUDA driver is too old: it has no cu\w+, which CUDA 1[01]\.\d brought; this driver is for CUDA 10\.1/,
  },
  {
    name: "a driver without a function",
    environment: { CUDA_DOUBLE_MISSING: "cuMemMap" },
    text: /it has no cuMemMap, which CUDA 10\.2 brought; this driver is for CUDA 13\.0/,
  },
  {
    name: "no device",
    environment: { CUDA_DOUBLE_DEVICES: "0" },
    text:
      /cuInit failed: CUDA_ERROR_NO_DEVICE \(.*\); no CUDA device is visible to this process \(CUDA_VISIBLE_DEVICES/,
  },
  {
    name: "every device hidden",
    environment: { CUDA_VISIBLE_DEVICES: "" },
    text: /cuInit failed: CUDA_ERROR_NO_DEVICE .* \(CUDA_VISIBLE_DEVICES, container device access\)/,
  },
  {
    name: "a device without virtual memory management",
    environment: { CUDA_DOUBLE_NO_VMM: "all" },
    text: /CUDA device 0 \(Test Double 0\) has no virtual memory management, which shared frames need/,
    listed: true,
  },
  {
    name: "a device without memory handles as descriptors",
    environment: { CUDA_DOUBLE_NO_POSIX_FD: "all" },
    text:
      /CUDA device 0 \(Test Double 0\) has no memory handles as file descriptors, which shared frames need/,
    listed: true,
  },
];

for (const { name, environment, text, listed = false } of machines) {
  claim(`${name}: CUDA is refused with the reason, and "auto" is host memory`, () => {
    const refusals = [refusalOf(() => createPublisher())];
    if (!listed) refusals.push(refusalOf(() => devices()));
    for (const { code, message } of refusals) {
      expect([code, message]).toEqual(["UNSUPPORTED", expect.stringMatching(text)]);
    }
    if (listed) {
      const [device] = devices();
      expect(device!.virtualMemoryManagement && device!.posixFileDescriptors).toBe(false);
    }
    // The key is free again, and host memory is as good as ever.
    using publisher = Publisher.create({ key: "claim-1", ...size, memory: "auto" });
    expect([publisher.memory, publisher.device]).toEqual(["host", undefined]);
    using frame = publisher.acquire();
    frame.planes[0]!.data.fill(1);
    frame.publish();
  }, { needsDouble: true, environment });
}

claim('"auto" is CUDA where that works', async () => {
  using publisher = createPublisher({ memory: "auto" });
  using subscriber = await subscribe(publisher);
  expect([publisher.memory, subscriber.memory]).toEqual(["cuda", "cuda"]);
  expect(publisher.device).toBe(devices()[0]!.uuid);
});

claim('"auto" hides no mistake of the caller\'s', () => {
  expect(refusalOf(() => createPublisher({ memory: "auto", device: 99 })).code).toBe("INVALID_ARGUMENT");
  expect(refusalOf(() => createPublisher({ memory: "auto", width: 0 })).code).toBe("INVALID_ARGUMENT");
  using publisher = createPublisher({ key: "taken", memory: "auto" });
  expect(publisher.memory).toBe("cuda");
  expect(refusalOf(() => createPublisher({ key: "taken", memory: "auto" })).code).toBe("ALREADY_EXISTS");
});

claim("a GPU that is full is out of memory, not unsupported", () => {
  for (const memory of ["cuda", "auto"] as const) {
    const { code, message } = refusalOf(() =>
      createPublisher({ memory, width: 1920, height: 1080, slots: 4 })
    );
    expect([code, message]).toEqual([
      "OUT_OF_MEMORY",
      expect.stringContaining("cuMemCreate failed: CUDA_ERROR_OUT_OF_MEMORY"),
    ]);
  }
}, { needsDouble: true, environment: { CUDA_DOUBLE_MEMORY: String(10 << 20) } });

claim("devices lists what this process sees, as the driver numbers it", () => {
  const all = devices();
  expect(all).toHaveLength(2);
  for (const [ordinal, device] of all.entries()) {
    expect(device).toEqual({
      ordinal,
      uuid: expect.stringMatching(/^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      name: ["Test Double 2", "Test Double 0"][ordinal],
      totalMemory: 5 << 20,
      computeCapability: "9.0",
      driverVersion: "12.4",
      virtualMemoryManagement: ordinal === 0,
      posixFileDescriptors: true,
      dmabuf: ordinal === 1,
    });
  }
}, {
  needsDouble: true,
  environment: {
    CUDA_DOUBLE_DEVICES: "3",
    CUDA_VISIBLE_DEVICES: "2,0",
    CUDA_DOUBLE_MEMORY: String(5 << 20),
    CUDA_DOUBLE_DRIVER_VERSION: "12040",
    CUDA_DOUBLE_NO_VMM: "0",
    CUDA_DOUBLE_NO_DMA_BUF: "1,2",
  },
});

claim("devices lists the GPU that frames are on", () => {
  using publisher = createPublisher();
  const device = devices().find(({ uuid }) => uuid === publisher.device);
  expect(device).toMatchObject({ virtualMemoryManagement: true, posixFileDescriptors: true });
  expect(device!.totalMemory).toBeGreaterThan(1 << 30);
  expect(Number(device!.computeCapability)).toBeGreaterThanOrEqual(6);
  expect(Number(device!.driverVersion)).toBeGreaterThanOrEqual(11.2);
});

claim("a device is chosen by its number or its UUID", () => {
  const [first, second] = devices().map(({ uuid }) => uuid);
  const choices: [device: number | string | undefined, uuid: string][] = [
    [undefined, first!],
    [0, first!],
    [1, second!],
    ["1", second!],
    [second!, second!],
    [second!.slice(4), second!],
    [second!.toUpperCase().replace("GPU-", ""), second!],
  ];
  for (const [device, uuid] of choices) {
    using publisher = createPublisher(device === undefined ? {} : { device });
    expect(publisher.device).toBe(uuid);
  }
  const { code, message } = refusalOf(() => createPublisher({ device: 2 }));
  expect([code, message]).toEqual([
    "INVALID_ARGUMENT",
    expect.stringContaining("there is no CUDA device 2: this process sees 2"),
  ]);
  for (const device of [-1, 1.5, "first", "GPU-12", `${first}0`]) {
    expect(refusalOf(() => createPublisher({ device })).code).toBe("INVALID_ARGUMENT");
  }
  const unknown = refusalOf(() => createPublisher({ device: "GPU-00000000-0000-0000-0000-000000000000" }));
  expect([unknown.code, unknown.message]).toEqual([
    "DEVICE_MISMATCH",
    expect.stringMatching(/GPU-0{32} is not visible to this process, which sees 2/),
  ]);
}, { needsDouble: true, environment: { CUDA_DOUBLE_DEVICES: "2" } });

claim("one device's lack does not keep another from working", () => {
  expect(refusalOf(() => createPublisher()).code).toBe("UNSUPPORTED");
  using publisher = createPublisher({ device: 1 });
  expect(publisher.device).toBe(devices()[1]!.uuid);
}, { needsDouble: true, environment: { CUDA_DOUBLE_DEVICES: "2", CUDA_DOUBLE_NO_VMM: "0" } });

claim("a driver that fails to start is asked again the next time", () => {
  for (const call of ["cuInit", "cuDriverGetVersion", "cuDeviceGetCount"]) {
    const { code, message } = refusalOf(() => devices());
    expect([code, message]).toEqual([
      "UNSUPPORTED",
      expect.stringContaining(`${call} failed: CUDA_ERROR_SYSTEM_NOT_READY`),
    ]);
  }
  expect(devices()).toHaveLength(1);
}, {
  needsDouble: true,
  environment: { CUDA_DOUBLE_FAIL: "cuInit:1=802,cuDriverGetVersion:2=802,cuDeviceGetCount:1=802" },
});

await runClaim();
