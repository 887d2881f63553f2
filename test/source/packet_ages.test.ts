// How long a file's packets stay in their ring.

import { expect, test } from "vitest";
import { PacketAges } from "../../src/source/packet_ages.ts";

test("a packet is overwritten when it is two seconds old, for its slot or for its bytes", () => {
  const ages = new PacketAges(3, 100);
  for (const at of [0, 100, 200]) {
    expect(ages.delay(10, at)).toBeLessThanOrEqual(0);
    ages.add(10, at);
  }
  // The fourth takes the first one's slot.
  expect(ages.delay(10, 300)).toBe(1700);
  // One of 85 bytes takes the bytes of two.
  expect(ages.delay(85, 300)).toBe(1800);
  expect(ages.delay(100, 300)).toBe(1900);
  expect(ages.delay(10, 2000)).toBe(0);
  ages.add(10, 2000);
  expect(ages.delay(10, 2000)).toBe(100);
  ages.add(95, 2300); // and now it is alone
  expect(ages.delay(5, 2300)).toBeLessThanOrEqual(0);
  expect(ages.delay(6, 2300)).toBe(2000);
});
