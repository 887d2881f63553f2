//! This file accesses memory that another process reads while this one writes it, or the other way round.
//!
//! A sequence lock, the packet ring's way of reading without locks, needs two orders that acquire loads and
//! release stores do not give, and Zig has no stand-alone fence: `storeStore` and `loadLoad` are those two.
//! Everything shared goes through `load`, `store`, `add`, `copyIn` and `copyOut`, so that ThreadSanitizer sees only
//! atomics, a test can run the other side in front of any access, and machine.zig can be the memory.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;

/// No store behind it becomes visible to another process before a store in front of it.
///
/// A release store keeps what is in front of it in front; it does not hold back what is behind. A writer that
/// marks old bytes invalid and then overwrites them needs exactly that.
pub inline fn storeStore() void {
    if (modelled()) |memory| return memory.fence(memory.context, .store_store);
    switch (builtin.cpu.arch) {
        // x86 keeps ordinary stores in order, so that holding back the compiler would be enough; but memcpy writes
        // large blocks with non-temporal stores, which only `sfence` keeps in order.
        .x86_64 => asm volatile ("sfence" ::: .{ .memory = true }),
        // AArch64 reorders stores freely; `ishst` orders them among all CPUs that run this system.
        .aarch64 => asm volatile ("dmb ishst" ::: .{ .memory = true }),
        else => @compileError("no store-store barrier known for this CPU"),
    }
}

/// No load behind it is done before a load in front of it.
///
/// An acquire load keeps what is behind it behind; it does not hold back what is in front. A reader that copies
/// bytes and then checks that they were still valid needs exactly that.
pub inline fn loadLoad() void {
    if (modelled()) |memory| return memory.fence(memory.context, .load_load);
    switch (builtin.cpu.arch) {
        // x86 keeps loads in order: only the compiler has to be held back.
        .x86_64 => asm volatile ("" ::: .{ .memory = true }),
        // AArch64 reorders loads freely; `ishld` orders them before all later loads and stores.
        .aarch64 => asm volatile ("dmb ishld" ::: .{ .memory = true }),
        else => @compileError("no load-load barrier known for this CPU"),
    }
}

pub inline fn load(comptime T: type, shared: *const T, comptime order: std.builtin.AtomicOrder) T {
    if (modelled()) |memory| return fromWord(T, memory.load(memory.context, @intFromPtr(shared), @sizeOf(T), order));
    observe();
    return @atomicLoad(T, shared, order);
}

pub inline fn store(comptime T: type, shared: *T, value: T, comptime order: std.builtin.AtomicOrder) void {
    if (modelled()) |memory| {
        return memory.store(memory.context, @intFromPtr(shared), @sizeOf(T), toWord(T, value), order);
    }
    observe();
    @atomicStore(T, shared, value, order);
}

/// Adds in one sequentially consistent access.
pub inline fn add(comptime T: type, shared: *T, value: T) void {
    if (modelled()) |memory| {
        return memory.add(memory.context, @intFromPtr(shared), @sizeOf(T), toWord(T, value));
    }
    observe();
    _ = @atomicRmw(T, shared, .Add, value, .seq_cst);
}

/// Copies `source` into shared memory of the same length. Orders nothing: that is what the barriers are for.
pub fn copyIn(shared: []u8, source: []const u8) void {
    assert(shared.len == source.len);
    if (bytewise()) {
        for (shared, source) |*to, from| store(u8, to, from, .unordered);
    } else {
        @memcpy(shared, source);
    }
}

/// Copies shared memory into `destination` of the same length. The bytes may change on the way: they are worth
/// nothing until a check behind a `loadLoad` has shown that they did not.
pub fn copyOut(destination: []u8, shared: []const u8) void {
    assert(destination.len == shared.len);
    if (bytewise()) {
        for (destination, shared) |*to, *from| to.* = load(u8, from, .unordered);
    } else {
        @memcpy(destination, shared);
    }
}

/// Called in front of every access that this thread makes to shared memory, itself excepted. Tests only.
pub const Observer = struct {
    context: *anyopaque,
    before_access: *const fn (context: *anyopaque) void,
};

/// Takes the place of the memory for this thread. Values are words of the access's size. Tests only.
pub const Memory = struct {
    context: *anyopaque,
    load: *const fn (context: *anyopaque, address: usize, size: u8, order: std.builtin.AtomicOrder) u64,
    store: *const fn (context: *anyopaque, address: usize, size: u8, value: u64, order: std.builtin.AtomicOrder) void,
    add: *const fn (context: *anyopaque, address: usize, size: u8, value: u64) void,
    fence: *const fn (context: *anyopaque, fence: Fence) void,

    pub const Fence = enum { store_store, load_load };
};

pub const testing = if (builtin.is_test) struct {
    pub threadlocal var observer: ?Observer = null;
    pub threadlocal var memory: ?Memory = null;
} else struct {};

inline fn modelled() ?Memory {
    return if (builtin.is_test) testing.memory else null;
}

fn Word(comptime T: type) type {
    return @Int(.unsigned, @bitSizeOf(T));
}

fn toWord(comptime T: type, value: T) u64 {
    return @as(Word(T), @bitCast(value));
}

fn fromWord(comptime T: type, word: u64) T {
    return @bitCast(@as(Word(T), @intCast(word)));
}

inline fn observe() void {
    if (builtin.is_test) {
        if (testing.observer) |observer| {
            testing.observer = null;
            observer.before_access(observer.context);
            testing.observer = observer;
        }
    }
}

/// Whether copies go byte by byte, as atomics: an optimistic copy is a data race to ThreadSanitizer otherwise,
/// and a test cannot step in between the bytes of a memcpy.
inline fn bytewise() bool {
    return builtin.sanitize_thread or (builtin.is_test and (testing.observer != null or testing.memory != null));
}
