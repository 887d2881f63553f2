//! A rate meter keeps when frames were published: enough to tell their rate over the last two seconds, in as much
//! memory however many they are.

const std = @import("std");
const ns_per_ms = std.time.ns_per_ms;
const ns_per_s = std.time.ns_per_s;

/// A span is 2^25 ns, 33.6 ms; so many of them, the current one included, are the last two seconds.
const span_shift = 25;
const window_spans = 60;
const spans_max = 64;
/// A rate from less than this would be of chance.
const shortest_ns = 250 * ns_per_ms;
/// Of a camera that is slower than this many frames in the window, so many of its last frames tell the rate.
const recent_max = 8;
/// Without a frame for so long, and for this many intervals, a publisher has stopped.
const stopped_ns = 2 * ns_per_s;
const stopped_intervals = 3;

pub const Meter = struct {
    spans: [spans_max]Span = @splat(.{}),
    recent: [recent_max]u64 = undefined,
    total: u64 = 0,
    first_ns: u64 = 0,

    const Span = struct { number: u64 = 0, count: u64 = 0, first_ns: u64 = 0 };

    /// What the window has.
    const Window = struct { count: u64 = 0, first_ns: u64 = std.math.maxInt(u64), length_ns: u64 };

    /// Counts a frame. Times never go back.
    pub fn add(meter: *Meter, at_ns: u64) void {
        if (meter.total == 0) meter.first_ns = at_ns;
        const number = at_ns >> span_shift;
        const span = &meter.spans[number % spans_max];
        if (span.number != number) span.* = .{ .number = number };
        if (span.count == 0) span.first_ns = at_ns;
        span.count += 1;
        meter.recent[meter.total % recent_max] = at_ns;
        meter.total += 1;
    }

    /// When the last frame was published; 0 before the first.
    pub fn newestNs(meter: *const Meter) u64 {
        return if (meter.total == 0) 0 else meter.recent[(meter.total - 1) % recent_max];
    }

    /// Frames in 1000 s. 0: not known yet, or the publisher has stopped.
    pub fn millihertz(meter: *const Meter, now_ns: u64) u64 {
        if (meter.total < 2) return 0;
        const window = meter.lookBack(now_ns);
        if (window.count < recent_max) return meter.ofRecent(now_ns, window);
        if (window.length_ns < shortest_ns) return 0;
        const between_ns = meter.newestNs() - window.first_ns;
        // A burst, and nothing else.
        if (between_ns < shortest_ns) return perKiloSecond(window.count, window.length_ns);
        // Exact where frames are even. Where they come in bursts, or have stopped, the window has too few for that.
        return @min(perKiloSecond(window.count - 1, between_ns), perKiloSecond(window.count + 1, window.length_ns));
    }

    fn lookBack(meter: *const Meter, now_ns: u64) Window {
        const last = now_ns >> span_shift;
        const first = last -| (window_spans - 1);
        var window: Window = .{ .length_ns = now_ns - @max(first << span_shift, @min(meter.first_ns, now_ns)) };
        for (&meter.spans) |*span| {
            if (span.count == 0 or span.number < first or span.number > last) continue;
            window.count += span.count;
            window.first_ns = @min(window.first_ns, span.first_ns);
        }
        return window;
    }

    fn ofRecent(meter: *const Meter, now_ns: u64, window: Window) u64 {
        const count = @min(meter.total, recent_max);
        const newest_ns = meter.newestNs();
        const late_ns = now_ns -| newest_ns;
        var longest_ns: u64 = 0;
        var before_ns = meter.recent[(meter.total - count) % recent_max];
        const between_ns = newest_ns - before_ns;
        for (meter.total - count + 1..meter.total) |index| {
            const at_ns = meter.recent[index % recent_max];
            longest_ns = @max(longest_ns, at_ns - before_ns);
            before_ns = at_ns;
        }
        if (between_ns < shortest_ns) {
            return if (late_ns < shortest_ns) 0 else perKiloSecond(window.count, window.length_ns);
        }
        if (late_ns > stopped_ns and late_ns > stopped_intervals * longest_ns) return 0;
        // The next one counts as due when the longest interval is over.
        return perKiloSecond(count - 1, between_ns + (late_ns -| longest_ns));
    }
};

fn perKiloSecond(count: u64, time_ns: u64) u64 {
    return @intCast(@min(@as(u128, count) * 1000 * ns_per_s / @max(time_ns, 1), std.math.maxInt(u64)));
}

const testing = std.testing;

/// Some time after the machine was started.
const begin_ns = 12_345 * ns_per_s + 678_901;

fn expectRate(frames_per_second: f64, tolerance: f64, meter: *const Meter, now_ns: u64) !void {
    const rate = @as(f64, @floatFromInt(meter.millihertz(now_ns))) / 1000;
    errdefer std.debug.print("{d} frames/s, not {d} +- {d}\n", .{ rate, frames_per_second, tolerance });
    try testing.expect(@abs(rate - frames_per_second) <= tolerance);
}

test "an even rate is told as it is, from a quarter of a second on, at whatever time one looks" {
    for ([_]u64{ 1, 4, 5, 25, 60, 1000, 5000 }) |rate| {
        var meter: Meter = .{};
        for (0..rate * 8 + 1) |index| {
            const at_ns = begin_ns + index * ns_per_s / rate;
            meter.add(at_ns);
            const now_ns = at_ns + ns_per_s / rate * 9 / 10;
            if (at_ns - begin_ns < shortest_ns) {
                // Too early to tell.
                if (now_ns - begin_ns < shortest_ns) try testing.expectEqual(0, meter.millihertz(now_ns));
                continue;
            }
            try expectRate(@floatFromInt(rate), @as(f64, @floatFromInt(rate)) * 0.002, &meter, now_ns);
        }
        try testing.expectEqual(begin_ns + 8 * ns_per_s, meter.newestNs());
    }
}

test "25 a second stay 25 when each of them is up to 15 ms late" {
    var meter: Meter = .{};
    var random: std.Random.DefaultPrng = .init(7);
    for (0..400) |index| {
        const at_ns = begin_ns + index * 40 * ns_per_ms + random.random().uintLessThan(u64, 15 * ns_per_ms);
        meter.add(at_ns);
        if (index > 60) try expectRate(25, 0.5, &meter, at_ns + 20 * ns_per_ms);
    }
}

test "bursts count as what they are over two seconds, never as what they would be without their pauses" {
    for ([_]u64{ 3, 8, 50, 300 }) |burst| {
        var meter: Meter = .{};
        for (0..8) |second| {
            for (0..burst) |index| {
                const at_ns = begin_ns + second * ns_per_s + index * 100_000;
                meter.add(at_ns);
                const rate = meter.millihertz(at_ns);
                try testing.expect(second == 0 and rate == 0 or second > 0 and rate <= burst * 2000);
            }
            if (second < 2) continue;
            const mean: f64 = @floatFromInt(burst);
            for (1..10) |tenth| {
                const now_ns = begin_ns + second * ns_per_s + tenth * 100 * ns_per_ms;
                try expectRate(mean, mean * 0.3, &meter, now_ns);
            }
        }
    }
}

test "a publisher that stops comes to nothing within two seconds and a bit, one that is slow does not" {
    var meter: Meter = .{};
    for (0..100) |index| meter.add(begin_ns + index * 40 * ns_per_ms);
    const end_ns = meter.newestNs();
    var before = meter.millihertz(end_ns);
    for (1..25) |tenth| {
        const rate = meter.millihertz(end_ns + tenth * 100 * ns_per_ms);
        try testing.expect(rate <= before);
        before = rate;
    }
    try expectRate(13, 1, &meter, end_ns + ns_per_s);
    try testing.expectEqual(0, meter.millihertz(end_ns + 2100 * ns_per_ms));
    // It goes on an hour later.
    for (0..100) |index| meter.add(end_ns + 3600 * ns_per_s + index * 40 * ns_per_ms);
    try expectRate(25, 0.1, &meter, meter.newestNs());

    var slow: Meter = .{};
    for (0..5) |index| slow.add(begin_ns + index * 5 * ns_per_s);
    try expectRate(0.2, 0.001, &slow, slow.newestNs() + 4 * ns_per_s);
    try testing.expectEqual(0, slow.millihertz(slow.newestNs() + 16 * ns_per_s));
}

test "one burst at the beginning is no rate yet, and then that of the time that has passed" {
    var meter: Meter = .{};
    for (0..20) |index| meter.add(begin_ns + index * 10_000);
    try testing.expectEqual(0, meter.millihertz(begin_ns + ns_per_ms));
    try expectRate(20, 0.1, &meter, begin_ns + ns_per_s);
    // Frames at one and the same time, and a clock read before the last of them.
    var at_once: Meter = .{};
    for (0..20) |_| at_once.add(begin_ns);
    try testing.expectEqual(0, at_once.millihertz(begin_ns - ns_per_ms));
}
