//! The one mutex of the library: the C library's, which sleeps where it must wait. A failure of it is a defect.

const std = @import("std");

pub const Mutex = struct {
    handle: std.c.pthread_mutex_t = .{},

    pub fn lock(mutex: *Mutex) void {
        const result = std.c.pthread_mutex_lock(&mutex.handle);
        std.debug.assert(result == .SUCCESS);
    }

    pub fn unlock(mutex: *Mutex) void {
        const result = std.c.pthread_mutex_unlock(&mutex.handle);
        std.debug.assert(result == .SUCCESS);
    }
};
