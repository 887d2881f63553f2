/** This file makes rates of two looks at the same publishers. */
import type { PublisherReport, SubscriberReport } from "../frames/mod.ts";

/** A subscriber and what became of it since the look before; rates are undefined at the first look. */
export interface SubscriberRates extends SubscriberReport {
  /** Frames delivered a second. */
  readonly frameRate: number | undefined;
  /** Frames dropped a second. */
  readonly dropRate: number | undefined;
  /** Packets delivered a second. */
  readonly packetRate: number | undefined;
  /** How much older the last frame delivered is than the newest one, in seconds: the lag at the publisher's frame rate. */
  readonly latency: number | undefined;
}

/** A publisher and what became of it since the look before. */
export interface PublisherRates extends Omit<PublisherReport, "subscribers"> {
  /** Packets published a second. */
  readonly packetRate: number | undefined;
  readonly subscribers: readonly SubscriberRates[];
}

interface Look {
  readonly atMs: number;
  readonly counters: ReadonlyMap<string, number>;
}

/** Remembers the look before. */
export class Rates {
  #before: Look = { atMs: 0, counters: new Map() };

  /** Adds rates to reports. @param atMs when they were made, by a clock that never goes back */
  of(reports: readonly PublisherReport[], atMs: number): PublisherRates[] {
    const counters = new Map<string, number>();
    const { counters: before, atMs: beforeMs } = this.#before;
    const elapsed = (atMs - beforeMs) / 1000;
    const rate = (name: string, count: number): number | undefined => {
      counters.set(name, count);
      const last = before.get(name);
      // Fewer than before: another one of the same name.
      return last === undefined || count < last || elapsed <= 0 ? undefined : (count - last) / elapsed;
    };
    const rated = reports.map((report): PublisherRates => {
      const publisher = `${report.key} ${report.pid}`;
      const packetRate = report.packets && rate(`${publisher} packets`, report.packets.published);
      const seen = new Map<string, number>();
      const subscribers = report.subscribers.map((subscriber): SubscriberRates => {
        const name = JSON.stringify([publisher, subscriber.name, subscriber.pid]);
        const twin = seen.get(name) ?? 0;
        seen.set(name, twin + 1);
        const { lag, received, dropped, packetsReceived } = subscriber;
        return {
          ...subscriber,
          frameRate: rate(`${name} ${twin} received`, received),
          dropRate: rate(`${name} ${twin} dropped`, dropped),
          packetRate: rate(`${name} ${twin} packets`, packetsReceived),
          latency: lag === 0 ? 0 : report.frameRate > 0 ? lag / report.frameRate : undefined,
        };
      });
      return { ...report, packetRate, subscribers };
    });
    this.#before = { atMs, counters };
    return rated;
  }
}
