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
