//! This is the one mutex of the library: the C library's, which sleeps where it must wait. A failure of it is a defect.

const std = @import("std");
const assert = std.debug.assert;

pub const Mutex = struct {
    handle: std.c.pthread_mutex_t = .{},
    /// Atomic. The thread that holds it; 0: nobody does.
    holder: usize = 0,

    pub fn lock(mutex: *Mutex) void {
        // It is not recursive: waiting for oneself would never end.
        assert(!mutex.isHeld());
        const result = std.c.pthread_mutex_lock(&mutex.handle);
        assert(result == .SUCCESS);
        @atomicStore(usize, &mutex.holder, thisThread(), .monotonic);
    }

    pub fn unlock(mutex: *Mutex) void {
        assert(mutex.isHeld());
        @atomicStore(usize, &mutex.holder, 0, .monotonic);
        const result = std.c.pthread_mutex_unlock(&mutex.handle);
        assert(result == .SUCCESS);
    }

    /// Whether the calling thread holds it; for assertions.
    pub fn isHeld(mutex: *const Mutex) bool {
        // No other thread stores this one's number.
        return @atomicLoad(usize, &mutex.holder, .monotonic) == thisThread();
    }

    fn thisThread() usize {
        return @intFromPtr(std.c.pthread_self());
    }
};

test "a mutex is held by the thread that has locked it, and by no other" {
    const testing = std.testing;
    const Other = struct {
        fn run(mutex: *Mutex, held: *bool) void {
            held.* = mutex.isHeld();
        }
    };
    var mutex: Mutex = .{};
    try testing.expect(!mutex.isHeld());
    mutex.lock();
    try testing.expect(mutex.isHeld());
    var held_there = true;
    const thread: std.Thread = try .spawn(.{}, Other.run, .{ &mutex, &held_there });
    thread.join();
    try testing.expect(!held_there);
    mutex.unlock();
    try testing.expect(!mutex.isHeld());
}
